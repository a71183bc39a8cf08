"""A partition of an image as a file of its own, for programs that want one: private, read-only, gone when closed."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from blockdiff.engine.scratch import scratch_file
from blockdiff.errors import BlockdiffError
from blockdiff.extent import Kind
from blockdiff.triage.naming.tool import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIED = 256 << 20  # bytes of data that are copied, if nothing better goes
_FICLONERANGE = 0x4020940D  # _IOW(0x94, 13, struct file_clone_range): linux/fs.h
_PIECE = 1 << 20


@contextmanager
def partition_view(device: Any, start: int, length: int) -> Iterator[int]:
    """A descriptor in which the partition begins at 0.

    A device's own partition, a clone on a file system that shares blocks, or a copy of what is not a hole, if that is
    little. Raises ToolFailed.
    """
    with ExitStack() as stack:
        for make in (_kernels, _cloned, _copied):
            fd = make(device, start, length, stack)
            if fd is not None:
                yield fd
                return
    raise AssertionError


def _kernels(device: Any, start: int, length: int, stack: ExitStack) -> int | None:
    """The partition that the kernel has found on a disk, if it is just this one."""
    status = os.fstat(device.fileno())
    if not stat.S_ISBLK(status.st_mode):
        return None
    node = os.path.realpath(f"/sys/dev/block/{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    with suppress(OSError, ValueError):
        for name in os.listdir(node):
            if os.path.exists(f"{node}/{name}/partition") and _number(f"{node}/{name}/start") * 512 == start:
                fd = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, fd)
                rdev = os.fstat(fd).st_rdev
                if _number(f"{node}/{name}/size") * 512 == length and _text(f"{node}/{name}/dev") == (
                    f"{os.major(rdev)}:{os.minor(rdev)}"
                ):
                    return fd
    return None


def _cloned(device: Any, start: int, length: int, stack: ExitStack) -> int | None:
    """Shares the blocks of the image with a nameless file beside it."""
    status = os.fstat(device.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    with suppress(OSError):
        fd = os.open(os.path.dirname(os.path.realpath(device.path)), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, fd)
        os.ftruncate(fd, length)
        span = length // 4096 * 4096
        fcntl.ioctl(fd, _FICLONERANGE, struct.pack("=qQQQ", device.fileno(), start, span, 0))
        if length > span:
            os.pwrite(fd, os.pread(device.fileno(), length - span, start + span), span)
        return fd
    return None


def _copied(device: Any, start: int, length: int, stack: ExitStack) -> int:
    """Copies the partition's data into a file without a name."""
    try:
        parts = [e for batch in device.extents(start, length) for e in batch if e.kind == Kind.DATA]
        if sum(part.length for part in parts) > COPIED:
            raise ToolFailed(
                f"the partition holds more than {COPIED >> 20} MiB, which are too many to copy; "
                "the device of the partition itself can be given in place of the whole disk"
            )
        file = stack.enter_context(scratch_file("blockdiff-partition-"))
        os.ftruncate(file.fileno(), length)
        for part in parts:
            for at in range(part.offset, part.end, _PIECE):
                buffer = bytearray(min(_PIECE, part.end - at))
                device.pread_into(buffer, at)
                os.pwrite(file.fileno(), buffer, at - start)
        os.fsync(file.fileno())
    except (BlockdiffError, OSError) as error:
        raise ToolFailed(f"the partition cannot be made a file of its own: {error}") from error
    return file.fileno()


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _number(path: str) -> int:
    return int(_text(path))
