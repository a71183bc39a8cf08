"""Makes ranges of files and block devices read as zeroes, the cheapest way that the kernel offers."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from functools import cache

from blockdiff import _fast

# One kernel request of this size ends within a second also on a slow device, so that Ctrl-C is heard in time.
STEP = 128 << 20
_WRITE_STEP = 1 << 20
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOTTY})


def zero_file(fd: int, offset: int, length: int, *, punch: bool) -> None:
    """Zeroes in a regular file: a hole if ``punch``, else allocated. OSError on failure."""
    modes = [_fast.FALLOC_PUNCH_HOLE | _fast.FALLOC_KEEP_SIZE] if punch else []
    for mode in [*modes, _fast.FALLOC_ZERO_RANGE | _fast.FALLOC_KEEP_SIZE]:
        if _allocate(fd, mode, offset, length):
            return
    write_zeroes(fd, offset, length)


def zero_block(fd: int, offset: int, length: int, sector: int, *, free: bool = False) -> None:
    """Zeroes on a block device; what is no whole sector is written. ``free`` gives the space back where that promises
    zeroes (a plain discard promises nothing); else it stays allocated.
    """
    end = offset + length
    first, last = min(-(-offset // sector) * sector, end), end // sector * sector
    write_zeroes(fd, offset, first - offset)
    if first >= last:
        write_zeroes(fd, first, end - first)
        return
    freed = free and _allocate(fd, _fast.FALLOC_PUNCH_HOLE | _fast.FALLOC_KEEP_SIZE, first, last - first)
    if not freed and not _block_ioctl(fd, _fast.BLKZEROOUT, first, last - first):
        write_zeroes(fd, first, last - first)
    write_zeroes(fd, last, end - last)


def discard_block(fd: int, offset: int, length: int, sector: int) -> bool:
    """Gives the whole sectors inside the range back to the device; False where it has no discard."""
    first, last = -(-offset // sector) * sector, (offset + length) // sector * sector
    return first >= last or _block_ioctl(fd, _fast.BLKDISCARD, first, last - first)


def write_zeroes(fd: int, offset: int, length: int) -> None:
    """Zeroes by writing them."""
    with memoryview(_zeroes()) as zeroes:
        while length > 0:
            done = write_some(fd, zeroes[: min(length, _WRITE_STEP)], offset)
            offset += done
            length -= done


def write_some(fd: int, data: memoryview, offset: int) -> int:
    """At least one byte written, or OSError: a kernel that takes none would be asked for ever."""
    done = os.pwrite(fd, data, offset)
    if done == 0 and len(data):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return done


@cache
def _zeroes() -> mmap.mmap:
    """Untouched anonymous memory is the kernel's one page of zeroes: it costs nothing."""
    return mmap.mmap(-1, _WRITE_STEP, prot=mmap.PROT_READ)


def _allocate(fd: int, mode: int, offset: int, length: int) -> bool:
    while True:
        try:
            _fast.fallocate(fd, mode, offset, length)
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return False
            raise
        return True


def _block_ioctl(fd: int, request: int, offset: int, length: int) -> bool:
    while True:
        try:
            fcntl.ioctl(fd, request, struct.pack("=QQ", offset, length))
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return False
            raise
        return True
