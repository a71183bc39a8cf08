"""What a page is given, unpacked again by other means."""

import base64
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import Extents, pack_extents
from blockdiff.errors import InvalidInput
from blockdiff.report.packing import pack
from blockdiff.report.reading import read_report
from blockdiff.report.strip import draw
from blockdiff.report.told import block_map
from tests.native.oracle import extent_sets
from tests.report.making import G, report, text_of

SIZE = 1 << 30


def run_of(value, limit=1000):
    return read_report(io.BytesIO(text_of(value)), "r", limit=limit)


def numbers(column):
    found, value, shift = [], 0, 0
    for byte in column:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(value)
            value = shift = 0
    assert shift == 0
    return found


def columns(packed):
    raw = zlib.decompress(base64.b64decode(packed["blob"]))
    found = []
    for size in packed["sizes"]:
        found.append(raw[:size])
        raw = raw[size:]
    assert raw == b""
    return found


def unpack(facts, gaps, lengths, kinds):
    found, at = [], 0
    for gap, length, kind in zip(numbers(gaps), numbers(lengths), kinds, strict=True):
        found.append((at + gap * facts["unit"], length * facts["unit"], kind))
        at = sum(found[-1][:2])
    if found:
        offset, length, kind = found.pop()
        found.append((offset, length - facts["trim"], kind))
    assert len(found) == facts["count"]
    return found


ranges_ = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from([16, 17, 18, 19, 20])), max_size=40)


@given(ranges_, st.sampled_from([1, 512, 4096, 3000]), st.booleans(), st.integers(1, 2000))
def test_ranges_come_back(items, unit, to_the_end, tail):
    found, at = [], 0
    for gap, length, kind in items:
        found.append(((at + gap) * unit, length * unit, kind))
        at += gap + length
    size = at * unit
    if to_the_end and found:
        offset, length, kind = found.pop()
        size = offset + length + tail
        found.append((offset, size - offset, kind))
    packed = pack(run_of(report(found, size)))
    assert unpack(packed["ranges"], *columns(packed)[1:4]) == found
    assert packed["ranges"]["all"]


@given(extent_sets())
def test_native_columns(items):
    extents = Extents(items)
    gaps, lengths, kinds = pack_extents(extents, 0, 1)
    assert unpack({"unit": 1, "trim": 0, "count": len(items)}, gaps, lengths, kinds) == [tuple(e) for e in extents]


@pytest.mark.parametrize(
    ("items", "after", "unit"),
    [([(1, 2)], 0, 2), ([(0, 3), (4, 2)], 0, 2), ([(0, 2)], 1, 1), ([(0, 2)], 0, 0), ([(4, 2)], 3, 2)],
    ids=["gap", "length", "before", "unit", "after"],
)
def test_what_cannot_be_packed(items, after, unit):
    with pytest.raises(InvalidInput):
        pack_extents(Extents(items), after, unit)


def test_the_map_and_what_is_bad():
    bad = [(G, 3 * G, 1), (SIZE - 512, 512, 3)]
    value = report([(0, G)], SIZE, bad=bad, holes=[(SIZE // 2, G)])
    packed = pack(run_of(value))
    cells, *_ = columns(packed)
    got = iter(numbers(cells))
    for entry in value["map"]["runs"]:
        names = ("cells", "equal", "zero", "hole", "changed", "bad", "unverified")
        assert [next(got) for _ in names] == [entry.get(name, 0) for name in names]
    assert unpack(packed["bad"], *columns(packed)[4:7]) == bad


def test_a_page_says_which_ranges_it_lacks():
    value = report([(i * 2 * G, G) for i in range(10)], SIZE)
    assert pack(run_of(value, 4))["ranges"] | {"unit": 0} == {
        "count": 4, "unit": 0, "trim": 0, "listed": 10, "all": False
    }  # fmt: skip
    cut = {**value, "differences": value["differences"][:3]}
    assert not pack(run_of(cut))["ranges"]["all"]
    assert not pack(run_of({**report([], SIZE), "command": "copy"}))["ranges"]["all"]


HALF = {"equal": SIZE // 2 - 3 * G, "changed": 2 * G, "unverified": SIZE // 2}


def totals(value):
    return {} if value is None else {name: getattr(value.runs[0], name) for name in ("equal", "changed", "unverified")}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {"equal": SIZE - 3 * G, "changed": 2 * G, "unverified": 0}),
        ({"left_out": [(SIZE // 2, SIZE // 2)]}, HALF),
        ({"offset": 0, "length": SIZE // 2}, HALF),
        ({"complete": False}, {}),
        ({"command": "audit"}, {}),
        ({"command": "copy", "differences": []}, {}),
        ({"difference_count": 9}, {}),
        ({"differing_bytes": SIZE}, {}),
    ],
    ids=["whole", "listed", "window", "unfinished", "audit", "copy", "cut", "more"],
)  # fmt: skip
def test_an_older_report_without_a_map(changes, told):
    """What it does not tell is not called equal."""
    value = report([(0, 2 * G)], SIZE, holes=[(8 * G, G)], **{k: v for k, v in changes.items() if k == "left_out"})
    value.update({k: v for k, v in changes.items() if k != "left_out"})
    del value["map"]
    run = run_of(value)
    assert totals(block_map(run)) == told
    assert draw(run) == []


def test_the_strip_shows_the_smallest_difference():
    bands = {band.state: band.path for band in draw(run_of(report([(SIZE // 2, 512)], SIZE, holes=[(0, G)])))}
    assert set(bands) == {"changed", "equal", "hole"}
    assert bands["changed"].count("M") == 1
    assert "M128 " in bands["changed"]


def test_the_strip_of_an_empty_volume():
    assert draw(run_of(report([], 0))) == []
