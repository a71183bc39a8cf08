import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import SET_TABLES, Aligner, Extents, Merge, combine, combine_table, first_odd_length
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput, OutOfOrder
from blockdiff.extent import Extent, Kind
from tests.native.oracle import SPAN, batched, byte_map, extent_sets, from_bytes, tuples

TOP = 2**63 - 1

RULES = {
    "union": lambda a, b: b if a is None else a,
    "intersect": lambda a, b: None if b is None else a,
    "subtract": lambda a, b: a if b is None else None,
    "differ": lambda a, b: 16 if a != b else None,
    "everything": lambda a, b: 18,
}


def expected(rule, a, b):
    a, b = byte_map(a), byte_map(b)
    found = {at: rule(a.get(at), b.get(at)) for at in {*a, *b}}
    return from_bytes({at: kind for at, kind in found.items() if kind is not None})


@pytest.mark.parametrize("name", RULES)
@given(a=extent_sets(), b=extent_sets())
def test_combine(name, a, b):
    assert tuples(combine(a, b, combine_table(RULES[name]))) == expected(RULES[name], a, b)


@given(a=extent_sets(), b=extent_sets())
def test_operators(a, b):
    assert tuples(a | b) == tuples(a.union(b)) == expected(RULES["union"], a, b)
    assert tuples(a & b) == tuples(a.intersect(b)) == expected(RULES["intersect"], a, b)
    assert tuples(a - b) == tuples(a.subtract(b)) == expected(RULES["subtract"], a, b)


@pytest.mark.parametrize("name", RULES)
@given(a=extent_sets(), b=extent_sets(), size=st.integers(1, 5), data=st.data())
def test_merge_is_combine_for_any_batching(name, a, b, size, data):
    table = combine_table(RULES[name])
    parts = list(Merge(batched(data.draw, a), batched(data.draw, b), table, size))
    assert concatenate(parts) == combine(a, b, table)
    assert all(len(part) <= size + 2 for part in parts)


def test_operations_reach_the_last_byte():
    a, b = Extents([(0, TOP)]), Extents([(5, TOP - 5, 1)])
    assert tuples(a & b) == [(5, TOP - 5, 0)]
    assert tuples(a - b) == [(0, 5, 0)]
    assert tuples(b | a) == [(0, 5, 0), (5, TOP - 5, 1)]
    assert not len(a - a)


def test_a_table_says_nothing_where_both_are_absent():
    assert tuples(combine(Extents([(0, 1)]), Extents([(9, 1)]), combine_table(lambda _a, _b: 17))) == [
        (0, 1, 17),
        (9, 1, 17),
    ]


@given(extents=extent_sets(), gap=st.integers(0, 12))
def test_coalesce(extents, gap):
    found = []
    for e in extents:
        if found and found[-1][2] == e.kind and e.offset - (found[-1][0] + found[-1][1]) <= gap:
            found[-1][1] = e.end - found[-1][0]
        else:
            found.append([e.offset, e.length, e.kind])
    assert tuples(extents.coalesce(gap)) == [tuple(e) for e in found]


@given(extents=extent_sets(), start=st.integers(-5, SPAN), end=st.integers(0, SPAN + 5))
def test_clip(extents, start, end):
    clipped = extents.clip(start, end)
    assert byte_map(clipped) == {at: kind for at, kind in byte_map(extents).items() if start <= at < end}


@given(extents=extent_sets(), delta=st.integers(-SPAN, SPAN))
def test_shift(extents, delta):
    if len(extents) and extents.start + delta < 0:
        with pytest.raises(InvalidInput, match="out of"):
            extents.shift(delta)
    else:
        assert tuples(extents.shift(delta)) == [(o + delta, n, k) for o, n, k in tuples(extents)]


