"""Real block devices and file systems: both sector sizes, sparse giants, shared storage."""

import os
import random
import subprocess

import pytest

import blockdiff
from blockdiff.errors import UnsupportedOperation
from tests import oracle
from tests.fixtures.images import write_image
from tests.fixtures.inprocess import READS, changed_bytes, found, verify

MIB = 1 << 20


def mutated(data, size, sector):
    b = bytearray(data)
    b[5] ^= 255
    b[MIB : MIB + sector] = bytes(sector)
    b[8 * MIB - 1 : 8 * MIB + 1] = b"??"
    b[-1] ^= 1
    return bytes(b[:size])


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("sector", [512, 4096], ids=["sector512", "sector4096"])
@pytest.mark.parametrize("granularity", [512, 4096, 65536])
def test_block_devices(make_loop, tmp_path, sector, read, granularity):
    """Device against device and against file, of a size that ends inside a page where sectors allow it."""
    size = 9 * MIB + 3 * sector
    a = random.Random(0).randbytes(size)
    b = mutated(a, size, sector)
    devices = [make_loop(size, sector) for _ in range(2)]
    for device, data in zip(devices, (a, b), strict=True):
        device.backing.write_bytes(data)
    expected = oracle.differences(a, b, granularity)
    file = write_image(tmp_path / "b", b)
    for pair in ((devices[0].path, devices[1].path), (devices[0].path, file)):
        report = verify(*pair, read=read, granularity=granularity)
        assert found(report.differences) == expected
        if read == "direct":
            assert set(report.source.bytes_by_path) <= {"direct", "buffered"}
            assert report.source.bytes_by_path["direct"] >= 9 * MIB
    assert verify(devices[0].path, devices[0].backing, read=read).identical
    listed = changed_bytes(blockdiff.diff(devices[0].path, devices[1].path))
    assert oracle.differing_offsets(a[-sector:], b[-sector:]) <= {
        i - (size - sector) for i in oracle.bytes_in(listed[-1:])
    }


@pytest.mark.parametrize("name", ["ext4", "xfs", "btrfs"])
def test_sixteen_terabytes(mounts, name):
    """As far as the file system goes; only data is read."""
    directory = mounts.directory(name)
    # ext4 counts 2^32 blocks; the small file system here has blocks of 1 KiB
    size = os.statvfs(directory).f_bsize * ((1 << 32) - 1) if name == "ext4" else 16 << 40
    places = [0, (1 << 32) - 1, 1 << 32, (2 << 40) + 5, size - 1]
    try:
        for file_name, byte in (("a", b"A"), ("b", b"B")):
            with (directory / file_name).open("wb") as file:
                file.truncate(size)
                for at in places:
                    os.pwrite(file.fileno(), byte, at)
        subprocess.run(["sync", "-f", directory], check=True)
        blocks = {at // 4096 * 4096: min(4096, size - at // 4096 * 4096) for at in places}
        for read in ("auto", "direct", "buffered", "mmap"):
            report = verify(directory / "a", directory / "b", read=read, workers=4)
            assert found(report.differences) == oracle.joined((*block, "data") for block in blocks.items())
            assert report.bytes_read == 2 * sum(blocks.values())
            assert report.skipped["hole"] == size - sum(blocks.values())
        listed = changed_bytes(blockdiff.map(directory / "a", holes=False))
        assert set(places) <= oracle.bytes_in(listed) <= oracle.bytes_in(blocks.items())
        blockdiff.copy(directory / "a", directory / "b", changed=True)
        assert verify(directory / "a", directory / "b").identical
    finally:
        for path in directory.iterdir():
            path.unlink()


@pytest.mark.parametrize("read", READS)
def test_shared_storage_is_not_read(reflink_dir, read):
    a = random.Random(0).randbytes(4 * MIB + 777)
    source = write_image(reflink_dir / "a", a)
    subprocess.run(["sync", source], check=True)
    subprocess.run(["cp", "--reflink=always", source, reflink_dir / "b"], check=True)
    whole = verify(source, reflink_dir / "b", read=read)
    assert whole.identical
    assert (whole.bytes_read, whole.skipped) == (0, {"shared": len(a)})
    b = bytearray(a)
    with (reflink_dir / "b").open("r+b") as file:
        for at in (4096, 2 * MIB, 2 * MIB + 4096):
            file.seek(at)
            file.write(b"changed")
            b[at : at + 7] = b"changed"
    subprocess.run(["sync", reflink_dir / "b"], check=True)
    report = verify(source, reflink_dir / "b", read=read)
    assert found(report.differences) == oracle.differences(a, bytes(b))
    assert report.method == "reflink+content"
    assert report.bytes_read == 2 * 3 * 4096
    assert report.skipped == {"shared": len(a) - 3 * 4096}


def test_not_yet_written_data_is_compared(reflink_dir):
    """What is only in the page cache has no address yet."""
    a = random.Random(0).randbytes(MIB)
    source = write_image(reflink_dir / "a", a)
    target = write_image(reflink_dir / "b", a[:-1] + b"?")
    assert found(verify(source, target).differences) == oracle.differences(a, a[:-1] + b"?")


def test_preallocated_space_reads_as_zeroes(ext4_dir):
    data = b"A" * 65536
    source = write_image(ext4_dir / "a", data + bytes(65536), [(65536, 131072)])
    target = write_image(ext4_dir / "b", data)
    with target.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 65536, 65536)
    assert verify(source, target).identical
    with target.open("r+b") as file:
        os.pwrite(file.fileno(), b"x", 100_000)
    assert found(verify(source, target).differences) == [(98304, 4096, "src-zero")]


def test_a_demand_that_cannot_be_met(tmpfs_dir):
    a, b = (write_image(tmpfs_dir / name, b"A" * 8192) for name in "ab")
    with pytest.raises(UnsupportedOperation, match="tmpfs"):
        verify(a, b, read="direct")
    assert verify(a, b, read="auto").identical


def test_stale_page_cache_cannot_hide_a_bad_disk(make_loop):
    """--read direct sees what the device holds; the page cache may hold something else."""
    a = random.Random(0).randbytes(MIB)
    devices = [make_loop(MIB), make_loop(MIB)]
    for device in devices:
        device.backing.write_bytes(a)
        device.path.read_bytes()
    with devices[1].backing.open("r+b") as file:
        file.write(b"rotten")
    assert not verify(*(device.path for device in devices), read="direct").identical
