import errno
import os
import random
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.engine.written import MAX_WRITTEN, Written
from blockdiff.errors import ContentsDoNotMatch, DeviceBusy, DeviceError, InvalidInput, SizeChanged
from blockdiff.testing import FaultDevice, MemoryDevice, image
from tests import oracle
from tests.fixtures.images import random_pair, write_image, zero_ranges
from tests.fixtures.inprocess import READS, memory

MIB = 1 << 20


def copy(source, target, *, granularity=4096, read="auto", workers=0, **options):
    reading = blockdiff.ReadOptions(granularity=granularity, read=read, workers=workers)
    return blockdiff.copy(source, target, options=reading, **options)


def allocated(path):
    return os.stat(path).st_blocks * 512


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4095, 4096, 4097, MIB + 17, 8 * MIB + 1])
@pytest.mark.parametrize("read", READS)
def test_new_file(tmp_path, size, read):
    data = random.Random(size).randbytes(size)
    report = copy(write_image(tmp_path / "a", data), tmp_path / "b", read=read)
    assert (tmp_path / "b").read_bytes() == data
    assert report.extra["copied_bytes"] == size
    assert report.complete
    assert not report.identical  # nothing was read back


@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
@pytest.mark.parametrize("verify", [False, True], ids=["blind", "verified"])
@pytest.mark.parametrize("sparse", ["auto", "always", "never"])
def test_any_content_over_any_other(tmp_path, changed, verify, sparse):
    for seed in range(12):
        a, b, rng = random_pair(seed)
        source = write_image(tmp_path / "a", a, zero_ranges(a, rng))
        target = write_image(tmp_path / "b", b, zero_ranges(b, rng))
        report = copy(source, target, changed=changed, verify=verify, sparse=sparse, resize=True)
        assert target.read_bytes() == a, seed
        assert source.read_bytes() == a
        assert report.identical == verify
        assert report.extra["verified"] is (True if verify else None)
        if oracle.qemu_identical(source, target) is False:
            pytest.fail(f"qemu-img sees a difference: seed {seed}")


def test_changed_writes_only_what_differs(tmp_path):
    a = random.Random(0).randbytes(40960)
    b = bytearray(a)
    b[0] ^= 1
    b[20480:20490] = bytes(10)
    report = copy(write_image(tmp_path / "a", a), write_image(tmp_path / "b", bytes(b)), changed=True, verify=True)
    assert report.extra["copied_bytes"] == 8192
    assert report.extra["verified_bytes"] == 8192
    assert (report.difference_count, report.differing_bytes) == (2, 8192)
    assert report.method.startswith("changed (")
    assert (tmp_path / "b").read_bytes() == a


def test_changed_of_equal_writes_nothing(tmp_path):
    a = random.Random(0).randbytes(100_001)
    target = write_image(tmp_path / "b", a)
    before = os.stat(target).st_mtime_ns
    report = copy(write_image(tmp_path / "a", a), target, changed=True, verify=True)
    assert report.extra == {"copied_bytes": 0, "zeroed_bytes": 0, "verified": True, "verified_bytes": 0}
    assert os.stat(target).st_mtime_ns == before


@pytest.mark.parametrize(
    ("sparse", "holes", "zeroes"),
    [("auto", True, False), ("always", True, True), ("never", False, False)],
    ids=["auto", "always", "never"],
)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_sparse(ext4_dir, sparse, holes, zeroes, existing):
    """auto keeps holes, always makes them of zeroes too, never makes none."""
    image("64k:A 64k:- 64k:0 64k:B", ext4_dir / "a")
    if existing:
        image("256k:X", ext4_dir / "b")
    copy(ext4_dir / "a", ext4_dir / "b", sparse=sparse)
    subprocess.run(["sync", ext4_dir / "b"], check=True)
    assert (ext4_dir / "b").read_bytes() == (ext4_dir / "a").read_bytes()
    expected = 262144 - 65536 * holes - 65536 * zeroes
    assert allocated(ext4_dir / "b") == expected


@pytest.mark.parametrize("resize", [False, True])
def test_longer_target(tmp_path, resize):
    source, target = write_image(tmp_path / "a", b"A" * 5000), write_image(tmp_path / "b", b"B" * 9000)
    if not resize:
        with pytest.raises(InvalidInput, match="--resize"):
            copy(source, target)
        assert target.read_bytes() == b"B" * 9000
        return
    copy(source, target, resize=True)
    assert target.read_bytes() == b"A" * 5000


