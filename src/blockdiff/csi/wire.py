"""Records to and from the bytes of a GetMetadata*Response; its shape is the same on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff import _fast
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def encode(record: Record) -> bytes:
    """One message."""
    return _fast.encode_metadata(int(record.type), record.capacity, record.extents)


def decode(message: bytes) -> Record:
    """One record. Raises OutOfOrder (ranges that are unsorted, overlap or are empty) and SourceError (no message)."""
    kind, capacity, extents = _fast.decode_metadata(message)
    return Record(BlockMetadataType(kind), capacity, extents)


def decode_all(messages: Iterable[bytes]) -> Iterator[Record]:
    """A stream of messages as records."""
    return map(decode, messages)
