"""Whether a device was written to between two moments, as far as the system tells."""

from __future__ import annotations

import os
import stat
from typing import Any

_WRITTEN, _DISCARDED = 6, 13  # fields of /sys/dev/block/*/stat, counted from 0: Documentation/block/stat.rst


def activity(device: Any) -> tuple[object, ...] | None:
    """A value that is another one once the device was written to; None where nothing tells.

    Of a file its size and times; of a block device the sectors that were written or discarded, also on the disk that it
    is a part of. A snapshot is never written to. Writing through a mapping of a file may be told late.
    """
    if getattr(device, "snapshot", ""):
        return ("snapshot",)
    fd = device.fileno()
    if fd is None:
        return None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return ("file", status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _written(os.path.realpath(f"/sys/dev/block/{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"))


def _written(node: str) -> tuple[object, ...] | None:
    """Sectors written to a block device, and to the disk where it is a partition."""
    nodes = [node, os.path.dirname(node)] if os.path.exists(f"{node}/partition") else [node]
    try:
        counts = [_sectors(f"{one}/stat") for one in nodes]
    except (OSError, ValueError, IndexError):
        return None
    return ("block", *counts)


def _sectors(path: str) -> int:
    """Sectors written and discarded; kernels before 4.18 do not count discards."""
    with open(path, encoding="ascii") as file:
        fields = file.read().split()
    return int(fields[_WRITTEN]) + sum(map(int, fields[_DISCARDED : _DISCARDED + 1]))
