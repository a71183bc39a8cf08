import random
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.engine.scan import Map
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.testing import FaultDevice, MemoryDevice, content, extents, image
from tests import oracle
from tests.fixtures.images import random_pair, write_image, zero_ranges
from tests.fixtures.inprocess import READS, changed_bytes, memory


def map_of(path, *, granularity=4096, read="auto", workers=0, **options):
    reading = blockdiff.ReadOptions(granularity=granularity, read=read, workers=workers)
    return changed_bytes(blockdiff.map(path, options=reading, **options))


PICTURES = [
    pytest.param("64k:A 64k:- 64k:0", id="all"),
    pytest.param("64k:-", id="hole"),
    pytest.param("64k:0", id="zero"),
    pytest.param("64k:A", id="data"),
    pytest.param("4k:A 4k:- 4k:A 4k:0 4k:-", id="small"),
    pytest.param("64k:A 777:B", id="tail"),
    pytest.param("64k:A 777:0", id="zero-tail"),
    pytest.param("1m:- 4k:A 1m:- 8k:0 511:A", id="islands"),
]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("read", ["auto", "buffered", "mmap"])
def test_pictures(any_dir, picture, read):
    expected = [(e.offset, e.length, e.kind.name.lower()) for e in image(picture, any_dir / "i")]
    if any_dir.parent.name == "btrfs" and "777:0" in picture:
        expected = None  # it may keep so short a file inside its metadata
    subprocess.run(["sync", any_dir / "i"], check=True)
    got = map_of(any_dir / "i", zeroes=True, read=read)
    assert got == (expected or got)
    data = (any_dir / "i").read_bytes()
    assert got == oracle.zero_map(data, oracle.holes_of(any_dir / "i"))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("granularity", [512, 4096, 65536])
def test_zeroes(tmp_path, granularity, read):
    for seed in range(20):
        data, _, rng = random_pair(seed)
        path = write_image(tmp_path / "a", data, zero_ranges(data, rng))
        expected = oracle.zero_map(data, oracle.holes_of(path), granularity)
        assert map_of(path, zeroes=True, granularity=granularity, read=read) == expected, seed


def test_metadata_alone_reads_nothing(tmp_path):
    image("64k:A 64k:- 64k:0", tmp_path / "a")
    with blockdiff.open_device(tmp_path / "a") as device:
        run = Map(device, holes=True)
        assert changed_bytes(run.records()) == [(0, 65536, "data"), (65536, 65536, "hole"), (131072, 65536, "data")]
    assert (run.run, run.method) == (None, "metadata")
    assert run.bytes_by_kind == {"data": 131072, "hole": 65536}


def test_sums(tmp_path):
    image("64k:A 64k:- 64k:0", tmp_path / "a")
    with blockdiff.open_device(tmp_path / "a") as device:
        run = Map(device, zeroes=True)
        assert changed_bytes(run.records()) == [(0, 65536, "data"), (131072, 65536, "zero")]
    assert run.method == "metadata+scan"
    assert run.bytes_by_kind == {"data": 65536, "hole": 65536, "zero": 65536}
    assert run.run.report.bytes_read == 131072


def test_allocated_zeroes_are_known_without_reading():
    device = MemoryDevice(content("A0-A"), known=extents("A0-A"))
    expected = [(0, 4096, "data"), (4096, 4096, "zero"), (8192, 4096, "hole"), (12288, 4096, "data")]
    assert map_of(device) == expected
    assert map_of(FaultDevice(device, ".EE."), zeroes=True) == expected


@pytest.mark.parametrize(("offset", "length"), [(0, 100), (5000, None), (65000, 2000), (0, 0), (200_000, None)])
def test_window(tmp_path, offset, length):
    image("64k:A 64k:- 64k:0 3392:A", tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    end = len(data) if length is None else offset + length
    got = map_of(tmp_path / "a", zeroes=True, offset=offset, length=length)
    assert oracle.bytes_in(got) == set(range(offset, end))
    for start, size, kind in got:
        assert (kind == "data") == any(data[start : start + size])


def test_window_outside(tmp_path):
    with pytest.raises(InvalidInput, match="leaves"):
        map_of(write_image(tmp_path / "a", b"A"), offset=2)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4095, 4097])
def test_sizes(tmp_path, size):
    path = write_image(tmp_path / "a", b"A" * size)
    expected = [(0, size, "data")] if size else []
    assert map_of(path) == expected
    assert map_of(path, zeroes=True) == expected


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_workers(tmp_path, workers):
    picture = " ".join("3m:A 1m:0 2m:B 1m:-" for _ in range(6))
    expected = [(e.offset, e.length, e.kind.name.lower()) for e in image(picture, tmp_path / "a")]
    assert map_of(tmp_path / "a", zeroes=True, workers=workers) == expected


def test_trouble_is_told():
    with pytest.raises(DeviceError, match="offset 8192"):
        map_of(FaultDevice(memory(b"A" * 40960), "..E"), zeroes=True)


def test_block_device_is_all_data_until_it_is_read(loop_device):
    with loop_device.path.open("r+b", buffering=0) as file:
        file.write(b"A" * 4096)
    (_, size, kind) = map_of(loop_device.path)[0]
    assert (size, kind) == (16 << 20, "data")
    assert map_of(loop_device.path, zeroes=True) == [(0, 4096, "data"), (4096, (16 << 20) - 4096, "zero")]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 60), granularity=st.sampled_from([512, 4096]))
def test_same_zeroes_whatever_the_holes(tmp_path_factory, seed, granularity):
    """Holes and zeroes together are the same bytes, however many of them are holes."""
    data, _, _ = random_pair(seed)
    seen = set()
    for choice in range(3):
        path = tmp_path_factory.getbasetemp() / "m"
        write_image(path, data, zero_ranges(data, random.Random(choice)))
        got = map_of(path, zeroes=True, granularity=granularity)
        dense = oracle.joined((o, n, "data" if k == "data" else "empty") for o, n, k in got)
        assert all(any(data[o : o + n]) == (k == "data") for o, n, k in dense)
        seen.add(tuple(dense))
    assert len(seen) == 1
