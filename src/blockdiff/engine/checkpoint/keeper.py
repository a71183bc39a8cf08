"""What a comparison tells while it runs, so that a checkpoint can be taken of it at any moment.

A moment is only ever the end of a task, when all that it found was given on: everything before it is settled, nothing
behind it is. What was planned ahead, is under way, or was found since then is not in the checkpoint, and is done again.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.engine.checkpoint.boot import this_boot
from blockdiff.engine.checkpoint.form import Part, State
from blockdiff.engine.checkpoint.job import doubts
from blockdiff.engine.checkpoint.planned import Planned
from blockdiff.engine.checkpoint.settled import FOUND, PLAN, UNREADABLE, settled
from blockdiff.engine.checkpoint.store import program
from blockdiff.engine.checkpoint.telling import joined, more, now, parts_told, sums
from blockdiff.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.checkpoint.log import Position
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.checkpoint.telling import Sums
    from blockdiff.engine.digest import DigestPlan
    from blockdiff.engine.report import VerifyReport
    from blockdiff.engine.workers import Finding

MAX_FOUND = 1 << 20  # extents found between two records of the plan: as many are in memory when it is taken up


class _Moment(NamedTuple):
    """The end of a task."""

    reached: int
    log: Position
    extra: dict[str, Any]


class Keeper:
    """The checkpoint of one comparison, which begins at ``start`` or, as the attribute then says, where it was left.

    ``digests``: the plan's batches need not ascend where nothing is read. Before it saves it calls ``settle`` (what was
    written must be durable by then); ``extra`` gives what the caller wants to be kept, of the same moment. ``seen``:
    what is known of devices in this stage, where that is not as in the job.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        job: dict[str, Any],
        start: int,
        *,
        stage: str = "compare",
        digests: bool = False,
        settle: Callable[[], None] | None = None,
        extra: Callable[[], dict[str, Any]] | None = None,
        seen: dict[str, Any] | None = None,
    ) -> None:
        self._checkpoint, self._job, self._stage = checkpoint, job, stage
        self._seen = job | (seen or {})
        self._before = before = checkpoint.state
        self._here = before if before is not None and before.stage == stage else None
        self.start = start if self._here is None else self._here.reached
        self._make_durable, self._extra = settle, extra
        self._planned = Planned(self.start, ascending=not digests)
        self._began, self._clock = now(), time.monotonic()
        self._measure: Callable[[], Sums] = lambda: ({}, {})
        self._digests: DigestPlan | None = None
        self._report: VerifyReport | None = None
        self._doubts: list[str] = []
        self._moment = _Moment(self.start, checkpoint.log.position, {})
        self._stage_log = checkpoint.log.position[0] if self._here is None else self._here.stage_log
        self._found = 0
        self.compared = 0

    # ---- taking up ----

    def watch(self, digests: DigestPlan) -> None:
        """The plan that digests: what it says is kept too."""
        self._digests = digests

    def begin(self, report: VerifyReport, measure: Callable[[], Sums]) -> None:
        """The run begins: its report, and how to ask for the bytes read of each side. What is wrong with the file is
        found out at once.
        """
        self._report, self._measure = report, measure
        if (before := self._before) is not None:
            report.warnings += [text for text in before.warnings if text not in report.warnings]
            self._doubts = doubts(self._seen, before.parts[-1].saved, restarted=before.boot != this_boot())
            report.warnings += self._doubts
        self._note(self.start)
        self._checkpoint.at_close = self._save_at_last
        self.save()

    def settled(self) -> Iterator[tuple[list[Extents], Finding]]:
        """What was settled before: batches of the plan, and what was found where these were read."""
        if self._here is None:
            return
        for plan, finding in settled(self._checkpoint.log, self._here.log, self._here.stage_log):
            self.compared += finding.task.total() - finding.unreadable.total()
            yield plan, finding

    # ---- what happens ----

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self._checkpoint.due

    def plan(self, batch: Extents, *, idle: bool) -> None:
        """A batch of the plan is made. ``idle``: nothing that was planned before is still to be read."""
        if idle and self._planned.frontier > self._moment.reached:
            self.reach(self._planned.frontier)
        self._planned.add(batch)

    def settle(self, finding: Finding) -> None:
        """A task was read, and all that was found so far is given on."""
        for tag, extents in ((FOUND, finding.found), (UNREADABLE, finding.unreadable)):
            if len(extents):
                self._keep(tag, extents)
                self._found += len(extents)
        self.reach(finding.task.end)

    def reach(self, reached: int) -> None:
        """Everything before ``reached`` is settled."""
        self._note(reached)
        if not self._checkpoint.usable:
            self._planned.held = []
        elif self._checkpoint.due:
            self.save()
        elif self._found > MAX_FOUND or self._planned.crowded:
            self._fold()

    def _note(self, reached: int) -> None:
        extra = self._extra() if self._extra else {}
        self._moment = _Moment(reached, self._checkpoint.log.position, extra)

    def note(self, tag: bytes, data: bytes) -> None:
        """Something else that is to be kept, of what ``reach`` will say is settled."""
        self._keep(tag, data)

    def _keep(self, tag: bytes, extents: Extents | bytes) -> None:
        if not self._checkpoint.usable:
            return
        try:
            self._checkpoint.log.append(tag, extents)
        except OSError as error:
            self._checkpoint.trouble = os.strerror(error.errno or 0)

    def _fold(self) -> None:
        """The plan up to the moment joins what is kept. Interrupted at any place, it is as if not begun."""
        moment, log = self._moment, self._checkpoint.log
        log.position = moment.log  # what came later is not of this moment
        before, behind = self._planned.split(moment.reached)
        for batch in before:
            self._keep(PLAN, batch)
        self._planned.held, self._moment, self._found = behind, moment._replace(log=log.position), 0

    # ---- saving ----

    def save(self) -> None:
        """Saves the last moment."""
        if not self._checkpoint.usable:
            return
        self._fold()
        if self._make_durable is not None:
            self._make_durable()
        self._checkpoint.save(self._state(self._moment))

    def _save_at_last(self) -> None:
        with contextlib.suppress(DeviceError):  # what was written since the last time is not durable
            self.save()

    def _state(self, moment: _Moment) -> State:
        report = self._report
        assert report is not None, "begin() gave it"
        return State(
            id=self._checkpoint.id,
            program=program(),
            byte_order=sys.byteorder,
            boot=this_boot(),
            job=self._job,
            stage=self._stage,
            reached=moment.reached,
            stage_log=self._stage_log,
            log=moment.log,
            read=self._read_in_all(),
            parts=self._parts(moment.reached),
            warnings=[text for text in report.warnings if text not in self._doubts],
            facts=self.facts(self._digests.facts() if self._digests else {}),
            extra={name: value() if callable(value) else value for name, value in moment.extra.items()},
        )

    def _parts(self, reached: int) -> list[Part]:
        seconds = round(time.monotonic() - self._clock, 3)
        read = sum(sum(side.values()) for side in self._read())
        part = Part(self._checkpoint.run, self._stage, self.start, reached, self._began, now(), seconds, read)
        return joined([*(self._before.parts if self._before else ()), part])

    # ---- telling ----

    def _read(self) -> Sums:
        """Bytes of each side that this run has read, by path."""
        one, two = self._measure()
        if self._digests is None:
            return one, two
        return sums(one, self._digests.bytes_read(0)), sums(two, self._digests.bytes_read(1))

    def _read_in_all(self) -> Sums:
        one, two = self._read()
        before = self._here.read if self._here else ({}, {})
        return sums(before[0], one), sums(before[1], two)

    def facts(self, told: dict[str, Any]) -> dict[str, Any]:
        """What a digest plan tells, of all runs."""
        before = self._here.facts if self._here else {}
        return {key: more(before.get(key), told.get(key)) for key in dict.fromkeys((*told, *before))}

    def end(self) -> None:
        """The run ended, well or not: saves how far it came, and adds to the report what other runs did."""
        report, here, checkpoint = self._report, self._here, self._checkpoint
        assert report is not None, "begin() gave it"
        self._save_at_last()
        checkpoint.at_close = None
        report.bytes_compared += self.compared
        if here is not None:
            report.elapsed_seconds += sum(part.seconds for part in here.parts if part.stage == self._stage)
            for side, paths in zip((report.source, report.target), here.read, strict=True):
                side.bytes_by_path = sums(paths, side.bytes_by_path)
        report.extra["checkpoint"] = self._told()
        if checkpoint.trouble:
            report.warnings.append(f"the checkpoint {checkpoint.name} could not be saved: {checkpoint.trouble}")

    def _told(self) -> dict[str, Any]:
        """The report's key ``checkpoint``."""
        devices = [key for key in ("source", "target") if key in self._job]
        return {
            "file": self._checkpoint.name,
            "resumed_at": self._here.reached if self._here else None,
            **parts_told(self._parts(self._moment.reached)),
            "bytes_not_read_again": self.compared,
            "unchanged_by": {key: self._seen[key]["told_by"] for key in devices},
        }
