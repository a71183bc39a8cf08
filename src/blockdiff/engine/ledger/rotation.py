"""A verify with a budget: rounds over the ranges whose turn it is, until the budget is spent."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.ledger.order import Turn, merged
from blockdiff.engine.ledger.recorder import OutOfTime
from blockdiff.engine.progress import NoProgress
from blockdiff.engine.spool import Spool
from blockdiff.engine.stream import concatenate, total
from blockdiff.engine.verify import Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdiff.budget import Budget
    from blockdiff.engine.compare import Watcher
    from blockdiff.engine.ledger.recorder import Recorder
    from blockdiff.engine.ledger.store import Ledger
    from blockdiff.engine.ledger.survey import Survey
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport

FIRST_ROUND = 256 << 20  # bytes, until it is known how fast it goes
ROUND_SECONDS = 600.0
EVER = 1 << 62


class Rotation:
    """Used like a Verification: iterate it for the differences, ascending, which come when the budget is spent.

    Half of the budget at most goes to what differed or changed, as long as there is something else; the rest goes to
    what was never verified, and to what was longest ago. ``rotated_bytes`` and ``trouble_bytes`` were settled of both,
    ``finished`` says that nothing is left.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        *,
        ledger: Ledger,
        survey: Survey,
        recorder: Recorder,
        budget: Budget,
        watchers: Sequence[Watcher] = (),
        progress: Progress | None = None,
        size: str = "strict",
        clock: Callable[[], float] = time.monotonic,
        **comparing: Any,
    ) -> None:
        self._devices, self._comparing = (source, target), comparing
        self._recorder, self._budget, self._survey, self._clock = recorder, budget, survey, clock
        self._watchers, self._progress = watchers, progress or NoProgress()
        self._turn = Turn(ledger, survey)
        # compares nothing itself, but checks the devices and their sizes, and has the report
        self._frame = Verification(source, target, only=(), size=size, **comparing)
        self.report: VerifyReport = self._frame.report
        self._found = Spool()
        self._reports: list[VerifyReport] = []
        self._started = clock()
        self.rotated_bytes = self.trouble_bytes = 0
        self.finished = self._cut = False

    def __iter__(self) -> Iterator[Extents]:
        self._progress.start(self.report.command, min(self._survey.bytes, self._budget.bytes or EVER))
        self._recorder.progress = self._progress
        try:
            self._spend()
            for batch in self._found:
                self.report.count(batch)
                yield batch
            yield from self._frame
        finally:
            self._recorder.flush()
            self._collect()
            self._turn.close()
            self._found.close()
            self._progress.finish()

    def _spend(self) -> None:
        self.trouble_bytes = self._phase(self._turn.trouble, 0.5)
        self.rotated_bytes = self._phase(self._turn.oldest, 1.0, always=True)
        self.trouble_bytes += self._phase(self._turn.trouble, 1.0)
        self.finished = not self._cut and not total(self._turn.left())

    def _phase(self, choose: Callable[[int], Spool], share: float, *, always: bool = False) -> int:
        """Rounds over what ``choose`` hands out, until this share of the budget is spent; bytes that were settled."""
        done = self._recorder.done_bytes
        if self._budget.bytes is not None:
            limit = int(self._budget.bytes * share) - done
            if limit > 0 or always:
                self._round(choose(limit))
            return self._recorder.done_bytes - done
        assert self._budget.seconds is not None, "a budget is one of both"
        self._recorder.deadline = deadline = self._started + self._budget.seconds * share
        while always or self._clock() < deadline:
            always = False
            if not self._round(choose(self._round_bytes(deadline))):
                break
        return self._recorder.done_bytes - done

    def _round_bytes(self, deadline: float) -> int:
        """What the next round may take, by how fast the last ones were."""
        seconds = sum(report.elapsed_seconds for report in self._reports)
        if not seconds or not self._recorder.done_bytes:
            return FIRST_ROUND
        wanted = min(max(deadline - self._clock(), 1.0), ROUND_SECONDS)
        return max(FIRST_ROUND // 4, int(self._recorder.done_bytes / seconds * wanted))

    def _round(self, chosen: Spool) -> bool:
        """Compares these ranges; False where there were none, or time is over."""
        try:
            return self._compared(chosen)
        except OutOfTime:
            self._cut = True
            return False
        finally:
            chosen.close()

    def _compared(self, chosen: Spool) -> bool:
        start, end = _span(chosen)
        if start == end:
            return False
        run = Verification(
            *self._devices,
            only=chosen,
            offset=start,
            length=end - start,
            size="ignore",
            watchers=[*self._watchers, self._recorder],
            **self._comparing,
        )
        self._reports.append(run.report)
        part = Spool()
        try:
            for batch in run:
                part.add(batch)
        finally:
            self._found = merged(self._found, part)
        return True

    def _collect(self) -> None:
        """Makes the report that of all rounds."""
        report = self.report
        for one in self._reports:
            report.bytes_compared += one.bytes_compared
            report.unreadable_bytes += one.unreadable_bytes
            report.warnings += [text for text in one.warnings if text not in report.warnings]
            report.workers = max(report.workers, one.workers)
            for reason, count in one.skipped.items():
                if reason != "not-listed":
                    report.skipped[reason] = report.skipped.get(reason, 0) + count
            for side, other in ((report.source, one.source), (report.target, one.target)):
                side.note = side.note or other.note
                for path, count in other.bytes_by_path.items():
                    side.bytes_by_path[path] = side.bytes_by_path.get(path, 0) + count
        report.unreadable = concatenate(_ascending([one.unreadable for one in self._reports]))
        settled = report.bytes_compared + report.unreadable_bytes
        settled += sum(count for reason, count in report.skipped.items() if reason != "not-listed")
        report.skipped["not-listed"] = max(0, report.length - settled)
        report.elapsed_seconds = self._clock() - self._started
        report.identical = report.complete = False


def _span(chosen: Spool) -> tuple[int, int]:
    start, end = -1, 0
    for batch in chosen:
        start, end = (batch.start if start < 0 else start), batch.end
    return max(start, 0), end


def _ascending(parts: list[Extents]) -> list[Extents]:
    """Rounds are of different ranges, which may lie between each other."""
    if all(one.end <= other.start for one, other in itertools.pairwise([part for part in parts if len(part)])):
        return parts
    whole = Extents()
    for part in parts:
        whole = whole.union(part)
    return [whole]
