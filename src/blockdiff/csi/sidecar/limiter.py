"""At most so many requests a second to the API server."""

from __future__ import annotations

import threading
import time


class Limiter:
    """A bucket of ``burst`` requests that fills at ``qps`` a second; 0 or less is no limit."""

    def __init__(self, qps: float, burst: int) -> None:
        self._qps, self._burst = qps, max(burst, 1)
        self._level, self._time = float(self._burst), time.monotonic()
        self._lock = threading.Lock()

    def wait(self, timeout: float, cancelled: threading.Event) -> bool:
        """Waits for its turn; False if that would take longer than ``timeout`` (seconds), or once it is cancelled.

        A turn that was not used is given back: callers that went away do not make others wait.
        """
        if cancelled.is_set():
            return False
        if self._qps <= 0:
            return True
        with self._lock:
            now = time.monotonic()
            self._level = min(self._level + (now - self._time) * self._qps, float(self._burst))
            self._time = now
            delay = max((1.0 - self._level) / self._qps, 0.0)
            if delay > timeout:
                return False
            self._level -= 1.0
        if delay > 0 and cancelled.wait(delay):
            with self._lock:
                self._level = min(self._level + 1.0, float(self._burst))
            return False
        return True
