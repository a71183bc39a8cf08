"""What a file tells of itself and its content; for the ``evidence()`` of devices, which ``describe`` explains."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

FILE_TOLD_BY = "size, mtime and ctime"
_TICK = 0.02  # seconds: the kernel's clock for files moves at least 100 times a second
_COARSE = 2.0  # on file systems that keep whole seconds


def file_content(status: os.stat_result) -> dict[str, Any]:
    """What changes when a regular file is written to.

    Waits until a write could not get the time that is there already: some milliseconds after the last one, seconds
    where times are whole seconds.
    """
    coarse = status.st_mtime_ns % 10**9 == 0 and status.st_ctime_ns % 10**9 == 0
    rest = (_COARSE if coarse else _TICK) - (time.time() - status.st_ctime_ns / 1e9)
    if 0 < rest <= _COARSE:
        time.sleep(rest)
    return {"bytes": status.st_size, "mtime": status.st_mtime_ns, "ctime": status.st_ctime_ns}


def is_ahead(status: os.stat_result) -> bool:
    """Whether its times are of the future: the next write may then get the same."""
    return status.st_ctime_ns / 1e9 > time.time() + _COARSE


def file_evidence(status: os.stat_result, path: str) -> dict[str, Any]:
    """The evidence of a regular file at a real path."""
    sure = "" if is_ahead(status) else "running"
    who = {"path": path, "inode": status.st_ino}
    return {"who": who, "content": file_content(status), "told_by": FILE_TOLD_BY, "sure": sure}
