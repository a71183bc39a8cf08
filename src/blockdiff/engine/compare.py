"""Compares two devices by a plan: the engine under verify, diff, audit and copy.

``Comparison`` is iterated for batches of coalesced differences, in order, as they are found; its ``report`` is filled
on the way and final when the iteration has ended.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from blockdiff._fast import (
    SEG_MARK,
    SEG_SKIP_DIGEST,
    SEG_SKIP_HOLE,
    SEG_SKIP_SHARED,
    Aligner,
    Extents,
    ReadFailed,
)
from blockdiff.engine.options import default_workers
from blockdiff.engine.progress import NoProgress, RateLimit
from blockdiff.engine.reader import REMOTE_TASK, REMOTE_WORKERS, affordable, has_driver, make_reader, translate
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.engine.workers import INLINE, run_plan, task_size
from blockdiff.errors import SizeChanged, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from blockdiff.engine.checkpoint.keeper import Keeper
    from blockdiff.engine.device import Device
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress

_SKIPPED = {SEG_SKIP_HOLE: "hole", SEG_SKIP_SHARED: "shared", SEG_SKIP_DIGEST: "osd-checksum"}
MAX_UNREADABLE = 65536  # ranges kept; a disk with more is dead, and the totals still count them


class Watcher(Protocol):
    """Is told what was settled, in the order of the volume, and before the differences are given on.

    What it raises ends the run.
    """

    def known(self, plan: Extents) -> None:
        """A batch of the plan was made: what it skips is known to be equal, the rest will be read."""

    def settle(self, task: Extents, found: Extents, unreadable: Extents) -> None:
        """A part of the plan was read: all of it is equal but what was found or could not be read."""


class Comparison:
    """Runs a plan over ``[start, end)`` of two devices (``target`` None: against zeroes).

    ``eager`` gives what a task found at once, also what the next task may continue. ``limit`` is one that making the
    plan spends, too. ``watchers`` are told what was settled. ``keeper`` keeps a checkpoint; the plan
    begins where that one was taken.
    """

    def __init__(
        self,
        source: Device,
        target: Device | None,
        plan: Iterable[Extents],
        *,
        start: int,
        end: int,
        options: ReadOptions,
        command: str,
        method: str,
        strict: bool = False,
        eager: bool = False,
        progress: Progress | None = None,
        limit: RateLimit | None = None,
        watchers: Sequence[Watcher] = (),
        keeper: Keeper | None = None,
    ) -> None:
        self._eager, self._watchers, self._keeper = eager, watchers, keeper
        self._source, self._target, self._plan = source, target, plan
        self._start, self._end, self._options, self._strict = start, end, options, strict
        self._progress = progress or NoProgress()
        self._limit = limit
        self._planned = self._listed = self._unread = self._settled = 0
        self._bad = Aligner(1)
        self._bad_parts: list[Extents] = []
        other = Side.of(target) if target is not None else Side("zeroes", source.size)
        self.report = VerifyReport(
            command,
            Side.of(source),
            other,
            method,
            options.granularity,
            offset=start,
            length=end - start,
        )

    def __iter__(self) -> Iterator[Extents]:
        began = time.monotonic()
        total = self._end - self._start
        workers = self._workers(total)
        readers = self._readers(workers)
        self.report.workers = workers
        self._progress.start(self.report.command, total)
        try:
            yield from self._run(readers, total)
            self._check_path(readers)
            check_unchanged(self._source, self._target, warnings=self.report.warnings)
            self.report.complete = True
        except ReadFailed as error:
            raise translate(error, self._source, self._target) from error
        finally:
            self.report.elapsed_seconds = time.monotonic() - began
            self._collect(readers)
            self._progress.finish()

    def _workers(self, total: int) -> int:
        tasks = -(-total // self._task_size(total)) if total > 0 else 1
        asked = self._options.workers or (REMOTE_WORKERS if self._remote else default_workers())
        return max(1, min(affordable(asked, self._options.granularity), tasks))

    @property
    def _remote(self) -> bool:
        return has_driver(self._source) or has_driver(self._target)

    def _task_size(self, total: int) -> int:
        return task_size(total, self._options.rate, REMOTE_TASK if self._remote else 0)

    def _readers(self, workers: int) -> list[Any]:
        return [
            make_reader(self._source, self._target, self._options, workers, strict=self._strict) for _ in range(workers)
        ]

    def _run(self, readers: list[Any], total: int) -> Iterator[Extents]:
        limit = self._limit or (RateLimit(self._options.rate) if self._options.rate else None)
        joiner, keeper = Aligner(1), self._keeper
        if keeper is not None:
            keeper.begin(self.report, lambda: (paths(readers, 0), paths(readers, 1)))
            yield from self._take_up(keeper, joiner)
        size = max(self._task_size(total), self._options.granularity)  # no task may cut a granule
        inline = total <= INLINE
        for finding in run_plan(self._plan, readers, size=size, inline=inline, limit=limit, note=self._note):
            for watcher in self._watchers:
                watcher.settle(*finding)
            if len(finding.unreadable):
                self._add_unreadable(finding.unreadable)
            if len(finding.found):
                if self._eager:
                    yield finding.found
                yield from self._give(joiner.feed(finding.found))
            # nothing can grow a difference that ends before the task does
            if joiner.end and joiner.end < finding.task.end:
                yield from self._give(joiner.finish())
            self._unread -= finding.task.total()
            self._advance(finding.task.end)
            if keeper is not None:
                keeper.settle(finding)
        yield from self._give(joiner.finish())
        if keeper is not None:
            keeper.reach(self._end)
        self._progress.advance(total)

    def _take_up(self, keeper: Keeper, joiner: Aligner) -> Iterator[Extents]:
        """What was settled before is told, booked and given as if it were new."""
        for plan, finding in keeper.settled():
            for batch in plan:
                self._book(batch)
            for watcher in self._watchers:
                watcher.settle(*finding)
            if len(finding.unreadable):
                self._add_unreadable(finding.unreadable)
            yield from self._give(joiner.feed(finding.found))
        self._advance(keeper.start)

    def _give(self, found: Extents) -> Iterator[Extents]:
        if len(found):
            self.report.count(found)
            if not self._eager:
                yield found

    def _note(self, batch: Extents) -> None:
        """Takes note of a batch of the plan."""
        if self._keeper is not None:
            self._keeper.plan(batch, idle=not self._unread)
        self._unread += self._book(batch)
        self._advance(self._start)

    def _book(self, batch: Extents) -> int:
        """Books what the plan leaves out, with the reason; gives the bytes that are to be read."""
        skipped, unread = self.report.skipped, 0
        for watcher in self._watchers:
            watcher.known(batch)
        for kind, count in batch.totals().items():
            self._planned += count
            reason = _SKIPPED.get(kind & 7)
            if reason is None:
                unread += count
            else:
                skipped[reason] = skipped.get(reason, 0) + count
            if kind & SEG_MARK:
                self._listed += count
        return unread

    def _advance(self, reached: int) -> None:
        """Everything up to ``reached`` is settled, and also as much as was planned and is not still to be read."""
        done = max(min(reached, self._end) - self._start, self._planned - self._unread)
        if done > self._settled:
            self._settled = done
            self._progress.advance(done)

    def _add_unreadable(self, bad: Extents) -> None:
        self.report.unreadable_bytes += bad.total()
        part = self._bad.feed(bad)
        if len(part) and sum(map(len, self._bad_parts)) < MAX_UNREADABLE:
            self._bad_parts.append(part)

    def _check_path(self, readers: list[Any]) -> None:
        """A read path asked for by name is a demand."""
        for index, device in enumerate((self._source, self._target)):
            refused = max(reader.direct_errno(index) for reader in readers)
            if refused and self._options.read == "direct" and device is not None:
                raise UnsupportedOperation(
                    f"{device.url} cannot be read with --read direct: its O_DIRECT reads fail: {os.strerror(refused)}"
                )

    def _collect(self, readers: list[Any]) -> None:
        """Sums up how the bytes were read."""
        report = self.report
        report.bytes_compared = sum(reader.compared for reader in readers)
        unplanned = self._end - self._start - self._planned
        if unplanned > 0 and report.complete:
            report.skipped["not-listed"] = unplanned
        self._bad_parts.append(self._bad.finish())
        report.unreadable = Extents(e for part in self._bad_parts for e in part)
        for index, (side, device) in enumerate(((report.source, self._source), (report.target, self._target))):
            for path, count in paths(readers, index).items():
                side.bytes_by_path[path] = side.bytes_by_path.get(path, 0) + count
            side.note = note_path(device, side, max(reader.direct_errno(index) for reader in readers))
        if self._keeper is not None:
            self._keeper.end()
        for reader in readers:
            reader.close()


def paths(readers: list[Any], side: int) -> dict[str, int]:
    """Bytes of a side that were read so far, by path."""
    found: dict[str, int] = {}
    for reader in readers:
        for path, count in reader.bytes_read(side).items():
            found[path] = found.get(path, 0) + count
    return found


def check_unchanged(*devices: Any, warnings: list[str]) -> None:
    """Raises SizeChanged when a device has another size than when it was opened; notes other changes."""
    for device in devices:
        changes = getattr(device, "changes", None)
        what = changes() if changes is not None else ""
        if what.startswith("its size"):
            raise SizeChanged(f"{what}: nothing can be said about the rest", url=device.url, action="read")
        text = f"{device.url}: {what}, so the result may be out of date" if what else ""
        if text and text not in warnings:
            warnings.append(text)


def note_path(device: Any, side: Side, refused: int) -> str:
    """Why a side was not read past the page cache, or why all of it, where somebody could have expected that."""
    if "buffered" not in side.bytes_by_path:
        return str(getattr(device, "map_note", ""))
    if refused:
        return f"O_DIRECT reads failed: {os.strerror(refused)}"
    return str(getattr(device, "direct_refusal", "")) or ""
