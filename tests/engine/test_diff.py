import random
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.engine.diff import Diff
from blockdiff.errors import DeviceError, InvalidInput, UnsupportedOperation
from blockdiff.record import BlockMetadataType
from blockdiff.testing import FaultDevice
from tests import oracle
from tests.fixtures.descriptors import descriptors, opened_since
from tests.fixtures.images import random_pair, write_image, zero_ranges
from tests.fixtures.inprocess import READS, changed_bytes, memory

MIB = 1 << 20


def changed(a, b, granularity=4096, **options):
    """What the oracle lists as changed in the common part: zero where the target is zeroes."""
    names = {"dst-zero": "zero"}
    found = oracle.differences(a, b, granularity, size="ignore", **options)
    return oracle.joined((offset, length, names.get(name, "data")) for offset, length, name in found)


def diff(base, target, *, granularity=4096, read="auto", **options):
    return list(
        blockdiff.diff(base, target, options=blockdiff.ReadOptions(granularity=granularity, read=read), **options)
    )


def clone(source, target):
    subprocess.run(["cp", "--reflink=always", source, target], check=True)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("granularity", [512, 4096, 65536])
def test_lists_what_changed(tmp_path, read, granularity):
    for seed in range(30):
        a, b, rng = random_pair(seed)
        if len(a) != len(b):
            continue
        paths = write_image(tmp_path / "a", a, zero_ranges(a, rng)), write_image(tmp_path / "b", b, zero_ranges(b, rng))
        records = diff(*paths, granularity=granularity, read=read)
        assert changed_bytes(records) == changed(a, b, granularity), seed


def test_records_obey_the_rules(tmp_path):
    a, b = random.Random(1).randbytes(100_000), random.Random(2).randbytes(100_001)
    records = diff(write_image(tmp_path / "a", a), write_image(tmp_path / "b", b))
    assert list(blockdiff.ordered(records)) == records
    assert {record.capacity for record in records} == {len(b)}
    assert {record.type for record in records} == {BlockMetadataType.VARIABLE_LENGTH}


@pytest.mark.parametrize(
    ("base", "target"),
    [
        pytest.param(4096, 9000, id="grown"),
        pytest.param(9000, 4096, id="shrunk"),
        pytest.param(0, 5000, id="from-nothing"),
        pytest.param(5000, 0, id="to-nothing"),
        pytest.param(5000, 5001, id="one-byte"),
    ],
)
@pytest.mark.parametrize("method", ["auto", "content"])
def test_sizes(tmp_path, base, target, method):
    data = random.Random(0).randbytes(9000)
    records = diff(write_image(tmp_path / "a", data[:base]), write_image(tmp_path / "b", data[:target]), method=method)
    extents = changed_bytes(records)
    assert extents == ([(base, target - base, "data")] if target > base else [])


def test_holes_beyond_the_base_are_changed_to_zero(tmp_path):
    a, b = b"A" * 4096, b"A" * 4096 + bytes(65536)
    records = diff(write_image(tmp_path / "a", a), write_image(tmp_path / "b", b, [(4096, len(b))]))
    assert changed_bytes(records) == [(4096, 65536, "zero")]


@pytest.mark.parametrize(("offset", "length"), [(0, 5000), (5000, None), (4097, 8000), (0, 0), (30000, 20001)])
def test_window(tmp_path, offset, length):
    a, b = random.Random(1).randbytes(40000), random.Random(2).randbytes(50001)
    records = diff(write_image(tmp_path / "a", a), write_image(tmp_path / "b", b), offset=offset, length=length)
    end = len(b) if length is None else offset + length
    assert oracle.bytes_in(changed_bytes(records)) == set(range(offset, end))


def test_the_sums_of_a_run(tmp_path):
    a, b = bytes(40960), bytes(4096) + b"B" * 4096 + bytes(32768)
    paths = write_image(tmp_path / "a", a), write_image(tmp_path / "b", b)
    with blockdiff.open_device(paths[0]) as base, blockdiff.open_device(paths[1]) as target:
        run = Diff(base, target)
        list(run.records())
    assert (run.method, run.changed_bytes) == ("content", 4096)
    assert "XFS and btrfs only" in run.fallback


@pytest.mark.parametrize("method", ["auto", "reflink"])
def test_reflink(reflink_dir, method):
    """Only what was written since the clone is read, and everything that differs is listed."""
    a = random.Random(3).randbytes(4 * MIB)
    base = write_image(reflink_dir / "a", a)
    subprocess.run(["sync", base], check=True)
    target = reflink_dir / "b"
    clone(base, target)
    b = bytearray(a)
    with target.open("r+b") as file:
        for at, data in (
            (100, b"x"),
            (MIB, b"y" * 8192),
            (2 * MIB + 4095, b"zz"),
            (3 * MIB, a[3 * MIB : 3 * MIB + 4096]),
        ):
            file.seek(at)
            file.write(data)
            b[at : at + len(data)] = data
    subprocess.run(["sync", target], check=True)
    with blockdiff.open_device(base) as first, blockdiff.open_device(target) as second:
        run = Diff(first, second, method=method)
        extents = changed_bytes(run.records())
    listed = oracle.bytes_in(extents)
    assert oracle.differing_offsets(a, bytes(b)) <= listed
    unshared = 5 * 4096 + 4096  # five written blocks that differ, one written again with what it held
    if method == "auto":
        assert run.method == "reflink+content"
        assert extents == changed(a, bytes(b))
        assert run.run.report.bytes_read == 2 * unshared
        assert run.run.report.skipped == {"shared": len(a) - unshared}
    else:
        assert (run.method, run.run) == ("reflink", None)
        assert len(listed) == unshared


