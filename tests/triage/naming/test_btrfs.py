"""The trees of btrfs: deep ones, subvolumes and snapshots, checksums of each kind; and what was damaged or forged."""

import os
import random
import struct
import subprocess

import pytest

from blockdiff.triage.layout.filesystem import recognise
from blockdiff.triage.naming import btrfstree
from blockdiff.triage.naming.btrfs import name_blocks
from blockdiff.triage.naming.btrfstree import Trees
from blockdiff.triage.naming.checksum import crc32c, digest
from blockdiff.triage.naming.tool import ToolFailed
from tests.fixtures.filesystems import MIB, make_filesystem, pieces, run, tree, where
from tests.fixtures.storage import attach, detach, need_root, unmount

BLOCK = 4096
FUZZ = int(os.environ.get("BLOCKDIFF_TRIAGE_FUZZ", "300"))


def reading(path):
    fd = os.open(path, os.O_RDONLY)
    return fd, lambda offset, length: os.pread(fd, length, offset)


def names(image, *offsets):
    fd, read = reading(image)
    try:
        system = recognise(read, 0, os.fstat(fd).st_size)
        return list(name_blocks(system, read, [offset // BLOCK for offset in offsets]).values())
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["crc32c", "xxhash", "sha256", "blake2"])
def test_checksums_of_each_kind(tmp_path, kind):
    files = tree(tmp_path / "tree")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(120 * MIB)
    run("mkfs.btrfs", "-q", "--csum", kind, "--rootdir", tmp_path / "tree", image)
    offset = where(image, files[b"/plain.bin"])
    assert names(image, offset) == [(b"/plain.bin", "")]


def test_the_checksum_by_its_known_values():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert digest(9, b"") is None


@pytest.fixture
def mounted(tmp_path):
    """A mounted btrfs, and its image once it is unmounted."""
    need_root("losetup", "mount", "mkfs.btrfs")
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(300 * MIB)
    run("mkfs.btrfs", "-q", "--nodesize", "4096", "--mixed", image)
    device = attach(image)
    subprocess.run(["mount", "-t", "btrfs", "-o", "compress=no", device, point], check=True)
    try:
        yield point, image
    finally:
        if os.path.ismount(point):
            unmount(point)
        detach(device)


@pytest.mark.slow
@pytest.mark.root
def test_deep_trees_subvolumes_and_snapshots(mounted):
    point, image = mounted
    rng = random.Random(3)
    run("btrfs", "subvolume", "create", point / "vol")
    many = {}
    for number in range(3000):  # nodes of 4 KiB: the trees get two levels above their leaves
        many[number] = rng.randbytes(BLOCK)
        (point / "vol" / f"file {number:05}").write_bytes(many[number])
    (point / "vol" / "dir").mkdir()
    big = rng.randbytes(40 * BLOCK)
    (point / "vol" / "dir" / "big").write_bytes(big)
    run("btrfs", "filesystem", "sync", point)
    run("btrfs", "subvolume", "snapshot", "-r", point / "vol", point / "snap")
    with (point / "vol" / "dir" / "big").open("r+b") as file:  # the snapshot alone has these now
        file.seek(10 * BLOCK)
        file.write(rng.randbytes(4 * BLOCK))
    (point / "vol" / "dir" / "tail").write_bytes(big[:1] * 3 + rng.randbytes(9 * BLOCK))
    unmount(point)
    some = rng.sample(range(3000), 40)
    offsets = [where(image, many[number]) for number in some]
    for number, (path, use) in zip(some, names(image, *offsets), strict=True):
        assert use == ""
        assert path in {f"/vol/file {number:05}".encode(), f"/snap/file {number:05}".encode()}
    old, both = where(image, big, 11 * BLOCK), where(image, big, 30 * BLOCK)
    assert names(image, old) == [(b"/snap/dir/big", "")]
    assert names(image, both)[0][0] in {b"/snap/dir/big", b"/vol/dir/big"}


@pytest.mark.root
def test_a_part_of_an_extent_that_is_not_used_any_more(mounted):
    point, image = mounted
    data = random.Random(4).randbytes(16 * BLOCK)
    (point / "file").write_bytes(data)
    run("btrfs", "filesystem", "sync", point)
    with (point / "file").open("r+b") as file:
        file.seek(4 * BLOCK)
        file.write(b"y" * 4 * BLOCK)
    unmount(point)
    used, unused = where(image, data), where(image, data, 5 * BLOCK)
    assert names(image, used) == [(b"/file", "")]
    path, use = names(image, unused)[0]
    assert path is None
    assert "no file uses any more" in use


class Patched:
    """A file system's data in memory, with a few bytes changed at each reading."""

    def __init__(self, image):
        self.parts = [(at, data) for at, data in pieces(image)]
        self.size = image.stat().st_size
        self.changes = {}

    def read(self, offset, length):
        length = max(0, min(length, self.size - offset))
        piece = bytearray(length)
        for at, data in self.parts:
            low, high = max(at, offset), min(at + len(data), offset + length)
            if low < high:
                piece[low - offset : high - offset] = data[low - at : high - at]
        for at, value in self.changes.items():
            if offset <= at < offset + length:
                piece[at - offset] = value
        return bytes(piece)


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    place = tmp_path_factory.mktemp("btrfs")
    files = tree(place / "tree")
    image = make_filesystem("btrfs", place / "image", place / "tree")
    found = Patched(image)
    nodes = []
    fd, read = reading(image)
    system = recognise(read, 0, found.size)
    trees = Trees(read, 0)
    for at, data in found.parts:
        for inside in range(0, len(data), 4096):
            logical = trees.logical(at + inside)
            if logical is not None and data[inside + 48 : inside + 56] == struct.pack("<Q", logical):
                nodes.append(at + inside)
    os.close(fd)
    blocks = [where(image, content) // BLOCK for content in files.values()]
    return found, system, nodes, blocks, set(files)


def test_nothing_of_a_damaged_node_is_believed(patched):
    device, system, nodes, blocks, files = patched
    rng = random.Random(9)
    for _ in range(60):
        place = rng.choice(nodes) + rng.randrange(32, 2000)
        device.changes = {place: device.read(place, 1)[0] ^ 1 << rng.randrange(8)}
        try:
            found = name_blocks(system, device.read, blocks)
        except ToolFailed:
            continue
        for path, use in found.values():
            assert path in files or (path is None and use)
    device.changes = {}


def test_forged_trees_never_fail(patched, monkeypatch):
    """With checksums that are taken for right: whatever the fields say. See docs/triage.md for the long run."""
    monkeypatch.setattr(Trees, "_prove", lambda *_: None)
    monkeypatch.setattr(btrfstree, "SECONDS", 5.0)
    device, system, nodes, blocks, _ = patched
    rng = random.Random(int(os.environ.get("BLOCKDIFF_TRIAGE_SEED", "1")))
    values = (0, 1, 5, 12, 84, 108, 132, 144, 168, 169, 176, 178, 182, 184, 192, 228, 255)
    for _ in range(FUZZ):
        spots = [rng.choice(nodes) + rng.choice((rng.randrange(32, 300), rng.randrange(16384))) for _ in range(3)]
        spots += [65536 + rng.randrange(72, 1200)] * rng.randrange(2)
        device.changes = {at: rng.choice((*values, rng.randrange(256))) for at in spots}
        try:
            for path, use in name_blocks(system, device.read, blocks).values():
                assert isinstance(path, bytes) or use
        except ToolFailed:
            pass
    device.changes = {}
