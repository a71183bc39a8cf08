"""The reader in Python and the native one find the same, healthy or not."""

import errno
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff import _fast
from blockdiff._fast import Cancelled, ReadFailed
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.reader import (
    BUFFER_BUDGET,
    WINDOW_BUDGET,
    BufferReader,
    affordable,
    join,
    make_reader,
    shape,
    translate,
)
from blockdiff.errors import DeviceError, SizeChanged, UnsupportedOperation
from blockdiff.testing import FaultDevice, MemoryDevice
from tests import oracle
from tests.fixtures.images import random_pair, write_image
from tests.fixtures.inprocess import found, memory

SEGMENTS = [_fast.SEG_COMPARE, _fast.SEG_SRC_HOLE, _fast.SEG_DST_HOLE, _fast.SEG_SKIP_HOLE, _fast.SEG_MAP]


def plan(data, size):
    """Random segments inside the size."""
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=8)))
    kinds = data.draw(st.lists(st.sampled_from(SEGMENTS), min_size=8, max_size=8))
    return blockdiff.Extents([(lo, hi - lo, kind) for lo, hi, kind in zip(cuts, cuts[1:], kinds, strict=False)])


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 1 << 60), granularity=st.sampled_from([512, 4096, 65536]), strict=st.booleans(), data=st.data()
)
def test_both_readers_find_the_same(tmp_path_factory, seed, granularity, strict, data):
    a, b, _ = random_pair(seed)
    a, b = (content[: min(len(a), len(b))] for content in (a, b))
    base = tmp_path_factory.getbasetemp()
    options = ReadOptions(granularity=granularity, read=data.draw(st.sampled_from(["auto", "buffered", "mmap"])))
    segments = plan(data, len(a))
    paths = write_image(base / "a", a), write_image(base / "b", b)
    with blockdiff.open_device(paths[0]) as first, blockdiff.open_device(paths[1]) as second:
        native = make_reader(first, second, options, 1, strict=strict)
        assert isinstance(native, _fast.Reader)
        results = [native.run(segments)]
        books = [(native.compared, sum(native.bytes_read(0).values()), sum(native.bytes_read(1).values()))]
        native.close()
    python = make_reader(memory(a), memory(b), options_of(options), 1, strict=strict)
    assert isinstance(python, BufferReader)
    results.append(python.run(segments))
    books.append((python.compared, sum(python.bytes_read(0).values()), sum(python.bytes_read(1).values())))
    python.close()
    joined = [join([extents]) for extents, _ in results]
    assert list(joined[0]) == list(joined[1])
    assert books[0] == books[1]
    assert [len(bad) for _, bad in results] == [0, 0]


def options_of(options):
    return ReadOptions(granularity=options.granularity)


def test_any_pair_of_devices(tmp_path):
    """A file and a device without a descriptor go together."""
    data = random.Random(0).randbytes(100_001)
    other = bytearray(data)
    other[70000] ^= 255
    path = write_image(tmp_path / "a", data)
    for pair in ((path, MemoryDevice(other)), (MemoryDevice(other), path)):
        assert found(blockdiff.verify(*pair).differences) == [(69632, 4096, "data")]


@pytest.mark.parametrize("read", ["direct", "mmap"])
def test_demands_that_memory_cannot_meet(read):
    with pytest.raises(UnsupportedOperation, match=f"--read {read} needs a file or block device"):
        make_reader(memory(b"A"), memory(b"A"), ReadOptions(read=read), 1)


def test_direct_is_a_demand(tmpfs_dir):
    path = write_image(tmpfs_dir / "a", b"A" * 4096)
    with blockdiff.open_device(path) as device, pytest.raises(UnsupportedOperation, match="tmpfs keeps"):
        make_reader(device, device, ReadOptions(read="direct"), 1)


GRANULES = [512, 4096, 8192, 65536]


@pytest.mark.parametrize("granularity", GRANULES)
@pytest.mark.parametrize("size", [40960, 40960 + 100, 4096 * 9, 20000], ids=str)
@pytest.mark.parametrize("picture", ["E", "rrE", "rrErrE", "rrrrrrrrE", "EE"])
@pytest.mark.parametrize("side", [0, 1], ids=["source", "target"])
def test_keep_going(granularity, size, picture, side):
    """The unreadable blocks are named, no more; every difference in granules that can be read is found."""
    a = random.Random(0).randbytes(size)
    b = bytearray(a)
    b[0] ^= 1
    b[12288 + 5] ^= 255
    b[-1] ^= 255
    devices = [memory(a), memory(bytes(b))]
    devices[side] = FaultDevice(devices[side], picture)
    options = ReadOptions(granularity=granularity, keep_going=True)
    report = blockdiff.verify(*devices, options=options)
    bad = {block * 4096 for block, char in enumerate(picture) if char == "E" and block * 4096 < size}
    unit = min(granularity, 4096)
    expected = oracle.joined(
        (at, min(unit, size - at), 1 << side) for at in range(0, size, unit) if at // 4096 * 4096 in bad
    )
    assert [tuple(e) for e in report.unreadable] == expected
    assert report.identical is False
    listed = oracle.bytes_in(found(report.differences))
    unreadable = oracle.bytes_in(expected)
    assert oracle.differing_offsets(a, bytes(b)) - unreadable <= listed
    assert not listed & unreadable
    assert report.bytes_compared + len(unreadable) == size


