"""What an emitter is given: a record, under the names that users of the original read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents


class BlockMetadata(NamedTuple):
    """One range; units are bytes."""

    byte_offset: int
    size_bytes: int


class BlockMetadataList(Sequence[BlockMetadata]):
    """The ranges of a record, made into values only where somebody looks at one."""

    __slots__ = ("extents",)

    def __init__(self, extents: Extents) -> None:
        self.extents = extents

    def __len__(self) -> int:
        return len(self.extents)

    def __iter__(self) -> Iterator[BlockMetadata]:
        return (BlockMetadata(offset, length) for offset, length, _ in self.extents)

    @overload
    def __getitem__(self, index: int) -> BlockMetadata: ...
    @overload
    def __getitem__(self, index: slice) -> BlockMetadataList: ...
    def __getitem__(self, index: int | slice) -> BlockMetadata | BlockMetadataList:
        if isinstance(index, slice):
            return BlockMetadataList(self.extents[index])
        offset, length, _ = self.extents[index]
        return BlockMetadata(offset, length)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BlockMetadataList):
            return self.extents == other.extents
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self.extents)

    def __repr__(self) -> str:
        return f"BlockMetadataList({self.extents!r})"


class IteratorMetadata(Record):
    """A record with the field names of the original: ``IteratorMetadata(*record)``."""

    __slots__ = ()

    @property
    def block_metadata_type(self) -> BlockMetadataType:
        """FIXED_LENGTH or VARIABLE_LENGTH; as a number 1 or 2."""
        return BlockMetadataType(self.type)

    @property
    def volume_capacity_bytes(self) -> int:
        """The size of the volume in bytes."""
        return self.capacity

    @property
    def block_metadata(self) -> BlockMetadataList:
        """The ranges, in order."""
        return BlockMetadataList(self.extents)