def test_shorter_file_is_extended(tmp_path):
    source, target = write_image(tmp_path / "a", b"A" * 9000), write_image(tmp_path / "b", b"B" * 5000)
    copy(source, target, changed=True)
    assert target.read_bytes() == b"A" * 9000


def test_device_that_is_too_small():
    with pytest.raises(InvalidInput, match="too small"):
        copy(memory(bytes(8192)), MemoryDevice(4096))


def test_what_a_larger_device_has_beyond_is_not_touched():
    target = MemoryDevice(b"B" * 9000)
    copy(memory(b"A" * 5000), target, verify=True)
    assert target.data == b"A" * 5000 + b"B" * 4000


@pytest.mark.parametrize("only", [[], [(0, 5000)], [(1, 1), (4095, 2), (30000, 10001)]], ids=["none", "head", "bytes"])
@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
def test_only(tmp_path, only, changed):
    a, b = random.Random(1).randbytes(40001), random.Random(2).randbytes(40001)
    source, target = write_image(tmp_path / "a", a), write_image(tmp_path / "b", b)
    report = copy(source, target, extents=blockdiff.Extents(only), verify=True, changed=changed)
    listed = oracle.bytes_in(only)
    assert target.read_bytes() == bytes(a[i] if i in listed else b[i] for i in range(len(a)))
    assert report.extra["copied_bytes"] == len(listed)
    assert not report.identical  # the rest was not looked at


def test_only_of_zeroes(tmp_path):
    """A listed hole is copied as zeroes."""
    image("64k:A 64k:- 64k:B", tmp_path / "a")
    image("192k:X", tmp_path / "b")
    report = copy(tmp_path / "a", tmp_path / "b", extents=blockdiff.Extents([(60000, 70000)]))
    expected = bytearray(b"X" * 196608)
    expected[60000:130000] = (tmp_path / "a").read_bytes()[60000:130000]
    assert (tmp_path / "b").read_bytes() == expected
    assert report.extra["zeroed_bytes"] + report.extra["copied_bytes"] == 70000


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
def test_workers(tmp_path, workers, changed):
    data = (random.Random(0).randbytes(MIB) * 21)[: 20 * MIB + 17]
    data = data[: 5 * MIB] + bytes(3 * MIB) + data[8 * MIB :]
    source = write_image(tmp_path / "a", data, [(5 * MIB, 7 * MIB)])
    copy(source, tmp_path / "b", workers=workers, changed=changed, verify=True)
    assert (tmp_path / "b").read_bytes() == data


def test_the_same_file_is_refused(tmp_path):
    source = write_image(tmp_path / "a", b"A" * 5000)
    os.link(source, tmp_path / "hard")
    os.symlink(source, tmp_path / "soft")
    for target in (source, tmp_path / "hard", tmp_path / "soft"):
        for force in (False, True):
            with pytest.raises(DeviceBusy):
                copy(source, target, force=force)
    assert source.read_bytes() == b"A" * 5000


def test_unknown_sparse(tmp_path):
    with pytest.raises(InvalidInput, match="zeroes"):
        copy(memory(b"A"), MemoryDevice(1), sparse="maybe")


def test_going_on_past_what_cannot_be_read_is_refused():
    """A copy that left something out must not end well."""
    source = FaultDevice(memory(b"A" * 40960), ".E")
    target = MemoryDevice(40960)
    with pytest.raises((InvalidInput, DeviceError)):
        blockdiff.copy(source, target, options=blockdiff.ReadOptions(keep_going=True))


@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
def test_unreadable_source(changed):
    source = FaultDevice(memory(b"A" * 3 * MIB), ".E")
    with pytest.raises(DeviceError, match="cannot read memory: at offset 4096") as caught:
        copy(source, MemoryDevice(3 * MIB), changed=changed)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize(("picture", "code"), [("..W", errno.EIO), ("..N", errno.ENOSPC)], ids=["eio", "enospc"])
@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
@pytest.mark.parametrize("content", [b"A", b"\0"], ids=["data", "zeroes"])
def test_write_fails(picture, code, changed, content):
    inner = MemoryDevice(b"B" * 40960)
    known = [(0, 40960)] if content == b"\0" else []
    with pytest.raises(DeviceError) as caught:
        copy(memory(content * 40960, known), FaultDevice(inner, picture), changed=changed)
    assert (caught.value.errno, caught.value.offset) == (code, 8192)


