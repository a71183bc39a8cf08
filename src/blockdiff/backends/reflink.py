"""Which ranges of two files are one and the same storage, by metadata alone.

Sharing proves equality only while both files exist, on one file system, and for extents whose address is that of the
byte itself. Everything else is left to be read: saying nothing is always right, saying "shared" must be.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from typing import TYPE_CHECKING

from blockdiff import _fast
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents
    from blockdiff.backends.filedevice import FileDevice

_XFS, _BTRFS = 0x58465342, 0x9123683E
_FSXATTR_SIZE, _XFLAG_REALTIME = 28, 1
_FS_INFO_SIZE = 1024
# The kernel stamps a changed file with this clock; two changes within one tick look the same.
_TICK = time.clock_getres(5)  # CLOCK_REALTIME_COARSE, which Python does not name
_PATIENCE = 5
_WINDOW = 4096


def reflink_refusal(fd_a: int, fd_b: int) -> str | None:
    """Why the two files cannot be compared by shared storage; None when they can."""
    a, b = os.fstat(fd_a), os.fstat(fd_b)
    if not (stat.S_ISREG(a.st_mode) and stat.S_ISREG(b.st_mode)):
        return "only regular files can share storage"
    if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino):
        return "both are one and the same file"
    kind = _fast.statfs_type(fd_a)
    if kind not in (_XFS, _BTRFS):
        return "shared storage is known of XFS and btrfs only"
    if kind != _fast.statfs_type(fd_b):
        return "the files are on different file systems"
    refusal = _xfs_refusal(fd_a, fd_b) if kind == _XFS else _btrfs_refusal(fd_a, fd_b)
    return refusal or _fiemap_refusal(fd_a, fd_b)


def _xfs_refusal(fd_a: int, fd_b: int) -> str | None:
    if os.fstat(fd_a).st_dev != os.fstat(fd_b).st_dev:
        return "the files are on different file systems"
    for fd in (fd_a, fd_b):
        try:
            raw = fcntl.ioctl(fd, _fast.FS_IOC_FSGETXATTR, bytes(_FSXATTR_SIZE))
        except OSError as error:
            return f"XFS does not tell where the file is: {os.strerror(error.errno or 0)}"
        if struct.unpack_from("=I", raw)[0] & _XFLAG_REALTIME:
            return "a file is on the realtime device of XFS, whose addresses are others"
    return None


def _btrfs_refusal(fd_a: int, fd_b: int) -> str | None:
    """The device number differs between subvolumes, so the file system is known by its own id."""
    try:
        ids = [fcntl.ioctl(fd, _fast.BTRFS_IOC_FS_INFO, bytes(_FS_INFO_SIZE))[16:32] for fd in (fd_a, fd_b)]
    except OSError as error:
        return f"btrfs does not tell its id: {os.strerror(error.errno or 0)}"
    return None if ids[0] == ids[1] and any(ids[0]) else "the files are on different file systems"


def _fiemap_refusal(fd_a: int, fd_b: int) -> str | None:
    for fd in (fd_a, fd_b):
        try:
            _fast.fiemap_fd(fd, 0, 1, False, 1)
        except OSError as error:
            return f"the file system gives no FIEMAP: {os.strerror(error.errno or 0)}"
    return None


def shared_extents(a: FileDevice, b: FileDevice, start: int = 0, length: int | None = None) -> Iterator[Extents]:
    """Ascending batches of the ranges (kind DATA) in which both files are one and the same storage.

    Ask ``reflink_refusal`` first. A window in which a file changed, or where the kernel answers with an error, yields
    nothing.
    """
    end = min(a.size, b.size) if length is None else min(start + length, a.size, b.size)
    for known, _ in _windows(a, b, start, end):
        shared = known.only(Kind.DATA)
        if len(shared):
            yield shared


def _windows(a: FileDevice, b: FileDevice, start: int, end: int) -> Iterator[tuple[Extents, int]]:
    """What is known equal (DATA: shared, ZERO: neither has data), window by window, and where the window ends."""
    fd_a, fd_b, patience = a.fileno(), b.fileno(), _PATIENCE
    while start < end:
        try:
            known, following, stable = _fast.shared_map(fd_a, fd_b, start, end, _WINDOW)
        except OSError:
            # Whoever reads the range meets the error, if it is one of the data.
            yield _fast.Extents(), end
            return
        if not stable and patience > 0:
            patience -= 1
            time.sleep(2 * _TICK)
            continue
        yield known, following
        start = following


class ReflinkSource:
    """Tells what changed between two files from their shared storage, without reading data.

    ``base`` and ``target`` stay open as long as the source is used; it does not close them.
    """

    method = "reflink"

    def __init__(self, base: FileDevice, target: FileDevice) -> None:
        self._base, self._target = base, target

    def records(self, _pair: object = None, *, start: int = 0, limit: int = 0) -> Iterator[Record]:
        """Records of the target's ranges from ``start`` that are not provably equal; ``limit``: most extents a record.

        All that the target has past the base's end is changed.
        """
        capacity = self._target.size
        common = min(self._base.size, capacity)
        for changed in self._changed(start, common, capacity):
            for part in _cut(changed, limit):
                yield Record(BlockMetadataType.VARIABLE_LENGTH, capacity, part)

    def _changed(self, start: int, common: int, capacity: int) -> Iterator[Extents]:
        for known, following in _windows(self._base, self._target, start, common):
            yield _fast.Extents([(start, following - start)]).subtract(known)
            start = following
        if start < capacity:
            yield _fast.Extents([(start, capacity - start)])

    def close(self) -> None:
        """Nothing of its own to give back."""


def _cut(extents: Extents, limit: int) -> Iterator[Extents]:
    if not len(extents):
        return
    step = limit or len(extents)
    for first in range(0, len(extents), step):
        yield extents[first : first + step]
