"""Does many small reads and writes at once: what they wait for is the way to the disk or the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

from blockdiff.engine.reader import has_driver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    T = TypeVar("T")
    R = TypeVar("R")

HERE, REMOTE = 6, 16  # threads
_CHUNK = 16  # handed to a thread at once where one thing is soon done


class Team:
    """Threads that work on devices; none before they are needed. Use it as a context."""

    def __init__(self, *devices: object) -> None:
        remote = any(has_driver(device) for device in devices)
        self._threads, self._chunk = (REMOTE, 1) if remote else (HERE, _CHUNK)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """As the builtin, in order; what was not begun when one fails is not begun any more."""
        if len(items) <= self._chunk:
            yield from map(function, items)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        chunk = self._chunk
        parts = [items[at : at + chunk] for at in range(0, len(items), chunk)]

        def work(part: Any) -> list[R]:
            return [function(item) for item in part]

        for done in self._pool.map(work, parts):
            yield from done
