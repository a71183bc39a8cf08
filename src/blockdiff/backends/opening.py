"""Opens image files and block devices, and says clearly why that is not possible."""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from blockdiff import _fast
from blockdiff.errors import DeviceError, InvalidInput

_OTHER = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def printable(path: str | bytes) -> str:
    """The path as text that any terminal and any JSON takes: bytes that are no UTF-8 and control characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def failure(error: OSError, url: str, action: str, offset: int | None = None, length: int | None = None) -> DeviceError:
    """The system's error in our words: which device, what was tried, where."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return DeviceError(reason, url=url, action=action, offset=offset, length=length, errno=error.errno)


def check_type(mode: int, url: str) -> None:
    """InvalidInput for what can be no image, however it is opened."""
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        return
    what = _OTHER.get(stat.S_IFMT(mode), "neither")
    raise InvalidInput(f"{url} is {what}, not a file or a block device")


def check_path(path: str, url: str) -> os.stat_result:
    """The stat of a regular file or block device; DeviceError when there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise failure(error, url, "open") from error
    except ValueError as error:  # a zero byte in the name
        raise InvalidInput(f"{url}: {error}") from error
    check_type(status.st_mode, url)
    return status


def open_checked(path: str, flags: int, url: str) -> int:
    """A descriptor of a regular file or block device.

    Never waits for a FIFO's other end, and looks again after opening: the name may point to something else by then.
    """
    check_path(path, url)
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise failure(error, url, "open") from error
    try:
        check_type(os.fstat(fd).st_mode, url)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    except BaseException:
        os.close(fd)
        raise
    return fd


def refuse_device_directory(path: str, url: str) -> None:
    """InvalidInput for a new file among the devices: that is a misspelt device, and the copy would be in memory."""
    directory = os.path.realpath(os.path.dirname(path) or ".") + "/"
    if directory.startswith("/dev/") and not directory.startswith("/dev/shm/"):  # noqa: S108 - it is for files
        raise InvalidInput(f"{url} does not exist, and among the devices no file is made")


def create(path: str, size: int, url: str) -> None:
    """A new sparse file of this size; nothing is left behind when that fails."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOCTTY, 0o666)
    except OSError as error:
        raise failure(error, url, "create") from error
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        os.unlink(path)
        raise failure(error, url, "create", 0, size) from error
    finally:
        os.close(fd)


def reopen(fd: int, flags: int) -> int:
    """An own open file of the very file behind ``fd``, also when it was renamed or deleted meanwhile."""
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_NOCTTY)


def sector_size(fd: int) -> int:
    """The logical sector size of a block device."""
    return _int_ioctl(fd, _fast.BLKSSZGET, 512)


def is_read_only(fd: int) -> bool:
    """Whether a block device is switched to read-only; opening it for writing may succeed all the same."""
    return _int_ioctl(fd, _fast.BLKROGET, 0) != 0


def _int_ioctl(fd: int, request: int, otherwise: int) -> int:
    try:
        value: int = struct.unpack("i", fcntl.ioctl(fd, request, b"\0" * 4))[0]
    except OSError:
        return otherwise
    return value
