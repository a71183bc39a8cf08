"""Watches a comparison and writes into the ledger what it settles, as it goes."""

from __future__ import annotations

import itertools
import time
from collections import deque
from functools import reduce
from typing import TYPE_CHECKING

from blockdiff._fast import SEG_SKIP_DIGEST, Extents
from blockdiff.engine.progress import NoProgress
from blockdiff.engine.sample import READS, SKIPS
from blockdiff.engine.stream import concatenate

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.engine.ledger.store import Ledger
    from blockdiff.engine.progress import Progress

COMMIT_SECONDS = 2.0
IN_FLIGHT = 136  # more tasks than are ever under way: a task was begun after as many before it had ended
_NONE = Extents()


class OutOfTime(Exception):
    """The time of a run is over. Raised between two tasks; what was settled is recorded."""


class Recorder:
    """A Watcher. A unit is recorded as equal when every byte of it was compared or is known to be equal, and at least
    one was compared; as different when one differs; as not verified when one cannot be read. Its age is counted from
    before its reading began.

    ``deadline``, by ``clock`` (monotonic seconds), ends the run by OutOfTime as soon as something was settled after it.
    """

    def __init__(
        self,
        ledger: Ledger,
        end: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._end, self._clock, self._wall = ledger, end, clock, wall
        self.deadline: float | None = None
        self.progress: Progress = NoProgress()
        self._compared: list[Extents] = []
        self._known: list[Extents] = []
        self._found: list[Extents] = []
        self._bad: list[Extents] = []
        self._left = self._left_known = _NONE
        self._committed = clock()
        self._begun: deque[float] = deque([wall()], IN_FLIGHT)
        self._since: float | None = None
        self.equal_bytes = self.different_bytes = self.done_bytes = 0

    def known(self, plan: Extents) -> None:
        """What needs no reading counts; checksums are a comparison."""
        digested = plan.only(SEG_SKIP_DIGEST).with_kind(0)
        self._known.append(plan.only(*(kind for kind in SKIPS if kind != SEG_SKIP_DIGEST)).with_kind(0))
        if len(digested):
            self._note_age()
            self._compared.append(digested)
            self._tick(digested.total())

    def settle(self, task: Extents, found: Extents, unreadable: Extents) -> None:
        """Keeps what was compared, and writes it down now and then."""
        self._note_age()
        read, found = task.only(*READS).with_kind(0), found.with_kind(0)
        self._compared.append(read.subtract(found).subtract(unreadable.with_kind(0)))
        self._found.append(found)
        self._bad.append(unreadable.with_kind(0))
        self._begun.append(self._wall())
        self._tick(read.total())

    def _tick(self, count: int) -> None:
        self.done_bytes += count
        self.progress.advance(self.done_bytes)
        now = self._clock()
        late = self.deadline is not None and now >= self.deadline
        if late or now - self._committed >= COMMIT_SECONDS:
            self.flush()
        if late:
            raise OutOfTime

    def _note_age(self) -> None:
        if self._since is None:
            self._since = min(self._begun)

    def flush(self) -> None:
        """Writes down all units that are settled."""
        self._committed = self._clock()
        unit, found = self._ledger.unit, _joined(self._found)
        different = found.align(unit, limit=self._end).with_kind(0)
        compared = _joined([self._left, *self._compared])
        known = _joined([self._left_known, *self._known])
        touched = compared.align(unit, limit=self._end).with_kind(0)
        # units of which something is missing wait for the rest of it
        settled = compared.union(known.intersect(touched)).coalesce()
        waiting = touched.subtract(settled).align(unit, limit=self._end).with_kind(0)
        bad = _joined(self._bad).align(unit, limit=self._end).with_kind(0).subtract(different)
        equal = touched.subtract(waiting).subtract(different).subtract(bad)
        self._left = compared.intersect(waiting).subtract(different)
        self._left_known = known.subtract(touched.subtract(waiting)).subtract(different)
        self._compared, self._known, self._found, self._bad = [], [], [], []
        if len(equal) or len(different) or len(bad):
            since = self._since if self._since is not None else self._wall()
            self._ledger.record(equal, different, (bad,), verified=max(0, int(since)))
            self.equal_bytes += equal.total()
            self.different_bytes += different.total()
        self._since = self._since if len(self._left) else None


def _joined(parts: list[Extents]) -> Extents:
    """The bytes of all parts, which mostly ascend."""
    parts = [part for part in parts if len(part)]
    if all(one.end <= other.start for one, other in itertools.pairwise(parts)):
        return concatenate(parts).coalesce()
    return reduce(Extents.union, parts, _NONE).coalesce()
