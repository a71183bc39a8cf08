"""The block map against a byte-by-byte count."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import Extents, Tally
from blockdiff.engine.blockmap import MAX_CELLS, STATES, UNVERIFIED, BlockMap, cell_size, table
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.engine.verify import Verification
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.extent import Kind
from blockdiff.testing.faults import Fault, FaultDevice
from tests import oracle
from tests.fixtures.cli import blockdiff
from tests.fixtures.schemas import obeys

G = 512
ALL = (*STATES, UNVERIFIED)


def cells_of(value):
    """One dict for each cell, and its range."""
    found, at = [], 0
    for run in value["runs"]:
        for _ in range(run["cells"]):
            end = min(value["size"], at + value["cell_bytes"])
            found.append((at, end, {name: run.get(name, 0) for name in ALL}))
            assert sum(found[-1][2].values()) == end - at, "the states of a cell add up to its bytes"
            at = end
    assert at == value["size"]
    assert len(found) == value["cells"] <= MAX_CELLS
    return found


def totals(value):
    return {name: sum(counts[name] for _, _, counts in cells_of(value)) for name in ALL}


def agree(report):
    """The sums of the map are those of the report."""
    sums = totals(report.extra["map"])
    skipped = dict(report.skipped)
    assert sums["changed"] == report.differing_bytes
    assert sums["bad"] == report.unreadable_bytes
    assert sums["hole"] == skipped.pop("hole", 0)
    within = report.length - skipped.pop("not-listed", 0)
    tail = report.bytes_by_class.get("size", 0)
    assert sums["equal"] + sums["zero"] + sums["hole"] + sums["changed"] - tail + sums["bad"] == within
    assert not report.identical or not sums["changed"] + sums["bad"]


class Sparse:
    """An image in memory that says where its holes are."""

    block_size = 512

    def __init__(self, data, holes=()):
        self.data, self.holes, self.size, self.url = data, holes, len(data), "ram"

    def pread_into(self, buffer, offset):
        view = memoryview(buffer).cast("B")
        view[:] = self.data[offset : offset + len(view)]

    def extents(self, start=0, length=None):
        end = self.size if length is None else start + length
        holes = Extents([(lo, hi - lo, 2) for lo, hi in self.holes]).clip(start, end)
        whole = Extents([(start, end - start)]) if end > start else Extents()
        yield holes | whole

    def fileno(self):
        return None

    def clone(self):
        return self

    def close(self):
        pass


def run(a, b, fails=None, **options):
    """The report with its map, as the command makes it."""
    options.setdefault("options", ReadOptions(granularity=G))
    blockmap = BlockMap(max(a.size, b.size), options["options"].granularity)
    run = Verification(a, b, watchers=[blockmap], **options)
    with pytest.raises(fails) if fails else contextlib.nullcontext():
        for batch in run:
            blockmap.tail(batch.only(Kind.SIZE))
    run.report.extra["map"] = blockmap.to_dict()
    return run.report


@st.composite
def images(draw):
    """Two images and their holes; sizes are unaligned and may differ."""
    blocks = draw(st.integers(0, 24))
    tail = draw(st.sampled_from([0, 1, 100, G - 1]))
    content = draw(st.binary(min_size=blocks, max_size=blocks))
    data = b"".join(bytes([byte % 3]) * G for byte in content) + b"t" * tail
    other = bytearray(data)
    for block in draw(st.sets(st.integers(0, max(0, blocks - 1)), max_size=6)):
        if blocks:
            other[block * G + 7] ^= 1
    cut = draw(st.integers(0, 3)) * 300
    other = bytes(other[: max(0, len(other) - cut)])
    return [Sparse(image, draw_holes(draw, image)) for image in (data, other)]


def draw_holes(draw, image):
    """Some of the blocks of zeroes."""
    zero = [at for at in range(0, len(image) - G + 1, G) if not any(image[at : at + G])]
    return [(at, at + G) for at in zero if draw(st.booleans())]


@given(images(), st.integers(0, 4000), st.one_of(st.none(), st.integers(0, 9000)), st.sampled_from(["strict", "min"]))
def test_every_byte_is_counted_once_and_as_what_it_is(pair, offset, length, size):
    a, b = pair
    largest = max(a.size, b.size)
    offset = min(offset, largest)
    length = None if length is None else min(length, largest - offset)
    report = run(a, b, offset=offset, length=length, size=size)
    agree(report)
    wrong = oracle.differences(
        a.data, b.data, G, start=offset, end=None if length is None else offset + length, size=size
    )
    differing = oracle.bytes_in(wrong)
    asked = set(range(report.offset, report.offset + report.length))
    for start, end, counts in cells_of(report.extra["map"]):
        here = set(range(start, end))
        assert counts["changed"] == len(here & differing)
        assert counts[UNVERIFIED] == len(here - asked - differing)


@given(images(), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=5))
def test_what_is_not_listed_is_never_equal(pair, ranges):
    a, b = pair
    listed, at = [], 0
    for gap, length in ranges:
        listed.append((at + gap * 100, length * 100))
        at = sum(listed[-1])
    common = min(a.size, b.size)
    only = Extents(listed).clip(0, common)
    report = run(a, b, only=iter([only]), size="min")
    agree(report)
    covered = oracle.bytes_in(only)
    for start, end, counts in cells_of(report.extra["map"]):
        assert counts[UNVERIFIED] == len(set(range(start, end)) - covered)


@pytest.mark.parametrize("side", [0, 1], ids=["source", "target"])
def test_unreadable_ranges_are_bad(side):
    data = bytes(range(256)) * 64
    other = bytearray(data)
    other[9000] ^= 4
    devices = [Sparse(data), Sparse(bytes(other))]
    devices[side] = FaultDevice(devices[side], faults=[Fault(4096, 5120)])
    report = run(*devices, options=ReadOptions(granularity=G, keep_going=True))
    agree(report)
    assert totals(report.extra["map"]) == {
        "equal": len(data) - 1024 - G, "zero": 0, "hole": 0, "changed": G, "bad": 1024, UNVERIFIED: 0
    }  # fmt: skip


def test_a_run_that_failed_leaves_the_rest_unverified():
    data = bytes(range(256)) * 64
    failing = FaultDevice(Sparse(data), faults=[Fault(8192, 8704)])
    report = run(Sparse(data), failing, DeviceError, options=ReadOptions(granularity=G, workers=1))
    sums = totals(report.extra["map"])
    assert sums[UNVERIFIED] >= len(data) - 8192
    assert sums["equal"] <= 8192


def test_first_leaves_the_rest_unverified(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(bytes(64 << 20))
    content = bytearray(64 << 20)
    content[5] = 1
    b.write_bytes(content)
    with open_device(a) as one, open_device(b) as two:
        report = run(one, two, first=True, options=ReadOptions(workers=1))
    assert totals(report.extra["map"])[UNVERIFIED] > 0


def test_an_empty_device_has_no_cells():
    report = run(Sparse(b""), Sparse(b""))
    assert report.extra["map"] == {"size": 0, "cell_bytes": G, "cells": 0, "runs": []}
    assert report.identical


@given(st.integers(0, 1 << 62), st.sampled_from([512, 4096, 1 << 20]))
def test_cells_are_few_and_not_smaller_than_they_must_be(size, least):
    cell = cell_size(size, least)
    assert size <= cell * MAX_CELLS
    assert cell == least or size > cell // 2 * MAX_CELLS


@given(
    st.integers(1, 3000),
    st.integers(1, 700),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300), st.integers(0, 3)), max_size=12),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=12),
)
def test_the_tally_against_one_that_counts_bytes(size, cell, booked, moved):
    task, found = placed(booked), placed([(*item, 0) for item in moved])
    tally = Tally(size, cell, 4)
    states = table({0: 0, 1: 1, 2: 2})  # kind 3 counts as nothing
    tally.book(task, states)
    tally.move(task, found, states, 3)
    truth = [None] * size
    for extent in task:
        for byte in range(extent.offset, min(size, extent.end)):
            truth[byte] = extent.kind if extent.kind < 3 else None
    for extent in found:
        for byte in range(extent.offset, min(size, extent.end)):
            truth[byte] = None if truth[byte] is None else 3
    want = [tuple(truth[at : at + cell].count(state) for state in range(4)) for at in range(0, size, cell)]
    assert [counts for cells, counts in tally.runs() for _ in range(cells)] == want
    assert tally.totals() == [truth.count(state) for state in range(4)]


def placed(items):
    found, at = [], 0
    for gap, length, kind in items:
        found.append((at + gap, length, kind))
        at += gap + length
    return Extents(found)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [((-1, 1, 1), "no tally"), ((1, 0, 1), "no tally"), ((1, 1, 17), "no tally"), ((1 << 40, 1, 1), "more than")],
)
def test_tallies_that_cannot_be(arguments, what):
    with pytest.raises(InvalidInput, match=what):
        Tally(*arguments)


def test_tables_and_states_are_checked():
    tally = Tally(10, 1, 2)
    with pytest.raises(InvalidInput, match="256"):
        tally.book(Extents(), b"")
    with pytest.raises(InvalidInput, match="no state 2"):
        tally.move(Extents(), Extents(), bytes(256), 2)


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_json_reports_have_it(tmp_path, output):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(bytes(range(256)) * 400 + b"tail")
    content = bytearray(a.read_bytes())
    content[70000] ^= 1
    b.write_bytes(content + b"longer")
    value = json.loads(blockdiff("verify", "-o", output, a, b, expect=1).stdout.splitlines()[-1])
    obeys(value, "report" if output == "json" else "summary")
    assert totals(value["map"])["changed"] == value["differing_bytes"] == 4096 + 6
    assert value["started_at"][:2] == "20"
    assert value["started_at"].endswith("Z")
