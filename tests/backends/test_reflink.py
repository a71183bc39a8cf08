"""Shared storage on real XFS and btrfs, against the bytes themselves."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from blockdiff import _fast
from blockdiff.backends import reflink
from blockdiff.backends.file import FileDevice, open_device
from blockdiff.backends.reflink import ReflinkSource, reflink_refusal, shared_extents
from tests.fixtures.storage import need_root, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
FICLONE = 0x40049409


def clone(source: Path, target: Path) -> None:
    with source.open("rb") as a, target.open("wb") as b:
        fcntl.ioctl(b, FICLONE, a.fileno())


def total(batches: object) -> int:
    return sum(batch.total() for batch in batches)  # type: ignore[attr-defined]


def changed(base: Path, target: Path) -> list[tuple[int, int]]:
    with open_device(base) as a, open_device(target) as b:
        source = ReflinkSource(a, b)
        return [(e.offset, e.length) for record in source.records() for e in record.extents]


def check(base: Path, target: Path) -> int:
    """Every byte that differs lies in a changed extent, and nothing shared differs. Gives the bytes called changed."""
    x, y = base.read_bytes(), target.read_bytes()
    found = changed(base, target)
    pos = 0
    for offset, length in [*found, (len(y), 0)]:
        assert pos <= offset
        assert x[pos:offset] == y[pos:offset], f"under-reported in [{pos}, {offset})"
        pos = offset + length
    assert pos == len(y)
    with open_device(base) as a, open_device(target) as b:
        for batch in shared_extents(a, b):
            for e in batch:
                assert x[e.offset : e.end] == y[e.offset : e.end]
    return sum(length for _, length in found)


def rewrite(path: Path, seed: int, count: int) -> None:
    """Random writes, holes, preallocations and tails."""
    rng = random.Random(seed)
    with path.open("r+b") as file:
        fd, size = file.fileno(), path.stat().st_size
        for _ in range(count):
            offset = rng.randrange(size)
            length = min(rng.choice([1, 100, 4 * KIB, 40 * KIB, 300 * KIB]), size - offset)
            what = rng.randrange(6)
            if what < 3:
                os.pwrite(fd, rng.randbytes(length), offset)
            elif what == 3:
                _fast.fallocate(fd, _fast.FALLOC_PUNCH_HOLE | _fast.FALLOC_KEEP_SIZE, offset, length)
            elif what == 4:
                _fast.fallocate(fd, _fast.FALLOC_KEEP_SIZE, offset, length)
            else:
                os.pwrite(fd, bytes(length), offset)
            if rng.random() < 0.2:
                os.fsync(fd)


def test_a_clone_is_shared(reflink_dir: Path) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    base.write_bytes(os.urandom(4 * MIB))
    clone(base, target)
    with open_device(base) as a, open_device(target) as b:
        assert reflink_refusal(a.fileno(), b.fileno()) is None
        assert total(shared_extents(a, b)) == 4 * MIB
        assert total(shared_extents(a, b, MIB, MIB)) == MIB
        assert total(shared_extents(a, b, 4 * MIB)) == 0
    assert changed(base, target) == []


def test_what_is_rewritten_is_changed(reflink_dir: Path) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    base.write_bytes(os.urandom(4 * MIB))
    clone(base, target)
    with target.open("r+b") as file:  # still in the page cache: FIEMAP must be asked to write it first
        os.pwrite(file.fileno(), b"x", MIB + 5)
        assert changed(base, target) == [(MIB, 4 * KIB)]
        os.pwrite(file.fileno(), b"y" * 8 * KIB, 2 * MIB)
    assert changed(base, target) == [(MIB, 4 * KIB), (2 * MIB, 8 * KIB)]
    assert changed(target, base) == [(MIB, 4 * KIB), (2 * MIB, 8 * KIB)]


def test_equal_data_that_is_not_shared_is_not_trusted(reflink_dir: Path) -> None:
    for name in ("a", "b"):
        (reflink_dir / name).write_bytes(b"same" * MIB)
    assert changed(reflink_dir / "a", reflink_dir / "b") == [(0, 4 * MIB)]


def test_a_mapped_write_is_seen(reflink_dir: Path) -> None:
    """A dirty page of a mapping: no write(2), and nothing synced."""

    base, target = reflink_dir / "a", reflink_dir / "b"
    base.write_bytes(os.urandom(MIB))
    clone(base, target)
    with target.open("r+b") as file, mmap.mmap(file.fileno(), MIB) as view:
        view[12345] ^= 1
        assert check(base, target) == 4 * KIB
        view[512 * KIB] ^= 1
        assert check(base, target) == 8 * KIB


@pytest.mark.parametrize("seed", range(6))
def test_random_rewrites(reflink_dir: Path, seed: int) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    rng = random.Random(seed)
    base.write_bytes(rng.randbytes(3 * MIB + rng.choice([0, 1, 777])))
    rewrite(base, seed + 100, 10)
    clone(base, target)
    rewrite(target, seed, 15)
    assert 0 < check(base, target) < 3 * MIB
    rewrite(base, seed + 200, 5)
    check(base, target)
    check(target, base)


@pytest.mark.parametrize("seed", range(3))
def test_compressed(btrfs_dir: Path, seed: int) -> None:
    """Addresses of compressed extents are not those of their bytes: all of them are read."""
    need_root("chattr")
    run("chattr", "+c", btrfs_dir)
    base, target = btrfs_dir / "a", btrfs_dir / "b"
    base.write_bytes(b"compress me " * 100_000)
    clone(base, target)
    os.sync()
    with open_device(base) as device:
        packed, _ = _fast.fiemap_fd(device.fileno(), 0, MIB)
    assert any(flags & _fast.FIEMAP_ENCODED for flags in memoryview(packed).cast("Q")[3::4])
    assert changed(base, target) == [(0, 1_200_000)]
    rewrite(target, seed, 10)
    check(base, target)


@pytest.mark.parametrize("seed", range(3))
def test_nodatacow(btrfs_dir: Path, seed: int) -> None:
    """NOCOW files are overwritten in place, but shared extents are still copied first."""
    need_root("chattr")
    run("chattr", "+C", btrfs_dir)
    base, target = btrfs_dir / "a", btrfs_dir / "b"
    base.write_bytes(random.Random(seed).randbytes(2 * MIB))
    clone(base, target)
    rewrite(target, seed, 10)
    assert 0 < check(base, target) < 2 * MIB
    rewrite(base, seed + 50, 10)
    check(base, target)


def test_snapshots_of_a_subvolume(btrfs_dir: Path) -> None:
    """Their device numbers differ, the file system is one."""
    need_root("btrfs")
    run("btrfs", "-q", "subvolume", "create", btrfs_dir / "v")
    try:
        base, target = btrfs_dir / "s" / "img", btrfs_dir / "v" / "img"
        target.write_bytes(os.urandom(2 * MIB))
        run("btrfs", "-q", "subvolume", "snapshot", "-r", btrfs_dir / "v", btrfs_dir / "s")
        assert base.stat().st_dev != target.stat().st_dev
        with open_device(base) as a, open_device(target) as b:
            assert reflink_refusal(a.fileno(), b.fileno()) is None
        with target.open("r+b") as file:
            os.pwrite(file.fileno(), b"x", MIB)
        assert changed(base, target) == [(MIB, 4 * KIB)]
    finally:
        for name in ("s", "v"):
            subprocess.run(["btrfs", "-q", "subvolume", "delete", btrfs_dir / name], check=False)


def test_inline_files(btrfs_dir: Path) -> None:
    base, target = btrfs_dir / "a", btrfs_dir / "b"
    base.write_bytes(b"tiny")
    target.write_bytes(b"Tiny")
    assert changed(base, target) == [(0, 4)]


@pytest.mark.parametrize(("base_size", "target_size"), [(0, 0), (0, 5000), (5000, 0), (5000, 9000), (9000, 5000)])
def test_sizes(reflink_dir: Path, base_size: int, target_size: int) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    base.write_bytes(os.urandom(base_size))
    clone(base, target)
    os.truncate(target, target_size)
    found = changed(base, target)
    end = found[-1][0] + found[-1][1] if found else 0
    assert end <= target_size
    check(base, target)
    if target_size > base_size:
        assert end == target_size
    with open_device(base) as a, open_device(target) as b:
        for record in ReflinkSource(a, b).records():
            assert record.capacity == target_size


def test_holes_and_preallocation_are_not_changed(reflink_dir: Path) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    for path in (base, target):
        path.touch()
        os.truncate(path, 8 * MIB)
    with target.open("r+b") as file:
        _fast.fallocate(file.fileno(), 0, MIB, MIB)
    assert changed(base, target) == []
    with open_device(base) as a, open_device(target) as b:
        assert total(shared_extents(a, b)) == 0  # equal, but nothing is shared
        assert total(b.unwritten()) == MIB


def test_many_extents_in_windows(reflink_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a few extents give what one big window gives, and a resumed stream what the whole one gives."""
    base, target = reflink_dir / "a", reflink_dir / "b"
    base.write_bytes(os.urandom(4 * MIB))
    clone(base, target)
    with target.open("r+b") as file:
        for offset in range(0, 4 * MIB, 32 * KIB):
            os.pwrite(file.fileno(), b"x", offset)
    whole = changed(base, target)
    assert len(whole) == 128
    monkeypatch.setattr(reflink, "_WINDOW", 5)
    assert joined(changed(base, target)) == whole
    with open_device(base) as a, open_device(target) as b:
        records = list(ReflinkSource(a, b).records(start=MIB, limit=2))
        assert max(len(r.extents) for r in records) == 2
        assert joined([(e.offset, e.length) for r in records for e in r.extents]) == whole[32:]


