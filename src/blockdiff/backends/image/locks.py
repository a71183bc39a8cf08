"""The locks by which QEMU knows who uses an image, for reading: a machine cannot begin to write to what we read.

They are open-file-description locks on single bytes. A user holds a shared lock on byte 100 + n for each permission n
that it uses, and on 200 + n for each that it does not let others use; then it looks whether somebody holds the
opposite. Source: QEMU's block/file-posix.c and include/block/block-common.h (BLK_PERM_*), and /proc/locks of qemu-nbd.
"""

from __future__ import annotations

import fcntl
import struct

_FLOCK = struct.Struct("hh4xqqi4x")  # type, whence, start, length, pid
_GET, _SET = 36, 37  # F_OFD_GETLK, F_OFD_SETLK
_USES, _REFUSES = 100, 200
_READ, _WRITE, _RESIZE = 0, 1, 3  # permissions: consistent reads, writing, another size


def lock_for_reading(fd: int) -> bool:
    """Takes the locks of a reader, which end with the open file. False where somebody writes, or nothing is known."""
    try:
        for byte in (_USES + _READ, _REFUSES + _WRITE, _REFUSES + _RESIZE):
            fcntl.fcntl(fd, _SET, _FLOCK.pack(fcntl.F_RDLCK, 0, byte, 1, 0))
        return not any(_is_locked(fd, byte) for byte in (_REFUSES + _READ, _USES + _WRITE, _USES + _RESIZE))
    except OSError:
        return False


def _is_locked(fd: int, byte: int) -> bool:
    """Whether somebody else holds a lock on the byte."""
    answer = fcntl.fcntl(fd, _GET, _FLOCK.pack(fcntl.F_WRLCK, 0, byte, 1, 0))
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK
