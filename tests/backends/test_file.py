"""Files and block devices: opening, reading, mapping, writing, and what goes wrong."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blockdiff.backends.file import FileDevice, open_device
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput, ShortRead, UnsupportedOperation

if TYPE_CHECKING:
    from tests.fixtures.storage import LoopDevice, MakeLoop

MIB = 1 << 20


def make_image(path: Path, data: bytes = b"") -> Path:
    path.write_bytes(data)
    return path


def read(device: FileDevice, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    device.pread_into(buffer, offset)
    return bytes(buffer)


def fill(device: FileDevice) -> None:
    for offset in range(0, device.size, MIB):
        device.pwrite(b"x" * MIB, offset)
    device.flush()


# ---- opening ----


def test_what_a_file_is(tmp_path: Path) -> None:
    path = make_image(tmp_path / "image", b"abc" * 1000)
    with open_device(path) as device:
        assert (device.size, device.is_block, device.url) == (3000, False, str(path))
        assert device.block_size in (512, 4096)
        assert read(device, 1, 5) == b"bcabc"
        assert device.changes() == ""


@pytest.mark.parametrize("writable", [False, True])
def test_missing(tmp_path: Path, writable: bool) -> None:
    with pytest.raises(DeviceError, match="No such file") as caught:
        open_device(tmp_path / "absent", writable=writable)
    assert (caught.value.errno, caught.value.exit_code) == (errno.ENOENT, 3)
    assert caught.value.url == str(tmp_path / "absent")


def test_no_permission(tmp_path: Path) -> None:
    path = make_image(tmp_path / "secret", b"x")
    path.chmod(0)
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(DeviceError, match="Permission denied") as caught:
            open_device(path)
    finally:
        os.seteuid(uid)
    assert (caught.value.errno, caught.value.exit_code) == (errno.EACCES, 3)


@pytest.mark.parametrize("writable", [False, True])
def test_what_is_no_image(tmp_path: Path, writable: bool) -> None:
    os.mkfifo(tmp_path / "fifo")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)  # the name of a socket is short
    try:
        server.bind("socket")
    finally:
        os.chdir(here)
        server.close()
    cases = [(tmp_path, "a directory"), (Path("/dev/null"), "a character device")]
    cases += [(tmp_path / "fifo", "a FIFO"), (tmp_path / "socket", "a socket")]
    for path, what in cases:
        with pytest.raises(InvalidInput, match=what):
            open_device(path, writable=writable)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/b\xff\x1b[31m\n"
    with pytest.raises(DeviceError) as caught:
        open_device(name)
    assert str(caught.value).encode().endswith(b"b\\xff\\x1b[31m\\n: No such file or directory")
    Path(os.fsdecode(name)).write_bytes(b"data")
    with open_device(name) as device:
        device.url.encode()
        assert read(device, 0, 4) == b"data"
    with pytest.raises(InvalidInput, match="null"):
        open_device("a\0b")


def test_a_link_is_followed(tmp_path: Path) -> None:
    path = make_image(tmp_path / "image", b"abc")
    (tmp_path / "link").symlink_to(path)
    with open_device(tmp_path / "link") as device:
        assert read(device, 0, 3) == b"abc"


def test_create(tmp_path: Path) -> None:
    with open_device(tmp_path / "new", writable=True, create_size=5000) as device:
        assert (device.size, device.created) == (5000, True)
        assert read(device, 0, 5000) == bytes(5000)
    make_image(tmp_path / "old", b"keep")
    with open_device(tmp_path / "old", writable=True, create_size=5000) as device:
        assert (device.size, device.created) == (4, False)


def test_create_fails_cleanly(ext4_dir: Path) -> None:
    with pytest.raises(DeviceError):
        open_device(ext4_dir / "huge", writable=True, create_size=(1 << 63) - 1)
    assert not list(ext4_dir.iterdir())
    with pytest.raises(DeviceError, match="No such file"):
        open_device(ext4_dir / "absent" / "new", writable=True, create_size=1)


# ---- reading ----


@pytest.mark.parametrize("size", [0, 1, 511, 4095, 4097])
def test_small_sizes(any_dir: Path, size: int) -> None:
    data = os.urandom(size)
    with open_device(make_image(any_dir / "image", data)) as device:
        assert read(device, 0, size) == data
        assert sum(len(batch) and batch.total() for batch in device.extents()) == size
        assert list(device.unwritten()) == [] or sum(b.total() for b in device.unwritten()) == 0


def test_short_read(tmp_path: Path) -> None:
    with open_device(make_image(tmp_path / "image", b"x" * 1000)) as device:
        with pytest.raises(ShortRead) as caught:
            device.pread_into(bytearray(100), 950)
        assert (caught.value.offset, caught.value.length) == (1000, 50)
        os.truncate(tmp_path / "image", 10)
        assert device.changes() == "its size was 1000 and is now 10"
        assert device.size == 1000


def test_modified(tmp_path: Path) -> None:
    path = make_image(tmp_path / "image", b"x" * 1000)
    os.utime(path, (1, 1))
    with open_device(path) as device:
        path.write_bytes(b"y" * 1000)
        assert device.changes() == "it was modified meanwhile"


def test_real_eio(make_loop: MakeLoop) -> None:
    """The backing file is cut under the loop device: the kernel answers with EIO."""
    loop = make_loop(4 * MIB)
    os.truncate(loop.backing, MIB)
    with open_device(loop.path) as device:
        assert device.size == 4 * MIB
        assert read(device, 0, 4096) == bytes(4096)
        with pytest.raises(DeviceError, match="Input/output error") as caught:
            device.pread_into(bytearray(MIB), 2 * MIB)
        assert (caught.value.errno, caught.value.offset, caught.value.action) == (errno.EIO, 2 * MIB, "read")
        assert not isinstance(caught.value, ShortRead)


def test_closed_means_closed(tmp_path: Path) -> None:
    device = open_device(make_image(tmp_path / "image", b"x" * 1000), writable=True)
    assert device.direct_fileno() is None or device.direct_refusal == ""
    device.close()
    device.close()
    uses = [
        device.fileno,
        device.clone,
        device.flush,
        device.drop_cache,
        device.current_size,
        device.direct_fileno,
        lambda: device.pread_into(bytearray(1), 0),
        lambda: device.pwrite(b"x", 0),
        lambda: device.zero(0, 1),
        lambda: device.resize(1),
        lambda: list(device.extents()),
    ]
    for use in uses:
        with pytest.raises(DeviceError, match="closed"):
            use()


def test_clones_are_independent(tmp_path: Path) -> None:
    path = make_image(tmp_path / "image", b"abc")
    first = open_device(path)
    path.rename(tmp_path / "moved")
    second = first.clone()
    (tmp_path / "moved").unlink()
    third = second.clone()
    first.close()
    second.close()
    assert read(third, 0, 3) == b"abc"
    third.close()


def test_no_descriptor_leaks(tmp_path: Path) -> None:
    path = make_image(tmp_path / "image", b"x" * 8192)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with open_device(path) as device:
            device.direct_fileno()
            device.clone().close()
        with pytest.raises(InvalidInput):
            open_device(tmp_path)
    open_device(path)  # dropped without closing
    assert len(os.listdir("/proc/self/fd")) == before


# ---- direct I/O ----


def test_direct_io(any_dir: Path) -> None:
    data = os.urandom(3 * 4096 + 77)
    with open_device(make_image(any_dir / "image", data)) as device:
        fd = device.direct_fileno()
        if any_dir.parent.name == "tmpfs":
            assert device.direct_refusal.startswith("tmpfs")
        if device.direct_refusal == "tmpfs keeps its files in memory":  # /tmp may be one too
            assert fd is None
            return
        assert fd is not None, device.direct_refusal
        assert device.offset_align in (512, 4096)
        assert 1 <= device.memory_align <= 4096


def test_direct_io_of_block_devices(loop_device: LoopDevice) -> None:
    with open_device(loop_device.path) as device:
        assert device.is_block
        assert device.direct_fileno() is not None
        assert device.offset_align == device.block_size
        assert device.block_size in (512, 4096)


def test_direct_io_refused(tmp_path: Path) -> None:
    """A file of /proc stands for every file system that knows no O_DIRECT."""
    maps = "/proc/self/maps"
    with FileDevice(os.open(maps, os.O_RDONLY), maps) as device:
        assert device.direct_fileno() is None
        assert "O_DIRECT" in device.direct_refusal
    with open_device(make_image(tmp_path / "empty")) as device:
        assert device.size == 0
        device.direct_fileno()


# ---- writing ----


def test_reading_only(tmp_path: Path) -> None:
    with open_device(make_image(tmp_path / "image", b"x" * 100)) as device:
        for write in (lambda: device.pwrite(b"y", 0), lambda: device.zero(0, 1), lambda: device.resize(0)):
            with pytest.raises(InvalidInput, match="reading only"):
                write()
    assert (tmp_path / "image").read_bytes() == b"x" * 100


@pytest.mark.parametrize("punch", [True, False])
def test_write_and_zero(any_dir: Path, punch: bool) -> None:
    data = bytearray(os.urandom(3 * MIB + 777))
    with open_device(make_image(any_dir / "image", data), writable=True) as device:
        device.pwrite(b"new", 100)
        data[100:103] = b"new"
        for offset, length in [(0, 0), (5, 1), (4096, 8192), (MIB - 3, MIB + 5), (3 * MIB, 777)]:
            device.zero(offset, length, punch=punch)
            data[offset : offset + length] = bytes(length)
        device.flush()
        device.drop_cache()
        assert read(device, 0, device.size) == data
        holes = sum(batch.total(2) for batch in device.extents())
        assert holes >= MIB if punch else device.current_size() == len(data)
        if not punch and any_dir.parent.name in ("xfs", "ext4"):
            assert sum(batch.total(1) for batch in device.unwritten()) >= MIB


@pytest.mark.parametrize(("offset", "length"), [(95, 6), (101, 0), (-1, 1)])
def test_writing_outside(tmp_path: Path, offset: int, length: int) -> None:
    with open_device(make_image(tmp_path / "image", b"x" * 100), writable=True) as device:
        with pytest.raises(InvalidInput, match="leaves"):
            device.pwrite(bytes(length), offset)
        with pytest.raises(InvalidInput, match="leaves"):
            device.zero(offset, length)
        assert device.current_size() == 100


def test_resize(tmp_path: Path) -> None:
    with open_device(make_image(tmp_path / "image", b"x" * 100), writable=True) as device:
        device.resize(5000)
        device.pwrite(b"end", 4997)
        assert (device.size, read(device, 100, 4)) == (5000, bytes(4))
        device.resize(50)
        assert read(device, 0, 50) == b"x" * 50


def test_write_to_a_block_device(loop_device: LoopDevice) -> None:
    data = bytearray(os.urandom(16 * MIB))
    with open_device(loop_device.path, writable=True) as device:
        device.pwrite(data, 0)
        for offset, length in [(1, 1), (100, 5000), (MIB, MIB), (2 * MIB - 5, 10), (3 * MIB + 511, 2 * MIB + 2)]:
            device.zero(offset, length)
            data[offset : offset + length] = bytes(length)
        device.flush()
        device.drop_cache()
        assert read(device, 0, device.size) == data
        with pytest.raises(UnsupportedOperation, match="fixed"):
            device.resize(5)
    assert loop_device.backing.read_bytes() == data


def test_discard(loop_device: LoopDevice) -> None:
    with open_device(loop_device.path, writable=True) as device:
        device.pwrite(b"x" * MIB, 0)
        device.flush()
        device.discard(0, MIB)
        device.discard(1, 2)  # no whole sector: nothing happens
        device.flush()
    assert loop_device.backing.stat().st_blocks * 512 < MIB


@pytest.mark.parametrize("free", [True, False], ids=["freed", "kept"])
def test_zeroing_gives_space_back_only_when_asked(loop_device: LoopDevice, free: bool) -> None:
    with open_device(loop_device.path, writable=True) as device:
        device.discards = free
        device.pwrite(b"x" * (2 * MIB), 0)
        device.flush()
        device.zero(0, MIB)
        device.zero(MIB + 1, 100)  # no whole sector: written
        device.flush()
        device.drop_cache()
        assert read(device, 0, 2 * MIB) == bytes(MIB) + b"x" + bytes(100) + b"x" * (MIB - 101)
    assert (loop_device.backing.stat().st_blocks * 512 < 2 * MIB) == free


def test_enospc(tmpfs_dir: Path) -> None:
    with open_device(tmpfs_dir / "image", writable=True, create_size=256 * MIB) as device:
        with pytest.raises(DeviceError, match="No space left") as caught:
            fill(device)
        assert (caught.value.errno, caught.value.action) == (errno.ENOSPC, "write")


def test_write_eio(make_loop: MakeLoop, tmpfs_dir: Path) -> None:
    """The file system under the loop device is full: the kernel tells when the pages are written."""
    backing = tmpfs_dir / "backing"
    with backing.open("wb") as file:
        file.truncate(96 * MIB)
    loop = make_loop(96 * MIB, backing=backing)
    with open_device(loop.path, writable=True) as device:
        with pytest.raises(DeviceError) as caught:
            fill(device)
        assert caught.value.errno in (errno.EIO, errno.ENOSPC)
        assert caught.value.action in ("flush", "write")


def test_a_read_only_device(loop_device: LoopDevice) -> None:
    subprocess.run(["blockdev", "--setro", loop_device.path], check=True)
    try:
        with pytest.raises(DeviceError) as caught:
            open_device(loop_device.path, writable=True)
        assert caught.value.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
        with open_device(loop_device.path) as device:
            assert device.size == 16 * MIB
    finally:
        subprocess.run(["blockdev", "--setrw", loop_device.path], check=True)  # it outlives the loop's backing


def test_a_target_is_held(loop_device: LoopDevice) -> None:
    with open_device(loop_device.path, writable=True) as device:
        with pytest.raises(DeviceBusy, match="exclusively"):
            open_device(loop_device.path, writable=True)
        open_device(loop_device.path, writable=True, force=True).close()
        with device.clone() as clone, open_device(loop_device.path) as reader:
            clone.pwrite(b"abc", 0)
            assert read(reader, 0, 3) == b"abc"


def test_a_free_loop_device(make_loop: MakeLoop) -> None:
    loop = make_loop(MIB)
    subprocess.run(["losetup", "--detach", loop.path], check=True)
    try:
        with open_device(loop.path) as device:
            assert device.size == 0
            assert list(device.extents()) == []
    except DeviceError as error:  # newer kernels do not open it at all
        assert error.errno == errno.ENXIO  # noqa: PT017
