"""Keeps a stream from being taken up again over another snapshot that has got the same name meanwhile."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from blockdiff.csi.errors import StatusError

KEPT = 65536  # names remembered
PATIENCE = 3600.0  # seconds after its longest time that somebody may still go on with a stream


class Replaced:
    """Which handles a name stood for lately.

    A client whose stream broke goes on at an offset, by name. If the VolumeSnapshot was made anew since, the part that
    it has is of another snapshot, and only a stream from the start is right.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str], dict[str, float]] = OrderedDict()

    def check(self, namespace: str, name: str, handle: str, start: int, deadline: float) -> None:
        """StatusError if ``start`` is not 0 and the name was another snapshot's. ``deadline`` is that of the stream."""
        now = time.monotonic()
        with self._lock:
            seen = self._seen.setdefault((namespace, name), {})
            self._seen.move_to_end((namespace, name))
            if len(self._seen) > self._kept:
                self._seen.popitem(last=False)
            for other in [other for other, until in seen.items() if until < now]:
                del seen[other]
            if start > 0 and seen.keys() - {handle}:
                raise StatusError(
                    "INTERNAL", f"VolumeSnapshot '{namespace}/{name}' is another one than before: begin at offset 0"
                )
            seen[handle] = deadline + PATIENCE
