import errno
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff import _fast
from blockdiff._fast import Extents
from blockdiff.backends.file import open_device
from blockdiff.engine import apply
from blockdiff.engine.apply import Application
from blockdiff.errors import DeviceError, InvalidInput, SizeChanged
from blockdiff.testing.faults import FaultDevice
from blockdiff.testing.memory import MemoryDevice
from tests.native.oracle import batched, byte_map, extent_sets

SIZE = 3 << 20


def naive(old, new, batches):
    wanted = bytearray(old)
    for batch in batches:
        for offset, length, _ in batch:
            wanted[offset : offset + length] = new[offset : offset + length]
    return bytes(wanted)


@pytest.fixture(params=["kernel", "memory", "kernel-to-memory", "memory-to-kernel"])
def pair(request, tmp_path):
    """A source and a target of random bytes, and how to read the target."""
    chance = random.Random(3)
    new, old = chance.randbytes(SIZE + 777), chance.randbytes(SIZE + 777)
    paths = [tmp_path / "new", tmp_path / "old"]
    for path, data in zip(paths, (new, old), strict=True):
        path.write_bytes(data)
    source = open_device(paths[0]) if request.param.startswith("kernel") else MemoryDevice(new)
    in_file = request.param.endswith("kernel")
    target = open_device(paths[1], writable=True) if in_file else MemoryDevice(old)
    yield source, target, new, old, lambda: paths[1].read_bytes() if in_file else bytes(target.data)
    source.close()
    target.close()


def some_ranges(count, seed=1):
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(SIZE + 777), 2 * count))
    return Extents([(a, b - a, chance.choice((0, 1, 2))) for a, b in zip(cuts[::2], cuts[1::2], strict=True)])


@pytest.mark.parametrize("count", [1, 40, 3000])
@pytest.mark.parametrize("step", [1, 7, 5000])
def test_only_what_is_listed_is_written(pair, count, step):
    source, target, new, old, read = pair
    ranges = some_ranges(count)
    batches = [ranges[at : at + step] for at in range(0, count, step)]
    with Application(source, target) as application:
        for batch in batches:
            application.add(batch)
        application.finish()
        assert application.applied_bytes == ranges.total()
    assert read() == naive(old, new, batches)


def test_everything_and_nothing(pair):
    source, target, new, old, read = pair
    with Application(source, target) as application:
        application.finish()
        application.add(Extents())
        application.finish()
        assert (application.applied_bytes, read()) == (0, old)
        application.add(Extents([(0, len(new))]))
        application.finish()
    assert read() == new


@settings(deadline=None)
@given(data=st.data())
def test_batches_in_any_order(data):
    batches = data.draw(st.lists(extent_sets(), max_size=5))
    batches = [part for batch in batches for part in batched(data.draw, batch)]
    new, old = bytes(range(80)), bytes(80)
    target = MemoryDevice(old)
    with Application(MemoryDevice(new), target) as application:
        for batch in batches:
            application.add(batch)
        application.finish()
    assert bytes(target.data) == naive(old, new, batches)
    assert {at for at, byte in enumerate(target.data) if byte} <= {at for batch in batches for at in byte_map(batch)}


@pytest.mark.parametrize("limit", ["MAX_EXTENTS", "MAX_BYTES"])
def test_little_is_held_back(monkeypatch, limit):
    monkeypatch.setattr(apply, limit, {"MAX_EXTENTS": 4, "MAX_BYTES": 4096}[limit])
    target = MemoryDevice(1 << 16)
    with Application(MemoryDevice(b"x" * (1 << 16)), target) as application:
        for at in range(0, 1 << 16, 2048):
            application.add(Extents([(at, 1024)]))
            assert (at // 2048 + 1) * 1024 - application.applied_bytes <= 4096


def test_small_ranges_of_a_cached_file_are_not_mapped(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(1 << 20))
    (tmp_path / "b").write_bytes(bytes(1 << 20))
    with open_device(tmp_path / "a") as source, open_device(tmp_path / "b", writable=True) as target:
        reader = _fast.Reader(
            (source.fileno(), -1, source.size, 4096, "auto"), None, granularity=4096, write_fd=target.fileno()
        )
        reader.run(Extents([(0, 4096, 6), (8192, 65536, 6), (1 << 19, 1 << 19, 6)]))
        by_path = reader.bytes_read(0)
        assert by_path["buffered"] >= 4096 + 65536
        assert sum(by_path.values()) == 4096 + 65536 + (1 << 19)
        sides = [(device.fileno(), -1, device.size, 4096, "auto") for device in (source, target)]
        reader = _fast.Reader(*sides, granularity=4096)
        reader.run(Extents([(0, 4096, _fast.SEG_COMPARE), (8192, 4096, _fast.SEG_COMPARE)]))
        assert reader.bytes_read(0) == reader.bytes_read(1) == {"buffered": 8192}


def test_one_device_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(bytes(4096))
    with (
        open_device(tmp_path / "a") as source,
        open_device(tmp_path / "a", writable=True) as target,
        pytest.raises(InvalidInput, match="one and the same"),
    ):
        Application(source, target)


@pytest.mark.parametrize(
    ("source_faults", "target_faults", "action", "number"),
    [("..E", "", "read", errno.EIO), ("", "..W", "write", errno.EIO), ("", "..N", "write", errno.ENOSPC)],
    ids=["read", "write", "full"],
)
def test_trouble_says_where(source_faults, target_faults, action, number):
    source = FaultDevice(MemoryDevice(bytes(1 << 16), url="mem:a"), source_faults)
    target = FaultDevice(MemoryDevice(bytes(1 << 16), url="mem:b"), target_faults)
    with Application(source, target) as application:
        application.add(Extents([(0, 4096), (8192, 512)]))
        with pytest.raises(DeviceError) as caught:
            application.finish()
    assert (caught.value.action, caught.value.errno, caught.value.offset) == (action, number, 8192)
    assert caught.value.url == ("mem:a" if action == "read" else "mem:b")


def test_a_file_that_shrinks(tmp_path):
    (tmp_path / "a").write_bytes(b"a" * (1 << 20))
    (tmp_path / "b").write_bytes(bytes(1 << 20))
    with open_device(tmp_path / "a") as source, open_device(tmp_path / "b", writable=True) as target:
        os.truncate(tmp_path / "a", 4096)
        with Application(source, target) as application:
            application.add(Extents([(0, 4096), (1 << 19, 4096)]))
            with pytest.raises(SizeChanged, match="ended early"):
                application.finish()
