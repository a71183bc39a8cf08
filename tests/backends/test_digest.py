"""The same content has the same root on every backend, and verifies by the manifest of another."""

import random
import subprocess

import pytest

import blockdiff
from tests.engine.manifest import reference
from tests.fixtures.images import write_image, zero_ranges
from tests.fixtures.nbd import need

MIB = 1 << 20
SIZE = 9 * MIB + 512
ALGORITHMS = ("xxh3-128", "blake3")


@pytest.fixture
def data():
    made = bytearray(random.Random(4).randbytes(SIZE))
    made[2 * MIB : 5 * MIB] = bytes(3 * MIB)
    return bytes(made)


@pytest.fixture
def image(tmp_path, data):
    return write_image(tmp_path / "image", data, zero_ranges(data, random.Random(1), 65536))


def same(url, image, data, tmp_path):
    """The roots, and a change in the middle of the range that is a hole elsewhere."""
    for algorithm in ALGORITHMS:
        place = tmp_path / algorithm
        with blockdiff.digest(url, place, algorithm=algorithm, block_size=65536) as manifest:
            assert manifest.root == reference.root(data, algorithm, 65536)
            assert list(manifest.stored(0, manifest.blocks)) == [(0, 32), (80, 65)]
        assert blockdiff.verify(url, place).identical
        assert blockdiff.verify(place, image).identical
        other = bytearray(data)
        other[3 * MIB] = 1
        report = blockdiff.verify(write_image(tmp_path / "other", other), place)
        assert [tuple(e)[:2] for e in report.differences] == [(3 * MIB, 65536)]
        assert report.bytes_by_class == {"dst-zero": 65536}


def test_files(image, data, tmp_path):
    same(image, image, data, tmp_path)


def test_nbd(nbd, image, data, tmp_path):
    need("qemu-nbd")
    same(nbd.qemu_nbd(image).uri(), image, data, tmp_path)


@pytest.mark.unsanitized  # qemu-img's coroutines hang under AddressSanitizer
def test_qcow2(image, data, tmp_path):
    need("qemu-img", "qemu-nbd")
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, disk], check=True)
    same(disk, image, data, tmp_path)


@pytest.mark.slow
def test_rbd(ceph, image, data, tmp_path):
    spec = ceph.image("a", SIZE, data)
    same(ceph.url(spec), image, data, tmp_path)
    same(ceph.url(ceph.snapshot(spec, "s")), image, data, tmp_path)
    clone = ceph.clone(ceph.snapshot(spec, "p"), "clone")
    same(ceph.url(clone), image, data, tmp_path)


@pytest.mark.root
@pytest.mark.slow
def test_block_devices(make_loop, image, data, tmp_path):
    size = SIZE - SIZE % 4096 + 4096
    disk = make_loop(size)
    disk.path.write_bytes(data)
    with blockdiff.digest(disk.path) as manifest:
        assert manifest.root == reference.root(data + bytes(size - SIZE))