@pytest.mark.parametrize("granularity", GRANULES)
@pytest.mark.parametrize("size", [40960, 40960 + 100, 20000], ids=str)
def test_keep_going_is_the_same_on_a_real_disk(make_loop, granularity, size):
    """A loop device over a file that was cut gives EIO past its end."""
    size = -(-size // 512) * 512
    rng = random.Random(0)
    a, b = rng.randbytes(size), rng.randbytes(size)
    devices = [make_loop(size), make_loop(size)]
    for device, data in zip(devices, (a, b), strict=True):
        device.backing.write_bytes(data)
    os.truncate(devices[1].backing, 8192)
    drop(devices)
    options = ReadOptions(granularity=granularity, keep_going=True)
    real = blockdiff.verify(*(device.path for device in devices), options=options)
    double = blockdiff.verify(memory(a), FaultDevice(memory(b), "rr" + "E" * (-(-size // 4096) - 2)), options=options)
    assert list(real.unreadable) == list(double.unreadable)
    assert found(real.differences) == found(double.differences)
    assert real.unreadable.total() == size - 8192


def drop(devices):
    import fcntl

    for device in devices:
        fd = os.open(device.path, os.O_RDONLY)
        fcntl.ioctl(fd, _fast.BLKFLSBUF, 0)
        os.close(fd)


def test_the_first_unreadable_block_is_the_error():
    options = ReadOptions(granularity=65536)
    with pytest.raises(DeviceError) as caught:
        blockdiff.verify(FaultDevice(memory(b"A" * 100_000), "rrrrrE"), memory(b"A" * 100_000), options=options)
    assert (caught.value.offset, caught.value.errno) == (20480, errno.EIO)


@pytest.mark.parametrize("keep_going", [False, True])
def test_short_read_is_a_changed_size(keep_going):
    """Nothing can be said about what is not there, so going on would mean nothing."""
    options = ReadOptions(keep_going=keep_going)
    with pytest.raises(SizeChanged, match="ended early"):
        blockdiff.verify(memory(b"A" * 40960), FaultDevice(memory(b"A" * 40960), "rrS"), options=options)


@pytest.mark.parametrize("size", [4096, 100_000], ids=["shrunk", "grown"])
def test_size_changes_between_reads(size):
    a, b = (FaultDevice(memory(b"A" * 40960)) for _ in range(2))
    b.resize_after(0, size)
    with pytest.raises(SizeChanged):
        blockdiff.verify(a, b)


def test_cancelled_readers_stop():
    reader = BufferReader(memory(b"A" * 4096), memory(b"A" * 4096), ReadOptions())
    reader.cancel()
    with pytest.raises(Cancelled):
        reader.run(blockdiff.Extents([(0, 4096)]))


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        pytest.param(ReadFailed(0, 10, 20, errno.EIO, False), DeviceError, "cannot read src at offset 10", id="read"),
        pytest.param(ReadFailed(1, 10, 20, errno.EIO, False), DeviceError, "cannot read dst at offset 10", id="target"),
        pytest.param(
            ReadFailed(1, 10, 20, errno.ENOSPC, True), DeviceError, "cannot write dst at offset 10", id="write"
        ),
        pytest.param(ReadFailed(0, 10, 20, 0, False), SizeChanged, "ended early", id="short"),
    ],
)
def test_translation(error, kind, text):
    got = translate(error, MemoryDevice(1, url="src"), MemoryDevice(1, url="dst"))
    assert type(got) is kind
    assert text in str(got)


def test_clones_are_closed():
    a, b = FaultDevice(memory(b"A" * 40960)), FaultDevice(memory(b"A" * 40960), "E")
    with pytest.raises(DeviceError):
        blockdiff.verify(a, b)
    assert (a.handles, b.handles) == (1, 1)


@pytest.mark.parametrize("granularity", [512, 4096, 1 << 20])
@pytest.mark.parametrize("asked", [1, 2, 4, 8, 16, 33, 64])
def test_buffers_and_windows_stay_within_their_budgets(asked: int, granularity: int) -> None:
    workers = affordable(asked, granularity)
    chunk, depth, window = shape(workers, granularity)
    assert 1 <= workers <= asked
    assert chunk >= granularity
    assert depth >= 1
    assert 2 * workers * depth * chunk <= BUFFER_BUDGET
    assert 2 * workers * window <= WINDOW_BUDGET
    assert chunk % granularity == window % granularity == 0
