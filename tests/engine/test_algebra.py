import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import Aligner, Extents, ExtentStatistics
from blockdiff.engine.algebra import Algebra, least, whole
from blockdiff.engine.extentlist import read_extents
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind
from tests.native.oracle import SPAN, batched, byte_map, extent_sets, from_bytes, tuples

LABELS = ("data", "zero", "hole")


def lines(extents):
    """A list that does not say of what it is."""
    items = [{"offset": o, "length": n, "kind": LABELS[k]} for o, n, k in tuples(extents)]
    return json.dumps(items).encode()


def bitmap(extents):
    items = [
        {"offset": o, "length": n, "type": 0, "description": ("dirty", "dirty", "clean")[k]} for o, n, k in extents
    ]
    return json.dumps(items).encode()


def qemu(*extents):
    items = [{"start": o, "length": n, "data": k == 0, "zero": k > 0, "present": k < 2} for o, n, k in extents]
    return json.dumps(items).encode()


def listed(text, **options):
    return read_extents(io.BytesIO(text), holes=True, **options)


def made(operation, *texts, **options):
    algebra = Algebra(operation, [listed(text) for text in texts], **options)
    return concatenate(algebra.batches()), algebra


def members(extents):
    return {at: kind for at, kind in byte_map(extents).items() if kind != 2}


@given(sets=st.lists(extent_sets(), min_size=1, max_size=5))
def test_union(sets):
    wanted = {}
    for one in map(members, sets):
        for at, kind in one.items():
            wanted[at] = kind if wanted.get(at, kind) == kind else 0
    found, algebra = made("union", *map(lines, sets))
    assert tuples(found) == from_bytes(wanted)
    assert algebra.left_out.get("hole", 0) == sum(one.total(2) for one in sets)


@given(sets=st.lists(extent_sets(), min_size=2, max_size=4))
def test_intersect_and_subtract(sets):
    first, *others = map(members, sets)
    everywhere = {at: kind for at, kind in first.items() if all(at in other for other in others)}
    alone = {at: kind for at, kind in first.items() if not any(at in other for other in others)}
    assert tuples(made("intersect", *map(lines, sets))[0]) == from_bytes(everywhere)
    assert tuples(made("subtract", *map(lines, sets))[0]) == from_bytes(alone)


@given(one=extent_sets(), more=st.integers(0, 9))
def test_complement(one, more):
    capacity = one.end + more
    wanted = dict.fromkeys(set(range(capacity)) - members(one).keys(), 0)
    assert tuples(made("complement", lines(one), capacity=capacity)[0]) == from_bytes(wanted)


@given(one=extent_sets(kinds=(0, 1, 17)), grain=st.integers(1, 12), more=st.one_of(st.none(), st.integers(0, 15)))
def test_alignment_never_says_more_than_is_known(one, grain, more):
    capacity = None if more is None else one.end + more
    aligner = Aligner(grain, capacity, exact=True)
    found = byte_map(concatenate([*(aligner.feed(one[i : i + 1]) for i in range(len(one))), aligner.finish()]))
    before = byte_map(one)
    for at in range(SPAN + 2 * grain):
        granule = range(at - at % grain, at - at % grain + grain)
        inside = [byte for byte in granule if capacity is None or byte < capacity]
        assert (at in found) == (at in inside and any(byte in before for byte in inside)), at
        if found.get(at):  # what is said of a byte is true of it
            assert before[at] == found[at]
    for at, kind in before.items():  # a granule that is of one kind in whole, by one extent, stays so
        cover = next(e for e in one if e.offset <= at < e.end)
        low = at - at % grain
        if cover.offset <= low and low + grain <= cover.end:
            assert found[at] == kind


def test_align_joins_first():
    zeroes = Extents([(0, 2048, 1), (2048, 2048, 1), (8192, 512, 1)])
    assert tuples(made("align", lines(zeroes), granularity=4096)[0]) == [(0, 4096, 1), (8192, 4096, 0)]
    assert tuples(made("align", lines(zeroes), granularity=4096, capacity=8704)[0])[-1] == (8192, 512, 1)


