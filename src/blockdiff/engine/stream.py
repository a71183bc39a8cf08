"""Set algebra over streams of extent batches, in memory bounded by a few batches.

A stream is an iterable of ascending ``Extents``; where one batch ends and the next begins means nothing. OutOfOrder is
raised where an input does not ascend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import SET_TABLES, Aligner, Extents, Merge
from blockdiff.errors import OutOfOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.record import Record

    Batches = Iterable[Extents]


def batches(records: Iterable[Record]) -> Iterator[Extents]:
    """The extents of records."""
    return (record.extents for record in records)


def union(a: Batches, b: Batches) -> Iterator[Extents]:
    """Bytes in either; where both cover a byte, ``a`` names its kind."""
    return iter(Merge(a, b, SET_TABLES["union"]))


def intersect(a: Batches, b: Batches) -> Iterator[Extents]:
    """Bytes in both, with the kinds of ``a``."""
    return iter(Merge(a, b, SET_TABLES["intersect"]))


def subtract(a: Batches, b: Batches) -> Iterator[Extents]:
    """Bytes of ``a`` that are not in ``b``."""
    return iter(Merge(a, b, SET_TABLES["subtract"]))


def complement(stream: Batches, capacity: int, *, kind: int = 0) -> Iterator[Extents]:
    """The bytes of ``[0, capacity)`` that no extent covers."""
    whole = [Extents([(0, capacity, kind)])] if capacity > 0 else []
    return subtract(whole, stream)


def clip(stream: Batches, start: int, end: int) -> Iterator[Extents]:
    """The parts inside ``[start, end)``; reads no further than needed."""
    for batch in stream:
        if len(batch) and batch.start >= end:
            return
        if len(part := batch.clip(start, end)):
            yield part


def shift(stream: Batches, delta: int) -> Iterator[Extents]:
    """All offsets moved by ``delta`` bytes; InvalidInput if one would leave [0, 2^63)."""
    return (batch.shift(delta) for batch in stream)


def align(stream: Batches, granularity: int, *, limit: int | None = None) -> Iterator[Extents]:
    """Extents grown outwards to multiples of ``granularity``, but not past ``limit``, and joined."""
    aligner = Aligner(granularity, limit)
    for batch in ascending(stream):
        if len(finished := aligner.feed(batch)):
            yield finished
    if len(rest := aligner.finish()):
        yield rest


def coalesce(stream: Batches, gap: int = 0) -> Iterator[Extents]:
    """Joins neighbours of the same kind that are at most ``gap`` bytes apart, also across batches."""
    held = Extents()
    for batch in ascending(stream):
        # the last extent may still grow: it goes in front of the next batch
        joined = concatenate([held, batch]).coalesce(gap)
        if len(joined) > 1:
            yield joined[:-1]
        held = joined[-1:] if len(joined) else held
    if len(held):
        yield held


def total(stream: Batches, kind: int | None = None) -> int:
    """Bytes covered, of one kind if asked."""
    return sum(batch.total(kind) for batch in stream)


def ascending(stream: Batches) -> Iterator[Extents]:
    """The same batches; OutOfOrder where one begins before the end of those before it."""
    end = 0
    for batch in stream:
        if len(batch):
            if batch.start < end:
                raise OutOfOrder(f"a batch begins at {batch.start}, before {end}, where the one before it ends")
            end = batch.end
        yield batch


def concatenate(parts: Iterable[Extents]) -> Extents:
    """One set of batches that ascend."""
    return Extents.from_buffer(b"".join(parts))
