"""Keeps a stream from being taken up again over a snapshot that is another one by now."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any

from blockdiff.csi.errors import StatusError

KEPT = 65536  # snapshots remembered


class Stamps:
    """What each snapshot looked like when this server first saw it.

    A client whose stream broke goes on at an offset; the part that it has is of what the snapshot was before. If that
    changed, only a stream from the start is right.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[Any, ...]] = OrderedDict()

    def check(self, snapshot_id: str, device: Any, start: int) -> None:
        """StatusError if ``start`` is not 0 and the snapshot is not what it was."""
        stamp = stamp_of(device)
        with self._lock:
            first = self._seen.setdefault(snapshot_id, stamp)
            self._seen.move_to_end(snapshot_id)
            if len(self._seen) > self._kept:
                self._seen.popitem(last=False)
        if start > 0 and first != stamp:
            raise StatusError(
                "INTERNAL",
                f"the snapshot {snapshot_id!r} was modified since it was first read: begin at offset 0",
            )


def stamp_of(device: Any) -> tuple[Any, ...]:
    """Equal as long as a snapshot is the same, as far as its storage tells."""
    stamp: tuple[Any, ...] = (getattr(device, "identity", None), device.size)
    fd = device.fileno()
    if fd is not None:
        found = os.fstat(fd)
        stamp += (found.st_mtime_ns, found.st_ctime_ns)
    return stamp
