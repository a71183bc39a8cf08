"""Sources that list blocks and hold none, where devices are named otherwise."""

import json
import sys
import textwrap

import pytest

import blockdiff
from blockdiff.engine import registry
from blockdiff.engine.extentlist import read_extents
from blockdiff.errors import InvalidInput, OutOfOrder, SourceError, UnsupportedOperation
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record
from blockdiff.snapshot import Snapshot, SnapshotPair
from blockdiff.testing import extents
from tests.fixtures.cli import blockdiff as command

K = 4096
SOURCE = """
from blockdiff.errors import SourceError
from blockdiff.record import BlockMetadataType, Record
from blockdiff.snapshot import Snapshot, SnapshotPair
from blockdiff import Extents


class Listed:
    method = "cbt"
    warnings = ["the service was slow"]
    closed = 0

    def __init__(self, spec):
        self.spec = spec

    def records(self, pair, *, start=0, limit=0):
        assert pair.base is None or pair.base.name
        for part in self.spec.split("|"):
            if part == "broken":
                raise SourceError("the stream broke")
            items = [tuple(map(int, item.split("+"))) for item in part.split(",") if item]
            items = [item for item in items if sum(item) > start]
            yield Record(BlockMetadataType.VARIABLE_LENGTH, 65536, Extents(items))

    def close(self):
        Listed.closed += 1


def open_source(base, target):
    return Listed(target.rest), SnapshotPair(base and Snapshot("v", base.rest), Snapshot("v", target.rest))
"""


@pytest.fixture(autouse=True)
def lists(tmp_path, monkeypatch):
    """The schemes ``lists:`` and ``other:``: a URL says what is listed, records parted by bars."""
    (tmp_path / "lists_source.py").write_text(textwrap.dedent(SOURCE))
    info = tmp_path / "lists_source-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lists-source\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[blockdiff.backends]\nlists = lists_source\nother = lists_source\n")
    monkeypatch.setattr(registry, "_modules", dict(registry._modules))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    yield
    sys.modules.pop("lists_source", None)


def listed(records):
    return [(e.offset, e.length, Kind(e.kind).label) for record in records for e in record.extents]


def test_a_diff_of_two_snapshots():
    records = list(blockdiff.diff("lists:a", f"lists:0+{K}|{2 * K}+{K},{4 * K}+1"))
    assert listed(records) == [(0, K, "data"), (2 * K, K, "data"), (4 * K, 1, "data")]
    assert {record.capacity for record in records} == {65536}
    assert sys.modules["lists_source"].Listed.closed == 1


@pytest.mark.parametrize(
    ("offset", "length", "found"),
    [
        (0, 0, []),
        (1, None, [(1, K - 1), (2 * K, K)]),
        (K, K, []),
        (K, K + 1, [(2 * K, 1)]),
        (2 * K + 5, 10, [(2 * K + 5, 10)]),
        (3 * K, None, []),
    ],
)
def test_a_window(offset, length, found):
    records = list(blockdiff.diff("lists:a", f"lists:0+{K}|{2 * K}+{K}", offset=offset, length=length))
    assert [item[:2] for item in listed(records)] == found
    assert records[0].capacity == 65536


def test_a_map_has_holes_between():
    found = listed(blockdiff.map(f"lists:{K}+{K}|{4 * K}+{K}"))
    assert found == [
        (0, K, "hole"), (K, K, "data"), (2 * K, 2 * K, "hole"), (4 * K, K, "data"), (5 * K, 65536 - 5 * K, "hole"),
    ]  # fmt: skip
    assert listed(blockdiff.map(f"lists:{K}+{K}", holes=False)) == [(K, K, "data")]
    assert listed(blockdiff.map(f"lists:{K}+{K}", offset=100, length=K)) == [(100, K - 100, "hole"), (K, 100, "data")]


def test_nothing_listed():
    assert [record.capacity for record in blockdiff.diff("lists:a", "lists:|")] == [65536, 65536]
    assert listed(blockdiff.map("lists:")) == [(0, 65536, "hole")]