@given(extents=extent_sets(), g=st.sampled_from([1, 2, 3, 8, 16]), limited=st.booleans())
def test_align(extents, g, limited):
    limit = extents.end if limited else None
    granules = {}
    for at, kind in byte_map(extents).items():
        granules.setdefault(at // g, set()).add(kind)
    wanted = {
        at: kinds.copy().pop() if len(kinds) == 1 else 0
        for granule, kinds in granules.items()
        for at in range(granule * g, (granule + 1) * g)
        if limit is None or at < limit
    }
    assert byte_map(extents.align(g, limit=limit)) == wanted


@given(extents=extent_sets(), g=st.sampled_from([1, 2, 3, 8, 16]), data=st.data())
def test_aligner_is_align_for_any_batching(extents, g, data):
    aligner = Aligner(g)
    parts = [aligner.feed(batch) for batch in batched(data.draw, extents)]
    assert concatenate([*parts, aligner.finish()]) == extents.align(g)


@given(extents=extent_sets(), capacity=st.integers(0, SPAN + 5))
def test_complement(extents, capacity):
    covered = byte_map(extents)
    assert byte_map(extents.complement(capacity, kind=2)) == {at: 2 for at in range(capacity) if at not in covered}


@given(extents=extent_sets())
def test_sums(extents):
    bytes_ = byte_map(extents)
    assert extents.total() == len(bytes_)
    assert extents.total(1) == sum(kind == 1 for kind in bytes_.values())
    assert sum(extents.totals().values()) == len(bytes_)
    assert byte_map(extents.only(0, 2)) == {at: kind for at, kind in bytes_.items() if kind != 1}
    assert tuples(extents.with_kind(1)) == from_bytes(dict.fromkeys(bytes_, 1))
    assert extents.gaps() == (len(bytes_) < extents.end - extents.start)


@given(extents=extent_sets())
def test_granularity(extents):
    g = extents.granularity()
    assert (g == 0) == (not any(o or n for o, n, _ in tuples(extents)))
    assert all(o % g == 0 and (o + n) % g == 0 for o, n, _ in tuples(extents))


def test_granularity_ignores_an_end_at_the_limit():
    assert Extents([(4096, 4096), (8192, 5)]).granularity(limit=8197) == 4096


@given(marks=st.lists(st.booleans(), max_size=40), cut=st.integers(0, 3))
def test_from_map(marks, cut):
    capacity = max(0, len(marks) * 4 - cut)
    wanted = from_bytes({at: 0 for i, m in enumerate(marks) if m for at in range(i * 4, min(i * 4 + 4, capacity))})
    assert tuples(Extents.from_map(bytes(marks), 4, capacity=capacity)) == wanted
    packed = np.packbits(np.array(marks, dtype=bool), bitorder="little")
    assert tuples(Extents.from_map(packed, 4, bits=True, capacity=capacity)) == wanted


# ---- a native buffer ----


@given(extents=extent_sets())
def test_numpy_sees_the_buffer_without_a_copy(extents):
    array = np.asarray(extents)
    assert array.dtype.names == ("offset", "length", "kind")
    assert [tuple(map(int, row)) for row in array] == tuples(extents)
    assert not array.flags.writeable
    assert Extents.from_buffer(array) == extents
    if len(extents):
        assert np.shares_memory(array, np.asarray(extents))


def test_numpy_arrays_are_taken():
    extents = Extents.from_arrays(np.array([0, 8192]), np.array([4096, 1]), np.array([0, 1], dtype="u1"))
    assert tuples(extents) == [(0, 4096, 0), (8192, 1, 1)]


def test_immutable():
    extents = Extents([(0, 4)])
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(extents)["offset"][0] = 1
    with pytest.raises(TypeError, match="immutable"):
        extents.__init__([(8, 8)])
    with pytest.raises(TypeError):
        extents[0] = (1, 2)
    with pytest.raises(AttributeError):
        extents.n = 5
    assert tuples(extents) == [(0, 4, 0)]


@given(extents=extent_sets())
def test_values(extents):
    assert pickle.loads(pickle.dumps(extents)) == extents
    assert Extents(tuples(extents)) == extents == Extents(extents)
    assert hash(Extents(tuples(extents))) == hash(extents)
    assert len({extents, Extents(tuples(extents))}) == 1
    assert all(isinstance(e, Extent) and isinstance(e.kind, Kind) for e in extents)
    assert extents != 5


def test_slices_keep_the_buffer_alive():
    part = Extents([(i * 8, 4) for i in range(1000)])[500:502]
    assert tuples(part) == [(4000, 4, 0), (4008, 4, 0)]
    assert tuples(part[1:]) == [(4008, 4, 0)]
    assert part[-1] == Extent(4008, 4)
    with pytest.raises(IndexError):
        part[2]
    with pytest.raises(InvalidInput):
        part[::2]


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ([(4, 4), (0, 4)], OutOfOrder),
        ([(0, 5), (4, 4)], OutOfOrder),
        ([(0, 0)], OutOfOrder),
        ([(-1, 4)], OutOfOrder),
        ([(0, -4)], OutOfOrder),
        ([(TOP, 1)], OutOfOrder),
        ([(0, 2**63)], InvalidInput),
        ([(0, 1, 99)], InvalidInput),
        ([(0, 1, -1)], InvalidInput),
    ],
    ids=str,
)
def test_bad_extents(items, error):
    with pytest.raises(error):
        Extents(items)


def test_errors_name_the_extent():
    with pytest.raises(OutOfOrder) as caught:
        Extents([(0, 4), (8, 4), (9, 1)])
    assert caught.value.index == 2


def test_merge_refuses_streams_that_go_back():
    back = [Extents([(8, 8)]), Extents([(0, 4)])]
    for streams in [(back, []), ([], back)]:
        with pytest.raises(OutOfOrder, match="before 16"):
            list(Merge(*streams, SET_TABLES["union"]))


@pytest.mark.parametrize(("length", "capacity", "odd"), [(4, 0, 2), (4, 18, None), (4, 19, 2), (8, 0, 0)])
def test_first_odd_length(length, capacity, odd):
    assert first_odd_length(Extents([(0, 4), (8, 4), (16, 2)]), length, capacity) == odd
