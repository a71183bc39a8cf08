"""A second descriptor for direct I/O, if the file system really gives it, and the reason if not."""

from __future__ import annotations

import errno
import mmap
import os
from typing import NamedTuple

from blockdiff import _fast
from blockdiff.backends.opening import reopen

# Their files live in memory; some kernels accept O_DIRECT there and then ignore it.
_IN_MEMORY = {0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x958458F6: "hugetlbfs"}
# Tried in order where the kernel does not tell the alignment.
_GUESSES = (512, 4096)
_REFUSALS = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})


class Direct(NamedTuple):
    """``fd`` is -1 when direct I/O is refused, and ``refusal`` says why."""

    fd: int
    refusal: str
    memory_align: int
    offset_align: int


def alignments(fd: int, logical_block: int) -> list[tuple[int, int]]:
    """(memory, offset) alignments to try, most likely first; empty when the kernel says that there is no direct I/O."""
    told = _fast.dio_alignment(fd)
    if told is not None:
        return [(max(told[0], 1), told[1])] if told[1] else []
    if logical_block:
        return [(mmap.PAGESIZE, logical_block)]
    return [(mmap.PAGESIZE, guess) for guess in _GUESSES]


def open_direct(fd: int, size: int, logical_block: int = 0) -> Direct:
    """Opens the file behind ``fd`` again, read-only with O_DIRECT, and proves it by reading one block.

    ``logical_block`` is a block device's sector size, 0 for a regular file.
    """
    kind = _IN_MEMORY.get(_fast.statfs_type(fd)) if not logical_block else None
    if kind:
        return Direct(-1, f"{kind} keeps its files in memory", 1, 1)
    tries = alignments(fd, logical_block)
    if not tries:
        return Direct(-1, "the file system has no direct I/O for this file", 1, 1)
    try:
        direct = reopen(fd, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        return Direct(-1, f"opening with O_DIRECT: {os.strerror(error.errno or 0)}", 1, 1)
    reason = ""
    for memory, offset in tries:
        reason = _probe(direct, offset, size)
        if not reason:
            return Direct(direct, "", memory, offset)
    os.close(direct)
    return Direct(-1, reason, 1, 1)


def _probe(fd: int, align: int, size: int) -> str:
    """Reads one block where only this alignment holds: some file systems accept the flag and refuse the read."""
    with mmap.mmap(-1, max(align, mmap.PAGESIZE)) as page, memoryview(page) as view:
        try:
            os.preadv(fd, [view[:align]], align if size >= 2 * align else 0)
        except OSError as error:
            # A medium error is for the reader to report, with its place; it says nothing about the alignment.
            if error.errno in _REFUSALS:
                return f"reading with O_DIRECT: {os.strerror(error.errno)}"
    return ""
