from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff._fast import Extents
from blockdiff.csi import wire
from blockdiff.csi.stream import MAX_RESULTS, after, bounded, clipped
from blockdiff.engine.source import ordered
from blockdiff.errors import InvalidInput
from blockdiff.record import BlockMetadataType, Record
from tests.native.oracle import batched, extent_sets

SPAN = 80
FIXED, VARIABLE = BlockMetadataType.FIXED_LENGTH, BlockMetadataType.VARIABLE_LENGTH

starts = st.integers(-2, SPAN + 5)


@st.composite
def streams(draw):
    """What the guard lets through: of variable length, or of fixed length with a last tuple that the capacity cuts."""
    if draw(st.booleans()):
        return [Record(VARIABLE, SPAN, part) for part in batched(draw, draw(extent_sets(SPAN)))]
    size = draw(st.integers(1, 9))
    offsets = [at for at in range(0, SPAN, size) if draw(st.booleans())]
    extents = Extents([(at, min(size, SPAN - at)) for at in offsets])
    return [Record(FIXED, SPAN, part) for part in batched(draw, extents)]


def tuples_of(records):
    return [(e.offset, e.end) for record in records for e in record.extents]


def bytes_of(records):
    return {at for offset, end in tuples_of(records) for at in range(offset, end)}


@given(records=streams(), start=starts)
def test_after_keeps_whole_tuples(records, start):
    found = list(ordered(after(records, start)))
    assert tuples_of(found) == [(a, b) for a, b in tuples_of(records) if b > start]
    assert {(r.type, r.capacity) for r in found} == {(r.type, r.capacity) for r in records}


@given(records=streams(), start=starts)
def test_clipped_keeps_every_byte(records, start):
    found = list(ordered(clipped(records, start)))
    assert bytes_of(found) == {at for at in bytes_of(records) if at >= start}
    assert all(offset >= start for offset, _ in tuples_of(found))
    cut = any(a < start < b for a, b in tuples_of(records))
    wanted = VARIABLE if cut else records[0].type
    assert {(r.type, r.capacity) for r in found} == {(wanted, SPAN)}


@given(records=streams(), start=starts)
def test_records_without_tuples_do_not_pile_up(records, start):
    for kept in (list(after(records, start)), list(clipped(records, start))):
        if start <= 0:
            assert kept == records
        else:
            assert len(kept) == 1 or all(len(record.extents) for record in kept)


@given(records=streams(), most=st.integers(0, 9), max_bytes=st.integers(0, 120))
def test_bounded_keeps_every_tuple(records, most, max_bytes):
    found = list(bounded(records, most, max_bytes))
    assert tuples_of(found) == tuples_of(records)
    assert {(r.type, r.capacity) for r in found} == {(r.type, r.capacity) for r in records}
    assert sum(not len(r.extents) for r in found) == sum(not len(r.extents) for r in records)
    for record in found:
        assert len(record.extents) <= (most or MAX_RESULTS)
        assert len(record.extents) <= 1 or len(wire.encode(record)) <= max_bytes
    list(ordered(found))


@settings(deadline=None)
@given(records=streams(), start=starts, most=st.integers(0, 5))
def test_the_whole_way(records, start, most):
    sent = [wire.encode(record) for record in bounded(clipped(ordered(records), start), most)]
    found = list(ordered(wire.decode_all(sent)))
    assert bytes_of(found) == {at for at in bytes_of(records) if at >= start}


@settings(deadline=None)
@given(records=streams())
def test_resuming_anywhere_loses_nothing(records):
    """What a client has, and what it gets when it asks again from the end of that, is all there is."""
    for count in range(len(records) + 1):
        have = ordered(records[:count])
        known = bytes_of(have)
        assert known | bytes_of(after(records, have.resume_offset)) == bytes_of(records)


@pytest.mark.parametrize(
    "end", [2**power + more for power in (6, 7, 13, 14, 34, 35, 55, 56, 62) for more in (-1, 0, 1)]
)
def test_size_at_big_offsets(end):
    top = [(end + i, 1) for i in range(40)]
    record = Record(VARIABLE, 2**63 - 1, Extents(top))
    for max_bytes in (0, 44, 100, 300):
        for part in bounded([record], 0, max_bytes):
            assert len(part.extents) == 1 or len(wire.encode(part)) <= max_bytes


def test_default_bounds():
    extents = Extents([(i * 8192, 4096) for i in range(600_000)])
    parts = list(bounded([Record(FIXED, 600_000 * 8192, extents)], 0))
    assert max(len(part.extents) for part in parts) == MAX_RESULTS
    assert max(len(wire.encode(part)) for part in parts) < 2 << 20
    assert [len(part.extents) for part in bounded([parts[0]], 10_000)] == [10_000] * 6 + [5536]


def test_negative_bound():
    with pytest.raises(InvalidInput, match="max_results"):
        bounded([], -1)


def test_streams_are_not_read_ahead():
    taken = []

    def source():
        for at in range(5):
            taken.append(at)
            yield Record(VARIABLE, 100, Extents([(at * 10, 10)]))

    stream = bounded(clipped(source(), 15), 0)
    assert taken == []
    assert next(stream).extents == Extents([(15, 5)])
    assert taken == [0, 1]


def test_nothing_stays_nothing():
    for function in (after, clipped, bounded):
        assert list(function([], 5)) == []
    assert not list(pairwise(after([Record(FIXED, 9, Extents([(0, 9)]))], 9)))
