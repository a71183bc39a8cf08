"""One thread that ends what takes too long."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_log = logging.getLogger("blockdiff.csi.server")


class Watchdog:
    """Runs functions at their time, unless they were taken back. Functions must be short."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int]] = []
        self._functions: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()
        self._closed = False
        self._thread: threading.Thread | None = None

    def at(self, when: float, function: Callable[[], object]) -> int:
        """Runs the function at a time of ``time.monotonic()``; gives a number to take it back with."""
        with self._condition:
            number = next(self._numbers)
            self._functions[number] = function
            heapq.heappush(self._heap, (when, number))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            self._condition.notify()
        return number

    def forget(self, number: int) -> None:
        """Takes a function back; one that ran already is no error."""
        with self._condition:
            self._functions.pop(number, None)
            if len(self._heap) > 64 + 2 * len(self._functions):
                self._heap = [item for item in self._heap if item[1] in self._functions]
                heapq.heapify(self._heap)

    def close(self) -> None:
        """Ends the thread; what is left is not run."""
        with self._condition:
            self._closed = True
            self._functions.clear()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._closed:
                    return
                left = self._heap[0][0] - time.monotonic() if self._heap else None
                if left is None or left > 0:
                    self._condition.wait(left)
                    continue
                function = self._functions.pop(heapq.heappop(self._heap)[1], None)
            if function is not None:
                try:
                    function()
                except Exception:  # noqa: BLE001 - the next one has its time, too
                    _log.exception("what was to be ended could not be")