def test_what_is_out_of_order_is_refused():
    with pytest.raises(OutOfOrder, match="record 2 begins at 0"):
        list(blockdiff.diff("lists:a", f"lists:{K}+{K}|0+{K}"))
    with pytest.raises(OutOfOrder, match="past the capacity"):
        list(blockdiff.diff("lists:a", "lists:65536+1"))


def test_mixed_with_others(tmp_path):
    (tmp_path / "image").write_bytes(bytes(100))
    for pair in [("lists:a", tmp_path / "image"), (tmp_path / "image", "lists:a")]:
        with pytest.raises(InvalidInput, match="lists:a lists blocks and holds no data"):
            list(blockdiff.diff(*pair))
    with pytest.raises(InvalidInput, match="two services"):
        list(blockdiff.diff("lists:a", "other:b"))
    with pytest.raises(UnsupportedOperation, match="holds no data"):
        blockdiff.verify("lists:a", tmp_path / "image")
    with pytest.raises(UnsupportedOperation, match="method content cannot be used"):
        list(blockdiff.diff("lists:a", "lists:b", require="content"))
    with pytest.raises(UnsupportedOperation, match="reads data"):
        list(blockdiff.map("lists:a", zeroes=True))
    with pytest.raises(UnsupportedOperation, match="cbt cannot be used"):
        list(blockdiff.diff(tmp_path / "image", tmp_path / "lists_source.py", require="cbt"))


def test_a_list_that_can_be_walked_twice():
    listed = read_extents(f"lists:0+{K}|{2 * K}+{K}", capacity=65536, checked=True)
    assert (listed.capacity, listed.count, listed.granularity) == (65536, 2, K)
    for _ in range(2):
        assert [tuple(e) for batch in listed for e in batch] == [(0, K, 0), (2 * K, K, 0)]
    listed.close()


def test_a_stream_that_breaks_gives_no_list():
    with pytest.raises(SourceError, match="broke"):
        read_extents(f"lists:0+{K}|broken", checked=True)
    with pytest.raises(SourceError, match="broke"):
        list(blockdiff.diff("lists:a", f"lists:0+{K}|broken"))


def test_on_the_command_line(tmp_path):
    done = command("diff", "--exit-code", "lists:a", f"lists:0+{K}", expect=1)
    assert "changed: 4,096 bytes (4.0 KiB), method cbt" in done.stdout
    assert "warning: the service was slow" in done.stderr
    done = command("diff", "-o", "json", "--require", "cbt", "lists:a", f"lists:0+{K}", expect=0)
    assert json.loads(done.stdout)[0]["block_metadata"] == [{"byte_offset": 0, "size_bytes": K}]
    done = command("map", f"lists:{K}+{K}", expect=0)
    assert "65,536 bytes: data 4.0 KiB, zero 0 B, hole 60.0 KiB; method cbt" in done.stdout
    command("diff", "-o", "export-diff", "--from-name", "x", "lists:a", "lists:b", expect=4)
    done = command("diff", "-o", "json", "lists:a", f"lists:0+{K}|broken", expect=3)
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)


def test_audit_copy_and_verify_by_such_a_list(tmp_path):
    a, b = bytearray(65536), bytearray(65536)
    b[K : 2 * K] = b"x" * K
    for name, content in (("a", a), ("b", b)):
        (tmp_path / name).write_bytes(content)
    command("audit", tmp_path / "a", tmp_path / "b", "--extents", f"lists:{K}+{K}", expect=0)
    done = command("audit", tmp_path / "a", tmp_path / "b", "--extents", f"lists:{K}+512", expect=1)
    assert "UNDER-REPORTED" in done.stdout
    command("verify", tmp_path / "a", tmp_path / "b", "--extents", f"lists:{2 * K}+{K}", expect=0)
    command("copy", tmp_path / "b", tmp_path / "a", "--extents", f"lists:{K}+{K}|broken", expect=3)
    assert (tmp_path / "a").read_bytes() == a
    command("copy", tmp_path / "b", tmp_path / "a", "--extents", f"lists:{K}+{K}", expect=0)
    assert (tmp_path / "a").read_bytes() == b


def test_the_pair_says_what_it_is():
    pair = SnapshotPair(None, Snapshot("v", "s"))
    assert str(pair) == "v@s"
    assert Record(BlockMetadataType.FIXED_LENGTH, 1, extents("A")).type == 1