def joined(extents: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for offset, length in extents:
        if out and sum(out[-1]) == offset:
            out[-1] = (out[-1][0], out[-1][1] + length)
        else:
            out.append((offset, length))
    return out


def test_a_file_that_keeps_changing_is_not_trusted(reflink_dir: Path) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    base.write_bytes(os.urandom(4 * MIB))
    clone(base, target)
    stop, began = threading.Event(), threading.Event()

    def scribble() -> None:
        with target.open("r+b") as file:
            while not stop.is_set():
                os.pwrite(file.fileno(), os.urandom(1), 5)
                began.set()

    writer = threading.Thread(target=scribble)
    writer.start()
    began.wait(30)
    try:
        found = changed(base, target)
    finally:
        stop.set()
        writer.join()
    assert found
    assert found[0][0] == 0


def test_a_file_that_shrinks_is_not_equal(reflink_dir: Path) -> None:
    base, target = reflink_dir / "a", reflink_dir / "b"
    for path in (base, target):
        path.touch()
        os.truncate(path, 8 * MIB)
    with open_device(base) as a, open_device(target) as b:
        os.truncate(base, MIB)
        os.truncate(target, MIB)
        assert [e.length for r in ReflinkSource(a, b).records() for e in r.extents] == [8 * MIB]


# ---- refusals ----


def refusal(a: Path, b: Path) -> str | None:
    with open_device(a) as x, open_device(b) as y:
        return reflink_refusal(x.fileno(), y.fileno())


def test_refusals(xfs_dir: Path, btrfs_dir: Path, ext4_dir: Path) -> None:
    for directory in (xfs_dir, btrfs_dir, ext4_dir):
        for name in ("a", "b"):
            (directory / name).write_bytes(b"x")
    (xfs_dir / "hard").hardlink_to(xfs_dir / "a")
    assert refusal(xfs_dir / "a", xfs_dir / "hard") == "both are one and the same file"
    assert refusal(xfs_dir / "a", btrfs_dir / "a") == "the files are on different file systems"
    assert refusal(ext4_dir / "a", ext4_dir / "b") == "shared storage is known of XFS and btrfs only"


def test_a_block_device_is_refused(loop_device: tuple[Path, Path], xfs_dir: Path) -> None:
    (xfs_dir / "a").write_bytes(b"x")
    assert refusal(loop_device[0], xfs_dir / "a") == "only regular files can share storage"


def test_two_file_systems_of_one_kind(
    mounts: object, make_loop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    need_root("mkfs.xfs")
    points = []
    for name in ("one", "two"):
        device = make_loop(400 * MIB)[0]
        run("mkfs.xfs", "-q", "-f", device)
        points.append(tmp_path / name)
        points[-1].mkdir()
        run("mount", device, points[-1])
        (points[-1] / "a").write_bytes(b"x")
    try:
        assert refusal(points[0] / "a", points[1] / "a") == "the files are on different file systems"
    finally:
        for point in points:
            run("umount", point)


def test_the_realtime_device_of_xfs(xfs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few kernels have it, so only the flag of the file is made up."""
    for name in ("a", "b"):
        (xfs_dir / name).write_bytes(b"x")
    assert refusal(xfs_dir / "a", xfs_dir / "b") is None
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: (1).to_bytes(4, sys.byteorder) + bytes(24))
    assert "realtime" in (refusal(xfs_dir / "a", xfs_dir / "b") or "")

    def fail(*_: object) -> bytes:
        raise OSError(errno.ENOTTY, "")

    monkeypatch.setattr(fcntl, "ioctl", fail)
    assert "does not tell" in (refusal(xfs_dir / "a", xfs_dir / "b") or "")


def test_closed_files(xfs_dir: Path) -> None:
    (xfs_dir / "a").write_bytes(b"x")
    device: FileDevice = open_device(xfs_dir / "a")
    device.close()
    with pytest.raises(Exception, match="closed"):
        list(shared_extents(device, device))
