"""Runs a plan on several readers at once and gives the findings in order.

Tasks are handed out as they are planned; at most a few wait for each worker, so memory is bounded by the tasks under
way. Leaving the generator early, by break, error or Ctrl-C, cancels the workers within one chunk and joins them.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff._fast import Extents, split_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff.engine.progress import RateLimit

TASK = 8 << 20
BIG_TASK = 32 << 20
INLINE = 4 << 20  # bytes that are read in the calling thread: more would keep Ctrl-C waiting on a slow disk


class Finding(NamedTuple):
    """What one task found: ``task`` is its plan, the others as Reader.run gives them."""

    task: Extents
    found: Extents
    unreadable: Extents


class _Job:
    __slots__ = ("bad", "done", "error", "found", "task")

    def __init__(self, task: Extents) -> None:
        self.task = task
        self.found = self.bad = task
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self, reader: Any) -> None:
        try:
            self.found, self.bad = reader.run(self.task)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
            self.error = error
        self.done.set()

    def finding(self) -> Finding:
        self.done.wait()
        if self.error is not None:
            raise self.error
        return Finding(self.task, self.found, self.bad)


def task_size(total: int, rate: int, least: int = 0) -> int:
    """Bytes of a task: big on big devices, an eighth of a second's worth when the rate is limited; else ``least``."""
    size = max(least, BIG_TASK if total >= 16 * BIG_TASK else TASK)
    if rate:
        size = min(size, 1 << max(16, (rate // 8).bit_length() - 1))
    return size


def run_plan(
    plan: Iterable[Extents],
    readers: list[Any],
    *,
    size: int,
    inline: bool = False,
    limit: RateLimit | None = None,
    note: Callable[[Extents], None] | None = None,
) -> Iterator[Finding]:
    """Findings in plan order. ``note`` sees every batch of the plan as it is made; ``size`` is the bytes of a task.

    ``inline`` runs the first reader in the calling thread.
    """
    tasks = _tasks(plan, size, note)
    if inline:
        for task in chain.from_iterable(tasks):
            if limit:
                limit.spend(task.total())
            found, bad = readers[0].run(task)
            yield Finding(task, found, bad)
        return
    yield from _parallel(tasks, readers, limit)


def _tasks(plan: Iterable[Extents], size: int, note: Callable[[Extents], None] | None) -> Iterator[list[Extents]]:
    """The tasks of each batch of the plan; none where nothing is read."""
    for batch in plan:
        if note is not None:
            note(batch)
        yield split_plan(batch, size)


class _Pool:
    """Threads that take jobs in order, started as they are needed."""

    def __init__(self, readers: list[Any]) -> None:
        from queue import SimpleQueue

        self._readers, self._threads = readers, list[threading.Thread]()
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._wanted = len(readers)

    def put(self, job: _Job) -> None:
        self._queue.put(job)
        if len(self._threads) < self._wanted:
            reader = self._readers[len(self._threads)]
            self._threads.append(threading.Thread(target=self._work, args=(reader,), daemon=True))
            try:
                self._threads[-1].start()
            except RuntimeError:  # this process may have no more threads: those that there are do it
                self._threads.pop()
                self._wanted = len(self._threads)
        if not self._threads:
            self._queue.get().run(self._readers[0])

    def _work(self, reader: Any) -> None:
        while (job := self._queue.get()) is not None:
            job.run(reader)

    def cancel(self) -> None:
        for reader in self._readers:
            reader.cancel()

    def join(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            with contextlib.suppress(RuntimeError):  # Ctrl-C may come before it has begun; its reader is cancelled
                thread.join()


def _parallel(tasks: Iterator[list[Extents]], readers: list[Any], limit: RateLimit | None) -> Iterator[Finding]:
    pool, waiting = _Pool(readers), deque[_Job]()
    try:
        for batch in tasks:
            for task in batch:
                if limit:
                    limit.spend(task.total())
                waiting.append(_Job(task))
                pool.put(waiting[-1])
                while len(waiting) > 2 * len(readers) or (waiting and waiting[0].done.is_set()):
                    yield waiting.popleft().finding()
            while waiting and waiting[0].done.is_set():
                yield waiting.popleft().finding()
        while waiting:
            yield waiting.popleft().finding()
    except BaseException:
        pool.cancel()
        raise
    finally:
        pool.join()