@pytest.mark.parametrize("size_change", [-5000, 0, 70001], ids=["shrunk", "same", "grown"])
def test_reflink_never_under_reports(reflink_dir, size_change):
    rng = random.Random(size_change)
    for round_ in range(8):
        a = bytearray(rng.randbytes(300_001))
        a[50_000:120_000] = bytes(70_000)
        base = write_image(reflink_dir / f"a{round_}", bytes(a), [(53248, 114688)])
        subprocess.run(["sync", base], check=True)
        target = reflink_dir / f"b{round_}"
        clone(base, target)
        with target.open("r+b") as file:
            file.truncate(len(a) + size_change)
            for _ in range(rng.randrange(8)):
                file.seek(rng.randrange(len(a) + min(0, size_change)))
                file.write(rng.choice((rng.randbytes(rng.randrange(1, 9000)), bytes(5000))))
        b = target.read_bytes()
        listed = oracle.bytes_in(changed_bytes(diff(base, target, method="reflink")))
        differing = {i for i in oracle.differing_offsets(bytes(a), b) if i < len(b)}
        assert differing <= listed
        assert oracle.bytes_in(changed_bytes(diff(base, target))) >= differing
        assert listed <= set(range(len(b)))


def test_require(tmp_path, tmpfs_dir):
    paths = write_image(tmp_path / "a", b"A" * 5000), write_image(tmpfs_dir / "b", b"B" * 5000)
    with pytest.raises(UnsupportedOperation, match="reflink cannot be used"):
        diff(*paths, require="reflink")
    with pytest.raises(UnsupportedOperation, match="reflink cannot be used"):
        diff(*paths, method="reflink")
    assert changed_bytes(diff(*paths, require="content")) == [(0, 5000, "data")]
    with pytest.raises(InvalidInput, match="contradicts"):
        diff(*paths, method="content", require="reflink")
    for name in ("method", "require"):
        with pytest.raises(InvalidInput, match="unknown method"):
            diff(*paths, **{name: "guess"})


def test_reflink_of_devices_without_files():
    with pytest.raises(UnsupportedOperation, match="not a file"):
        diff(memory(b"A" * 4096), memory(b"A" * 4096), require="reflink")
    assert changed_bytes(diff(memory(b"A" * 4096), memory(b"A" * 4096))) == []


def test_keep_going_is_refused():
    with pytest.raises(InvalidInput, match="left out"):
        Diff(memory(b"A"), memory(b"A"), options=blockdiff.ReadOptions(keep_going=True))


def test_trouble_ends_the_list():
    with pytest.raises(DeviceError, match="offset 8192"):
        diff(memory(b"A" * 40960), FaultDevice(memory(b"B" * 40960), "..E"))


def test_leaving_early_closes_the_devices(tmp_path):

    a, b = write_image(tmp_path / "a", b"A" * 9 * MIB), write_image(tmp_path / "b", b"B" * 9 * MIB)
    before = descriptors()
    records = blockdiff.diff(a, b)
    next(records)
    records.close()
    assert not opened_since(before)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 60), granularity=st.sampled_from([512, 4096, 65536]))
def test_applying_a_diff_makes_the_target(tmp_path_factory, seed, granularity):
    a, b, rng = random_pair(seed)
    base = tmp_path_factory.getbasetemp()
    paths = write_image(base / "a", a, zero_ranges(a, rng)), write_image(base / "b", b, zero_ranges(b, rng))
    result = bytearray(a[: len(b)].ljust(len(b), b"?"))
    for offset, length, kind in changed_bytes(diff(*paths, granularity=granularity)):
        if kind == "zero":
            assert not any(b[offset : offset + length])
        result[offset : offset + length] = b[offset : offset + length]
    assert result == b


def test_a_changed_list_is_small_on_a_clone(xfs_dir):
    """Unrelated files in the same directory change nothing."""
    base = write_image(xfs_dir / "a", random.Random(0).randbytes(MIB))
    subprocess.run(["sync", base], check=True)
    clone(base, xfs_dir / "b")
    shutil.copy(base, xfs_dir / "c")
    assert changed_bytes(diff(base, xfs_dir / "b", method="reflink")) == []


def test_changes_are_given_as_they_are_found():
    """Not when the whole of the volumes was read: a consumer that is cut off goes on from there."""
    a, b = bytearray(256 * MIB), bytearray(256 * MIB)
    for at in (5, 70 * MIB, 200 * MIB):
        b[at] = 1
    run = Diff(memory(bytes(a)), memory(bytes(b)), options=blockdiff.ReadOptions(workers=1))
    records = run.records()
    assert next(records).extents.start == 0
    assert not run.run.report.complete
    assert [record.extents.start for record in records] == [70 * MIB, 200 * MIB]