@given(one=extent_sets(), data=st.data())
def test_statistics(one, data):
    counted = ExtentStatistics()
    for batch in batched(data.draw, one):
        counted.add(batch)
    lengths = [e.length for e in one if e.kind != 2]
    assert counted.kinds == {k: (len(one.only(k)), one.total(k)) for k in (0, 1, 2) if len(one.only(k))}
    assert (counted.smallest, counted.largest) == (min(lengths, default=0), max(lengths, default=0))
    assert counted.lengths == [sum(n.bit_length() == power + 1 for n in lengths) for power in range(63)]
    kept = one.only(0, 1)
    for capacity in (None, kept.end, kept.end + 1):
        assert counted.granularity(capacity) == kept.granularity(limit=capacity)


def test_what_a_union_says_of_a_byte():
    assert least(Kind.ZERO, Kind.ZERO) == Kind.ZERO
    assert least(None, Kind.ZERO) == Kind.ZERO
    assert least(Kind.ZERO, Kind.DATA) == Kind.DATA
    assert least(Kind.SRC_ZERO, Kind.BIT_FLIP) == Kind.DIFF_DATA
    assert least(Kind.ZERO, Kind.BIT_FLIP) == Kind.DATA


@pytest.mark.parametrize("more", [(), (b'{"offset":0,"length":10,"exists":"true"}',)], ids=["one", "with-another"])
def test_unchanged_ranges_are_no_holes(more):
    text = bitmap([(0, 10, 2), (10, 10, 0)])
    found, algebra = made("union", text, *more)
    assert found.total() == 10 + 10 * len(more)
    assert algebra.left_out == {"unchanged": 10}
    assert algebra.context == (None if more else "changes")
    assert not made("convert", text)[0].total(2)


def test_holes_of_a_map_are_kept_by_a_conversion_alone():
    text = qemu((0, 10, 0), (10, 10, 1), (20, 10, 2))
    assert tuples(made("convert", text)[0]) == [(0, 10, 0), (10, 10, 1), (20, 10, 2)]
    assert tuples(made("union", text)[0]) == [(0, 10, 0), (10, 10, 1)]


@pytest.mark.parametrize("operation", ["union", "complement", "convert", "align"])
def test_a_map_with_a_gap_is_refused(operation):
    text = qemu((0, 10, 0), (20, 10, 2))
    with pytest.raises(InvalidInput, match=r"says nothing of the bytes from 10 on.*--partial"):
        made(operation, text, granularity=1)
    assert made(operation, text, granularity=1, partial=True, capacity=40)[0].total(0)


def test_a_map_that_ends_early_is_refused():
    with pytest.raises(InvalidInput, match="nothing of the bytes from 10 on"):
        made("union", qemu((0, 10, 0)), capacity=11)


def test_where_the_volume_ends():
    assert tuples(made("complement", qemu((0, 10, 0), (10, 10, 2)))[0]) == [(10, 10, 0)]
    with pytest.raises(InvalidInput, match=r"how large the volume is is not known.*--capacity"):
        made("complement", lines(Extents([(0, 5)])))
    algebra = Algebra("union", [listed(qemu((0, 10, 0))), listed(qemu((0, 20, 0)))])
    with pytest.raises(InvalidInput, match="maps are of volumes of 10 and 20 bytes"):
        list(whole(algebra, algebra.batches(), "union", Kind.HOLE))


RECORD = b'{"block_metadata":[{"size_bytes":%d}],"volume_capacity_bytes":%d}'


def test_volumes_of_different_sizes():
    with pytest.raises(InvalidInput, match="volumes of different sizes, in bytes: extents of 20, extents of 30"):
        made("union", RECORD % (10, 20), RECORD % (10, 30))
    assert made("union", RECORD % (10, 20), RECORD % (10, 30), capacity=30)[1].capacity == 30
    with pytest.raises(InvalidInput, match="ends at 25, past the volume's size, 20"):
        made("union", RECORD % (10, 20), lines(Extents([(0, 25)])))


def test_the_rest_of_the_volume():
    for capacity, wanted in ((30, [(0, 5, 2), (5, 5, 0), (10, 20, 2)]), (10, [(0, 5, 2), (5, 5, 0)])):
        algebra = Algebra("union", [listed(lines(Extents([(5, 5)])))], capacity=capacity)
        assert tuples(concatenate(whole(algebra, algebra.batches(), "union", Kind.HOLE))) == wanted
    empty = Algebra("union", [listed(b"[]")], capacity=0)
    assert list(whole(empty, empty.batches(), "union", Kind.HOLE)) == []
