"""Reads differences again after a while: what is equal by then was being written when it was compared.

A difference is only ever taken back when both sides of it were read again and were equal, and when something may have
written to them meanwhile. Bytes that change although nothing was written are a fault, and stay a difference.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff._fast import Extents, Merge, combine_table
from blockdiff.engine.activity import activity
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.spool import Spool
from blockdiff.engine.stream import coalesce, subtract
from blockdiff.engine.verify import Verification
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport

LISTED = 1000  # ranges taken back that are kept for the report; all are counted
_STEP = 0.2  # seconds between two looks at the clock
_CONTENT = [kind for kind in Kind if kind >= Kind.DIFF_DATA and kind != Kind.SIZE]
_SIDES = (1, 2, 3)
# as it differs now; where it could not be read again, as it differed before
_KEPT = combine_table(lambda now, before: before if now is None else now, _CONTENT, _CONTENT)
_UNREAD = combine_table(lambda before, side: None if side is None else before, _CONTENT, _SIDES)


class Round(NamedTuple):
    """One reading, ``wait`` seconds after the one before: what was read again, and what of it is still a difference."""

    wait: float
    ranges: int
    bytes: int
    confirmed_ranges: int
    confirmed_bytes: int
    unreadable_bytes: int
    elapsed: float

    def to_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "wait_seconds": self.wait,
            "ranges": self.ranges,
            "bytes": self.bytes,
            "confirmed_ranges": self.confirmed_ranges,
            "confirmed_bytes": self.confirmed_bytes,
            "unreadable_bytes": self.unreadable_bytes,
            "elapsed_seconds": round(self.elapsed, 6),
        }


class Recheck:
    """Takes note of the devices before they are compared; ``run`` reads the differences again.

    ``comparing`` is what the Verification was given. Afterwards: ``confirmed``, the differences that stay (a Spool,
    closed by whoever takes it); ``gone``, the first of the ranges that were equal when they were read again, with
    ``gone_ranges`` and ``gone_bytes``; ``rounds`` and the ``reports`` of their readings; ``written``, whether a side
    was written to meanwhile, None where nothing tells; ``unstable``: bytes changed although neither side was written
    to, so all that was found is a difference still.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        comparing: dict[str, Any],
        *,
        progress: Progress | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._source, self._target, self._progress, self._sleep = source, target, progress, sleep
        self._window = {key: comparing[key] for key in ("offset", "length", "strict") if key in comparing}
        self._options = _past_cache(comparing.get("options") or ReadOptions())
        self._before = (activity(source), activity(target))
        self.confirmed = Spool()
        self.gone: list[tuple[int, int, int, int]] = []
        self.gone_ranges = self.gone_bytes = 0
        self.rounds: list[Round] = []
        self.reports: list[VerifyReport] = []
        self.written: bool | None = None
        self.unstable = False

    def run(self, found: Spool, waits: Sequence[float]) -> None:
        """Waits and reads again, for each of ``waits`` (seconds) what the reading before has left; raises as a verify.

        Nothing is waited for where nothing is left.
        """
        self.confirmed = _copied(found)
        for wait in waits:
            if not any(map(len, _content(self.confirmed))):
                break
            before = self.confirmed
            self.confirmed = self._round(before, wait)
            before.close()
        self.written = _changed(self._before, (activity(self._source), activity(self._target)))
        self.unstable = self.written is False and self.gone_bytes > 0
        if self.unstable:
            self.confirmed.close()
            self.confirmed = _copied(found)

    def correct(self, report: VerifyReport, confirmed: Spool) -> None:
        """Makes a report one of the differences that stay. It is never identical if there were others."""
        report.recount(Extents())
        for batch in confirmed:
            report.count(batch)
        for again in self.reports:
            for side, read in ((report.source, again.source), (report.target, again.target)):
                for path, count in read.bytes_by_path.items():
                    side.bytes_by_path[path] = side.bytes_by_path.get(path, 0) + count
            report.warnings += [text for text in again.warnings if text not in report.warnings]
        report.elapsed_seconds += sum(one.elapsed for one in self.rounds)
        if self.reports and len(bad := self.reports[-1].unreadable):
            report.unreadable = bad.union(report.unreadable)
            report.unreadable_bytes += self.reports[-1].unreadable_bytes

    def to_dict(self) -> dict[str, Any]:
        """What the report says of it."""
        verdict = "unstable" if self.unstable else "confirmed" if len(self.confirmed) else "transient"
        return {
            "verdict": verdict if self.rounds or len(self.confirmed) else "nothing-to-recheck",
            "written": self.written,
            "rounds": [one.to_dict() for one in self.rounds],
            "transient_ranges": self.gone_ranges,
            "transient_bytes": self.gone_bytes,
            "transient": [
                {"offset": offset, "length": length, "class": Kind(kind).label, "round": number}
                for offset, length, kind, number in self.gone
            ],
        }

    def _round(self, before: Spool, wait: float) -> Spool:
        """What is left of the differences after one more reading."""
        total = sum(batch.total() for batch in _content(before))
        self._wait(wait, total)
        began = time.monotonic()
        now, report = self._read(before)
        kept = _spooled(Merge(now, _unread(before, report), _KEPT))
        now.close()
        self._take_back(_content(before), kept)
        ranges = sum(map(len, _content(before)))
        counts = (ranges, total, len(kept), kept.total(), report.unreadable_bytes)
        self.rounds.append(Round(wait, *counts, time.monotonic() - began))
        self.reports.append(report)
        for batch in before:
            kept.add(batch.only(Kind.SIZE))
        return kept

    def _read(self, before: Spool) -> tuple[Spool, VerifyReport]:
        """Compares the differences once more."""
        run = Verification(
            self._source,
            self._target,
            options=self._options,
            shared=False,
            size="ignore",
            only=_content(before),
            progress=self._progress,
            command="recheck",
            **self._window,
        )
        return _spooled(run), run.report

    def _wait(self, seconds: float, total: int) -> None:
        if self._progress is not None:
            self._progress.start("recheck", total)
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self._sleep(min(left, _STEP))
                if self._progress is not None:
                    self._progress.advance(0)
        finally:
            if self._progress is not None:
                self._progress.finish()

    def _take_back(self, before: Iterable[Extents], kept: Spool) -> None:
        """Counts what was equal this time."""
        for batch in coalesce(subtract(before, kept)):
            self.gone_ranges += len(batch)
            self.gone_bytes += batch.total()
            room = max(0, LISTED - len(self.gone))
            self.gone += [(e.offset, e.length, int(e.kind), len(self.rounds) + 1) for e in batch[:room]]


def _past_cache(options: ReadOptions) -> ReadOptions:
    return ReadOptions(
        granularity=options.granularity,
        read=options.read,
        workers=options.workers,
        rate=options.rate,
        keep_going=options.keep_going,
        source_past_cache=True,
        target_past_cache=True,
    )


def _content(spool: Iterable[Extents]) -> Iterator[Extents]:
    """All but what only the longer device has: there is nothing to compare it with."""
    return (batch.only(*_CONTENT) for batch in spool)


def _unread(before: Spool, report: VerifyReport) -> Iterator[Extents]:
    """Differences that could not be read again; all of them where it is not known which."""
    if report.unreadable_bytes > report.unreadable.total():
        return _content(before)
    return iter(Merge(_content(before), [report.unreadable], _UNREAD))


def _spooled(batches: Iterable[Extents]) -> Spool:
    spool = Spool()
    for batch in batches:
        spool.add(batch)
    return spool


def _copied(spool: Spool) -> Spool:
    return _spooled(spool)


def _changed(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool | None:
    """Whether any of the values is another one now; None where one is not known and no other has changed."""
    if any(a is not None and a != b for a, b in zip(before, after, strict=True)):
        return True
    return None if None in before else False
