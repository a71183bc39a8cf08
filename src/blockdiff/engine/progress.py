"""Telling how far long work has come, and keeping it to a rate."""

from __future__ import annotations

import time
from typing import Protocol

from blockdiff.errors import InvalidInput


class Progress(Protocol):
    """Gets told; never asked. Called at most a few hundred times a second."""

    def start(self, what: str, total: int) -> None:
        """Work named ``what`` on ``total`` bytes begins."""

    def advance(self, done: int) -> None:
        """``done`` bytes of the total are settled (read, or skipped for a reason)."""

    def finish(self) -> None:
        """The work ended, well or not."""


class NoProgress:
    """Says nothing."""

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, done: int) -> None:
        pass

    def finish(self) -> None:
        pass


class RateLimit:
    """A token bucket: ``spend(n)`` returns once ``n`` more bytes are within ``rate`` bytes a second."""

    def __init__(self, rate: int) -> None:
        if rate <= 0:
            raise InvalidInput(f"a rate limit must be positive, not {rate}")
        self._rate = rate
        self._free_at = time.monotonic()

    def spend(self, count: int) -> None:
        """Waits; a signal ends the wait at once by its exception."""
        now = time.monotonic()
        if self._free_at > now:
            time.sleep(self._free_at - now)
        self._free_at = max(self._free_at, now) + count / self._rate