def test_short_read_of_the_source():
    with pytest.raises(SizeChanged):
        copy(FaultDevice(memory(b"A" * 40960), "..S"), MemoryDevice(40960))


class ForgetfulDevice(MemoryDevice):
    """Says that it wrote, and did not, from one offset on."""

    def pwrite(self, data, offset):
        if offset < 8192:
            super().pwrite(data[: 8192 - offset], offset)


@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
def test_a_device_that_does_not_keep_what_was_written(changed):
    target = ForgetfulDevice(40960)
    with pytest.raises(ContentsDoNotMatch, match="first at offset 8192"):
        copy(memory(b"A" * 40960), target, changed=changed, verify=True)
    copy(memory(b"A" * 40960), ForgetfulDevice(40960), changed=changed)


def test_read_back_goes_past_the_page_cache(ext4_dir):
    source = write_image(ext4_dir / "a", random.Random(0).randbytes(MIB))
    report = copy(source, ext4_dir / "b", verify=True)
    assert report.extra["verified_bytes"] == MIB
    assert report.warnings == []


def test_read_back_through_the_page_cache_is_told(tmpfs_dir):
    source = write_image(tmpfs_dir / "a", random.Random(0).randbytes(MIB))
    report = copy(source, tmpfs_dir / "b", verify=True)
    assert report.identical
    assert any("tmpfs" in text for text in report.warnings)


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
def test_block_devices(make_loop, tmp_path, sector, changed):
    """A device whose end is no page boundary, holes and zeroes in the source."""
    size = 9 * MIB + sector
    data = bytearray(random.Random(sector).randbytes(size))
    data[MIB : 3 * MIB] = bytes(2 * MIB)
    source = write_image(tmp_path / "a", bytes(data), [(MIB, 2 * MIB)])
    device = make_loop(size, sector)
    device.backing.write_bytes(random.Random(1).randbytes(size))
    report = copy(source, device.path, changed=changed, verify=True)
    assert device.path.read_bytes() == data
    assert report.identical
    back = copy(device.path, tmp_path / "b", verify=True)
    assert (tmp_path / "b").read_bytes() == data
    assert back.identical


def test_source_that_grows_is_told(tmp_path):
    """What was copied is not the file any more."""
    source = write_image(tmp_path / "a", b"A" * 5000)

    class Growing(blockdiff.engine.progress.NoProgress):
        def start(self, what, total):
            with open(source, "ab") as file:
                file.write(b"more")

    for changed in (False, True):
        with pytest.raises(SizeChanged, match="is now"):
            copy(source, tmp_path / "b", progress=Growing(), changed=changed)


def test_source_that_changes_is_told(tmp_path):
    source = write_image(tmp_path / "a", b"A" * 5000)

    class Writing(blockdiff.engine.progress.NoProgress):
        def start(self, what, total):
            os.utime(source)

    for changed in (False, True):
        report = copy(source, tmp_path / "b", progress=Writing(), changed=changed)
        assert any("modified meanwhile" in text for text in report.warnings)


def test_many_written_ranges_are_remembered_in_bounded_memory():
    """Too many are joined over gaps: more is read back, nothing less."""
    written, count = Written(), 3 * MAX_WRITTEN
    for start in range(0, count, 10_000):
        written.add(blockdiff.Extents([(i * 16384, 512) for i in range(start, start + 10_000)]))
    extents = written.extents()
    assert len(extents) <= MAX_WRITTEN
    assert extents.total() >= count * 512
    assert (extents.start, extents.end) == (0, (count - 1) * 16384 + 512)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 60),
    granularity=st.sampled_from([512, 4096, 65536]),
    sparse=st.sampled_from(["auto", "always", "never"]),
    changed=st.booleans(),
    kernel=st.booleans(),
)
def test_random_copies(tmp_path_factory, seed, granularity, sparse, changed, kernel):
    a, b, rng = random_pair(seed)
    b = b[: len(a)].ljust(len(a), b"\0")
    options = {"granularity": granularity, "sparse": sparse, "changed": changed, "verify": rng.random() < 0.5}
    if kernel:
        base = tmp_path_factory.getbasetemp()
        source, target = (
            write_image(base / "a", a, zero_ranges(a, rng)),
            write_image(base / "b", b, zero_ranges(b, rng)),
        )
        copy(source, target, read=rng.choice(("auto", "buffered", "mmap")), **options)
        assert target.read_bytes() == a
    else:
        target = MemoryDevice(b)
        copy(memory(a, zero_ranges(a, rng)), target, **options)
        assert target.data == a
