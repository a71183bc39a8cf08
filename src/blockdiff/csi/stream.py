"""Streams of records between the guard and the wire: what a starting offset leaves, and messages of bounded size.

The law here: no byte after the starting offset is ever lost, and none is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.record import BlockMetadataType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.record import Record

MAX_RESULTS = 65536  # tuples of a message where the caller does not say
MAX_BYTES = 2 << 20  # half of what gRPC takes by default
_HEAD = 22  # bytes of a type and a capacity at most
_TOP = (1 << 63) - 1


def after(records: Iterable[Record], start: int) -> Iterator[Record]:
    """Drops the tuples that end at or before ``start`` (bytes); one that begins before it and ends after stays whole.

    Records that have nothing after ``start`` are left out; where that would be all, one without tuples remains: it has
    the type and the capacity.
    """
    return iter(records) if start <= 0 else _after(records, start)


def _after(records: Iterable[Record], start: int) -> Iterator[Record]:
    last, given = None, False
    for record in records:
        last = record
        extents = tuples_after(record.extents, start)
        if len(extents):
            given = True
            yield record if extents is record.extents else record._replace(extents=extents)
    if last is not None and not given:
        yield last._replace(extents=last.extents[:0])


def tuples_after(extents: Extents, start: int) -> Extents:
    """The tuples that end after ``start``, whole."""
    if extents.start >= start:
        return extents
    if extents.end <= start:
        return extents[:0]
    begun = len(extents.clip(0, start))
    return extents[begun - (extents[begun - 1].end > start) :]


def clipped(records: Iterable[Record], start: int) -> Iterator[Record]:
    """As ``after``, and a tuple that begins before ``start`` is cut there.

    A stream of FIXED_LENGTH in which that happens has a tuple of another length: all of it becomes VARIABLE_LENGTH.
    """
    cut = False
    for record in after(records, start):
        kind, extents = record.type, record.extents
        if len(extents) and extents.start < start:
            cut, extents = True, extents.clip(start, _TOP)
        if cut and kind == BlockMetadataType.FIXED_LENGTH:
            kind = BlockMetadataType.VARIABLE_LENGTH
        yield record._replace(type=kind, extents=extents)


def bounded(records: Iterable[Record], max_results: int, max_bytes: int = MAX_BYTES) -> Iterator[Record]:
    """Splits records so that no message has more than ``max_results`` tuples (0: 65536) or ``max_bytes`` bytes.

    One tuple is always possible. A record without tuples stays one record. InvalidInput if ``max_results`` is negative.
    """
    if max_results < 0:
        raise InvalidInput(f"max_results must not be negative, and is {max_results}")
    return (part for record in records for part in _parts(record, max_results or MAX_RESULTS, max_bytes))


def _parts(record: Record, most: int, max_bytes: int) -> Iterator[Record]:
    extents = record.extents
    # two tags, a length and two numbers, none longer than the last end
    longest = 4 + 2 * max(1, -(-extents.end.bit_length() // 7))
    step = max(1, min(most, (max_bytes - _HEAD) // longest))
    if len(extents) <= step:
        yield record
        return
    for at in range(0, len(extents), step):
        yield record._replace(extents=extents[at : at + step])
