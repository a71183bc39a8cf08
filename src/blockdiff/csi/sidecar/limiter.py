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

    def wait(self, timeout: float) -> bool:
        """Waits for its turn; False, at once, if that would take longer than ``timeout`` (seconds)."""
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
        time.sleep(delay)
        return True
