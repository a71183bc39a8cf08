"""The block map of JSON reports on real storage, and with what else verify does: its sums are those of the report."""

import json
import random

import pytest

from blockdiff._fast import Extents
from tests import oracle
from tests.engine.test_blockmap import cells_of, totals
from tests.fixtures.cli import blockdiff, within
from tests.fixtures.images import write_image
from tests.fixtures.schemas import obeys

MIB = 1 << 20


def changed_bytes(value):
    """The bytes that differ in each cell, by the list of ranges."""
    ranges = Extents([(item["offset"], item["length"]) for item in value["differences"]])
    return [ranges.clip(start, end).total() for start, end, _ in cells_of(value["map"])]


def agrees(value):
    """The map of a finished run adds up to its report, cell by cell."""
    obeys(value, "report")
    sums = totals(value["map"])
    skipped = {item["reason"]: item["bytes"] for item in value["skipped"]}
    assert sums["changed"] == value["differing_bytes"]
    assert [counts["changed"] for _, _, counts in cells_of(value["map"])] == changed_bytes(value)
    assert sums["hole"] == skipped.get("hole", 0)
    assert sums["bad"] == value["unreadable_bytes"]
    assert sums["unverified"] == skipped.get("not-listed", 0)
    return sums


def images(size=5 * MIB + 1000, holes=((MIB, 2 * MIB),)):
    dice = random.Random(5)
    data = bytearray(dice.randbytes(size))
    for lo, hi in holes:
        data[lo:hi] = bytes(hi - lo)
    other = bytearray(data)
    for at in (0, 70_000, 3 * MIB + 5, size - 1):
        other[at] ^= 8
    return bytes(data), bytes(other)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["osd-checksum", "content"])
def test_rbd(ceph, method):
    data, other = images()
    a, b = (ceph.url(ceph.image(name, len(content), content)) for name, content in (("a", data), ("b", other)))
    value = json.loads(blockdiff("verify", "-o", "json", "--method", method, a, b, expect=1).stdout)
    sums = agrees(value)
    assert value["method"] == method
    assert sums["changed"] == sum(length for _, length, _ in oracle.differences(data, other))
    assert sums["equal"] + sums["zero"] + sums["hole"] == len(data) - sums["changed"]


def test_nbd(nbd, tmp_path):
    data, other = (content[: 5 * MIB] for content in images())
    a, b = write_image(tmp_path / "a", data), write_image(tmp_path / "b", other)
    url = nbd.qemu_nbd(b).uri()
    sums = agrees(json.loads(blockdiff("verify", "-o", "json", a, url, expect=1).stdout))
    assert sums["changed"] == sum(length for _, length, _ in oracle.differences(data, other))


@pytest.fixture
def pair(tmp_path):
    data, other = images()
    return write_image(tmp_path / "a", data), write_image(tmp_path / "b", other)


WAYS = {
    "plain": (),
    "strict": ("--strict",),
    "list": ("--extents", "list.json"),
    "recheck": ("--recheck", "0"),
    "triage": ("--triage",),
    "checkpoint": ("--checkpoint", "point"),
    "repair": ("--repair", "--journal", "undo"),
}


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_with_what_else_verify_does(pair, tmp_path, words):
    (tmp_path / "list.json").write_text('[{"offset":4096,"length":2000000}]')
    done = within("verify", "-o", "json", *words, *pair, cwd=tmp_path)
    assert done.returncode in (0, 1)
    agrees(json.loads(done.stdout))


def test_a_sample_leaves_the_rest_unverified(pair, tmp_path):
    done = within("verify", "-o", "json", "--sample", "10%", *pair, cwd=tmp_path)
    value = json.loads(done.stdout)
    sums = agrees(value)
    assert sums["unverified"] > sums["equal"]
    assert not value["identical"]


def test_what_was_taken_back_is_not_called_equal():
    """A difference that is gone when it is read again: the map does not show it, and does not call it proved."""
    from blockdiff.engine.blockmap import BlockMap

    blockmap = BlockMap(4 * MIB, 4096)
    blockmap.settle(Extents([(0, 4 * MIB)]), Extents([(0, 4096, 16), (8192, 4096, 16)]), Extents())
    blockmap.confirm([Extents([(8192, 4096, 16)])])
    assert totals(blockmap.to_dict()) == {
        "equal": 4 * MIB - 8192, "zero": 0, "hole": 0, "changed": 4096, "bad": 0, "unverified": 4096
    }  # fmt: skip
