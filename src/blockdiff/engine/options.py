"""How devices are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from typing import Any

READ_MODES = ("auto", "direct", "buffered", "mmap")
MIN_GRANULARITY, MAX_GRANULARITY = 512, 1 << 20
MAX_WORKERS = 64


def default_workers() -> int:
    """One worker a processor that this process may use, four at most: memory bandwidth ends there."""
    return min(4, len(os.sched_getaffinity(0)))


class ReadOptions:
    """Reading two devices.

    ``granularity`` (bytes, a power of two from 512 to 1 MiB) is what findings are reported at; ``read`` the read path;
    ``workers`` the threads (0: chosen from the processors); ``rate`` bytes a second of each device (0: no limit);
    ``keep_going`` goes on after an unreadable range, which is then never called equal. ``target_past_cache`` reads the
    target by O_DIRECT wherever that works, whatever ``read`` says, to see what its storage holds; ``source_past_cache``
    does so with the source. Raises InvalidInput.
    """

    # written out: a dataclass would take a millisecond of every start
    __slots__ = ("granularity", "keep_going", "rate", "read", "source_past_cache", "target_past_cache", "workers")

    def __init__(
        self,
        *,
        granularity: int = 4096,
        read: str = "auto",
        workers: int = 0,
        rate: int = 0,
        keep_going: bool = False,
        target_past_cache: bool = False,
        source_past_cache: bool = False,
    ) -> None:
        self.granularity, self.read, self.workers, self.rate = granularity, read, workers, rate
        self.keep_going, self.target_past_cache = keep_going, target_past_cache
        self.source_past_cache = source_past_cache
        self._check()

    def copy(self, **changed: Any) -> ReadOptions:
        """The same with some of them changed."""
        return ReadOptions(**{**{name: getattr(self, name) for name in self.__slots__}, **changed})

    def _check(self) -> None:
        g = self.granularity
        if not MIN_GRANULARITY <= g <= MAX_GRANULARITY or g & (g - 1):
            raise InvalidInput(f"granularity {g} is not a power of two from 512 to 1M")
        if self.read not in READ_MODES:
            raise InvalidInput(f"unknown read path {self.read!r}: known are {', '.join(READ_MODES)}")
        if not 0 <= self.workers <= MAX_WORKERS:
            raise InvalidInput(
                f"workers must be from 1 to {MAX_WORKERS} (0: chosen for this machine), not {self.workers}"
            )
        if self.rate < 0:
            raise InvalidInput(f"rate must not be negative, and is {self.rate}")
