"""What must not be written to, with real mounts, swap, partitions and loop devices."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from blockdiff.backends import inuse, sysfs
from blockdiff.backends.file import FileDevice, open_device
from blockdiff.errors import DeviceBusy
from tests.fixtures.storage import attach, detach, need_root, run, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.storage import LoopDevice, MakeLoop, Mounts

MIB = 1 << 20


@pytest.fixture
def mounted(make_loop: MakeLoop, tmp_path: Path) -> Iterator[tuple[LoopDevice, Path]]:
    need_root("mkfs.ext4")
    loop, point = make_loop(16 * MIB), tmp_path / "mount point"
    point.mkdir()
    run("mkfs.ext4", "-q", "-F", loop.path)
    run("mount", loop.path, point)
    yield loop, point
    unmount(point)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A disk with two partitions of 8 MiB."""
    need_root("addpart")
    backing = tmp_path / "disk.img"
    backing.touch()
    os.truncate(backing, 32 * MIB)
    path = attach(backing, partitions=True)
    try:
        for number, start in enumerate((2048, 2048 + 8 * MIB // 512), start=1):
            # Told directly, so that it does not matter which partition tables this kernel can read.
            run("addpart", path, str(number), str(start), str(8 * MIB // 512))
        yield path, [path.with_name(f"{path.name}p{number}") for number in (1, 2)]
    finally:
        run("partx", "--delete", path)
        detach(path)


def test_nobody_uses_it(loop_device: LoopDevice, tmp_path: Path) -> None:
    assert inuse.reasons(str(loop_device.path)) == []
    (tmp_path / "file").touch()
    assert inuse.reasons(str(tmp_path / "file")) == []


def test_mounted(mounted: tuple[LoopDevice, Path]) -> None:
    loop, point = mounted
    assert inuse.reasons(str(loop.path)) == [f"it is mounted on {point}"]
    with pytest.raises(DeviceBusy, match=r"is mounted on .*mount point.*--force") as caught:
        open_device(loop.path, writable=True)
    assert caught.value.exit_code == 2
    open_device(loop.path).close()  # reading is nobody's harm
    open_device(loop.path, writable=True, force=True).close()


def test_btrfs_mounts_under_its_own_number(mounts: Mounts) -> None:
    point = mounts.get("btrfs")
    source = next(m.source for m in sysfs.mounts() if m.point == str(point))
    assert inuse.reasons(source) == [f"it is mounted on {point}"]


def test_a_file_under_a_loop_device(loop_device: LoopDevice) -> None:
    assert inuse.reasons(str(loop_device.backing)) == [f"{loop_device.path} is made of it"]
    with pytest.raises(DeviceBusy, match="is made of it"):
        open_device(loop_device.backing, writable=True)


def test_a_partition_is_mounted(disk: tuple[Path, list[Path]], tmp_path: Path) -> None:
    whole, (first, second) = disk
    point = tmp_path / "point"
    point.mkdir()
    run("mkfs.ext4", "-q", "-F", first)
    run("mount", first, point)
    try:
        assert inuse.reasons(str(first)) == [f"it is mounted on {point}"]
        assert inuse.reasons(str(whole)) == [f"{first} is mounted on {point}"]
        assert inuse.reasons(str(second)) == []
        with pytest.raises(DeviceBusy):
            open_device(whole, writable=True)
        open_device(second, writable=True).close()
    finally:
        unmount(point)


@pytest.mark.root
def test_a_loop_device_that_kubernetes_keeps_on_a_volume(make_loop: MakeLoop, tmp_path: Path) -> None:
    volume = make_loop(16 * MIB)
    (tmp_path / "volumeDevices").mkdir()
    node = tmp_path / "volumeDevices" / "pod"
    os.mknod(node, 0o600 | 0o060000, volume.path.stat().st_rdev)
    lock = make_loop(0, backing=node)
    assert inuse.reasons(str(volume.path)) == []
    open_device(volume.path, writable=True).close()
    run("mkfs.ext4", "-q", "-F", lock.path)
    point = tmp_path / "point"
    point.mkdir()
    run("mount", lock.path, point)
    try:
        assert inuse.reasons(str(volume.path)) == [f"{lock.path} is made of it"]
    finally:
        unmount(point)


def test_swap(make_loop: MakeLoop) -> None:
    need_root("mkswap")
    loop = make_loop(16 * MIB)
    run("mkswap", loop.path)
    try:
        run("swapon", loop.path)
    except RuntimeError as error:
        pytest.skip(f"this kernel or container allows no swap: {error}")
    try:
        assert inuse.reasons(str(loop.path)) == [f"it is swap space ({loop.path})"]
    finally:
        run("swapoff", loop.path)


def test_a_locked_file(tmp_path: Path) -> None:
    """As qemu locks its images: shared locks of the open file on single bytes."""
    path = tmp_path / "image"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        assert inuse.reasons(str(path)) == ["another process, such as a virtual machine, has locked it"]
    assert inuse.reasons(str(path)) == []


def test_a_process_lock_names_it(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x")
    code = (
        "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print('ok', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ok\n"
        assert inuse.reasons(str(path)) == [f"process {holder.pid} has locked it"]
        holder.communicate("\n")


def open_pair(a: Path, b: Path) -> tuple[FileDevice, FileDevice]:
    return open_device(a), open_device(b)


def same(a: Path, b: Path) -> list[str]:
    found = []
    for x, y in ((a, b), (b, a)):
        with open_device(x) as source, open_device(y) as target:
            found.append(inuse.same_device(source, target))
            if found[-1]:
                with pytest.raises(DeviceBusy):
                    inuse.refuse_if_same(source, target)
    assert bool(found[0]) == bool(found[1])
    return found


def test_the_same_file(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"x" * 4096)
    other.write_bytes(b"x" * 4096)
    (tmp_path / "hard").hardlink_to(path)
    (tmp_path / "soft").symlink_to(path)
    assert same(path, path)[0] == "it is the source itself"
    assert "two names" in same(path, tmp_path / "hard")[0]
    assert "two names" in same(path, tmp_path / "soft")[0]
    assert same(path, other) == ["", ""]


def test_the_same_device_node(loop_device: LoopDevice, tmp_path: Path) -> None:
    node = tmp_path / "node"
    os.mknod(node, 0o600 | 0o060000, loop_device.path.stat().st_rdev)
    assert "two names" in same(loop_device.path, node)[0]


def test_a_loop_device_and_its_file(make_loop: MakeLoop) -> None:
    loop = make_loop(16 * MIB)
    assert "in common" in same(loop.path, loop.backing)[0]
    second = make_loop(0, backing=loop.backing)
    assert "in common" in same(loop.path, second.path)[0]
    third = make_loop(8 * MIB)
    assert same(loop.path, third.path) == ["", ""]
    assert same(loop.path, third.backing) == ["", ""]


def test_a_loop_device_on_a_loop_device(make_loop: MakeLoop) -> None:
    loop = make_loop(16 * MIB)
    upper = attach(loop.path, offset=8 * MIB)
    try:
        assert "in common" in same(upper, loop.backing)[0]
        assert "in common" in same(upper, loop.path)[0]
        assert inuse.reasons(str(loop.path)) == [f"{upper} is made of it"]
    finally:
        detach(upper)


def test_loop_devices_on_two_parts_of_a_file(make_loop: MakeLoop) -> None:
    low = make_loop(8 * MIB)
    run("truncate", "-s", "16M", low.backing)
    high = make_loop(0, backing=low.backing, offset=8 * MIB)
    assert same(low.path, high.path) == ["", ""]


def test_partitions(disk: tuple[Path, list[Path]]) -> None:
    whole, (first, second) = disk
    assert "in common" in same(whole, first)[0]
    assert same(first, second) == ["", ""]


def test_mountinfo_is_unescaped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    text = "36 35 8:1 / /a\\040b rw,noatime shared:1 master:2 - ext4 /dev/sd\\134a rw\n\nrubbish\n1 2 3 4 5 6 - x\n"
    (tmp_path / "self" / "mountinfo").write_text(text)
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n/swap\\040file file 1 2 3\n")
    monkeypatch.setattr(sysfs, "PROC", str(tmp_path))
    assert sysfs.mounts() == [sysfs.Mount(os.makedev(8, 1), "/dev/sd\\a", "/a b")]
    assert sysfs.swaps() == ["/swap file"]
    monkeypatch.setattr(sysfs, "PROC", str(tmp_path / "absent"))
    assert sysfs.mounts() == []
    assert sysfs.swaps() == []


def test_without_rights_on_the_loop_device(loop_device: LoopDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    known = inuse.loop_info(str(loop_device.path))
    monkeypatch.setattr(os, "open", refuse)
    assert inuse.loop_info(str(loop_device.path)) == known is not None
    assert inuse.loop_info("/dev/loop-control") is None


def test_a_device_built_on_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As device-mapper and md show themselves; few test machines have them."""
    for number, name in [("253:0", "dm-0"), ("8:0", "sda"), ("8:1", "sda/sda1")]:
        (tmp_path / "devices" / name).mkdir(parents=True)
        (tmp_path / "devices" / name / "dev").write_text(number + "\n")
        link = tmp_path / "dev" / "block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tmp_path / "devices" / name)
    (tmp_path / "devices/sda/sda1/partition").write_text("1\n")
    (tmp_path / "devices/sda/sda1/start").write_text("2048\n")
    (tmp_path / "devices/dm-0/slaves").mkdir()
    (tmp_path / "devices/dm-0/slaves/sda1").symlink_to(tmp_path / "devices/sda/sda1")
    (tmp_path / "devices/sda/sda1/holders/dm-0").mkdir(parents=True)
    monkeypatch.setattr(sysfs, "SYS", str(tmp_path))

    class Stub:
        def __init__(self, major: int, minor: int) -> None:
            self.identity, self.size, self.path = (
                ("block", os.makedev(major, minor), 0),
                64 * MIB,
                f"/dev/{major}-{minor}",
            )
            self.url = self.path

    mapped, disk, part = Stub(253, 0), Stub(8, 0), Stub(8, 1)
    for other in (disk, part):
        assert "in common" in inuse.same_device(mapped, other)  # type: ignore[arg-type]
        assert "in common" in inuse.same_device(other, mapped)  # type: ignore[arg-type]
    assert sysfs.holders(os.makedev(8, 1)) == ["/dev/dm-0"]
    assert sysfs.relatives(os.makedev(8, 0)) == [os.makedev(8, 0), os.makedev(8, 1)]
    assert sysfs.relatives(os.makedev(8, 1)) == [os.makedev(8, 1), os.makedev(8, 0)]
