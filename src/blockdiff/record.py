"""One streamed batch of block metadata, in the words of the CSI SnapshotMetadata service."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from blockdiff._fast import Extents


class BlockMetadataType(IntEnum):
    """The wire values of CSI's ``BlockMetadataType``."""

    UNKNOWN = 0
    FIXED_LENGTH = 1
    VARIABLE_LENGTH = 2


class Record(NamedTuple):
    """A batch of extents of one volume. ``capacity`` is the volume's size in bytes."""

    type: BlockMetadataType
    capacity: int
    extents: Extents
