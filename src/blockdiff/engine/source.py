"""Sources of block metadata, the emitters that take it, and the guard between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from blockdiff import _fast
from blockdiff.errors import OutOfOrder
from blockdiff.record import BlockMetadataType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.record import Record
    from blockdiff.snapshot import SnapshotPair


class Source(Protocol):
    """Knows which ranges of a volume are allocated, or changed between two snapshots.

    ``method`` tells how it knows: "object-map", "reflink", "cbt", "content", ...
    """

    method: str

    def records(self, pair: SnapshotPair, *, start: int = 0, limit: int = 0) -> Iterator[Record]:
        """Streams the extents that end after ``start``, at most ``limit`` a record (0: the source decides).

        Every byte that differs lies inside an extent. Raises SourceError, or UnsupportedOperation if it cannot tell.
        """

    def close(self) -> None:
        """Gives back what the source holds."""


class Emitter(Protocol):
    """Takes records: prints, writes, applies or verifies them. It may raise to stop; the stream is then cancelled."""

    def record(self, number: int, record: Record) -> None:
        """Takes one record; ``number`` counts from 1."""

    def done(self, count: int) -> None:
        """Called once after the last of ``count`` records, and not at all if the stream failed."""


class Ordered:
    """The guard that every stream of records passes: iterate it for the same records, checked.

    Extents ascend and do not overlap, also across records; type and capacity stay the same; nothing leaves the capacity
    (0 means that the source does not know it); with FIXED_LENGTH all extents have one length, except one that ends at
    the capacity. Raises OutOfOrder at the first record that breaks a rule, before it is given on.

    ``resume_offset`` is where a broken stream can be taken up again: the end of the last extent given on.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = iter(records)
        self._first: Record | None = None
        self._fixed = 0
        self._number = 0
        self.resume_offset = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        record = next(self._records)
        self._number += 1
        self._check_constants(record)
        if len(record.extents):
            self._check_extents(record)
            self.resume_offset = record.extents.end
        return record

    def _check_constants(self, record: Record) -> None:
        first = self._first
        if first is None:
            self._first = record
        elif record.type != first.type:
            raise self._broken(f"has the type {_name(record.type)}, the records before it {_name(first.type)}")
        elif record.capacity != first.capacity:
            raise self._broken(f"has the capacity {record.capacity}, the records before it {first.capacity}")

    def _check_extents(self, record: Record) -> None:
        extents = record.extents
        if extents.start < self.resume_offset:
            raise self._broken(
                f"begins at {extents.start}, before {self.resume_offset}, where the one before it ends", 0
            )
        if 0 < record.capacity < extents.end:
            raise self._broken(f"ends at {extents.end}, past the capacity {record.capacity}", len(extents) - 1)
        if record.type == BlockMetadataType.FIXED_LENGTH:
            self._fixed = self._fixed or extents[0].length
            odd = _fast.first_odd_length(extents, self._fixed, record.capacity)
            if odd is not None:
                length = extents[odd].length
                raise self._broken(f"has an extent of {length} bytes in a stream of fixed length {self._fixed}", odd)

    def _broken(self, what: str, index: int | None = None) -> OutOfOrder:
        return OutOfOrder(f"record {self._number} {what}", index=index, resume_offset=self.resume_offset)


def _name(value: int) -> str:
    return BlockMetadataType(value).name if value in set(BlockMetadataType) else str(value)


def ordered(records: Iterable[Record]) -> Ordered:
    """Guards a stream of records; see Ordered."""
    return Ordered(records)


def emit(records: Iterable[Record], emitter: Emitter) -> int:
    """Drives an emitter with a guarded stream; gives the number of records."""
    number = 0
    for number, record in enumerate(ordered(records), start=1):
        emitter.record(number, record)
    emitter.done(number)
    return number
