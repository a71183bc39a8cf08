"""Writes one device to another: everything, what differs, or what a list names.

Only what is needed is written; holes of the source become holes (or zeroes) of the target; nothing is reported as done
before it is on stable storage.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from blockdiff import _fast
from blockdiff._fast import SEG_COPY, SET_TABLES, Merge, ReadFailed, combine_table
from blockdiff.engine.checkpoint.rounds import rounds
from blockdiff.engine.checkpoint.telling import sums
from blockdiff.engine.compare import check_unchanged, paths
from blockdiff.engine.options import ReadOptions, default_workers
from blockdiff.engine.plan import known_extents, whole
from blockdiff.engine.progress import NoProgress, RateLimit
from blockdiff.engine.reader import REMOTE_TASK, has_driver, make_reader, translate
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.engine.stream import clip
from blockdiff.engine.verify import Verification, span
from blockdiff.engine.workers import INLINE, run_plan, task_size
from blockdiff.engine.written import Written
from blockdiff.errors import ContentsDoNotMatch, InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.checkpoint.copying import Copying
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.progress import Progress

SPARSE = ("auto", "always", "never")
ZERO = 9  # a plan's kind for "make the target read as zeroes here"

_ZEROISH = (Kind.ZERO, Kind.HOLE)
READING_BACK = "verify"
_ACTION = combine_table(lambda wanted, src: None if wanted is None else ZERO if src in _ZEROISH else SEG_COPY)
_NOT_YET_ZERO = combine_table(lambda action, dst: None if action == ZERO and dst in _ZEROISH else action)


class Copy:
    """One copy of ``source`` to ``target``; ``run()`` does it and returns the report.

    ``changed`` compares first and writes only what differs; ``only`` limits the work to listed ranges; ``sparse`` says
    what becomes of zeroes: ``auto`` keeps the source's holes, ``always`` punches data blocks of zeroes too, ``never``
    writes all zeroes. ``verify`` reads the target back past the page cache: all of the range, or what was written where
    ``changed`` or ``only`` limit it. The target must be at least as large as the source; what it has beyond is not
    touched. ``checkpoint``: what is done is kept there, and not done again.
    Raises InvalidInput, DeviceError (where; the target is then incomplete), ContentsDoNotMatch.
    """

    def __init__(
        self,
        source: Device,
        target: WritableDevice,
        *,
        changed: bool = False,
        only: Iterable[Extents] | None = None,
        sparse: str = "auto",
        verify: bool = False,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        if sparse not in SPARSE:
            raise InvalidInput(f"unknown way with zeroes {sparse!r}: known are {', '.join(SPARSE)}")
        if options is not None and options.keep_going:
            raise InvalidInput("a copy cannot go on after an unreadable range: the target would not be a copy")
        if target.size < source.size:
            raise InvalidInput(
                f"{target.url} has {target.size} bytes and {source.url} has {source.size}: the target is too small"
            )
        self._source, self._target = source, target
        if verify and only is not None and iter(only) is only:
            only = tuple(only)  # reading back walks the list again
        self._changed, self._only, self._sparse, self._verify = changed, only, sparse, verify
        self._options, self._progress = options or ReadOptions(), progress or NoProgress()
        self._start, self._end = span(0, source.size, source, target)
        self._written = Written()
        self._zeroed = 0
        self._readers: list[Any] = []
        self._differences: Verification | None = None
        self._kept = None if checkpoint is None else self._take_up(checkpoint)
        method = "changed" if changed else "listed" if only is not None else "full"
        self.report = VerifyReport(
            "copy",
            Side.of(source),
            Side.of(target),
            method,
            self._options.granularity,
            length=source.size,
        )

    def _take_up(self, checkpoint: Checkpoint) -> Copying:
        from blockdiff.engine.checkpoint.copying import Copying

        asked = {"changed": self._changed, "sparse": self._sparse, "verify": self._verify}
        kept = Copying(
            checkpoint, self._source, self._target, self._end, only=self._only, options=self._options, asked=asked
        )
        self._written.add(kept.written)
        return kept

    def run(self) -> VerifyReport:
        """Copies, makes it durable, verifies if asked."""
        began = time.monotonic() - (self._kept.seconds if self._kept else 0)
        report = self.report
        report.extra.update(copied_bytes=0, zeroed_bytes=0, verified=None, verified_bytes=0)
        try:
            if self._kept is not None and self._kept.copied:
                self._kept.recall(report)
            else:
                self._copy_durably()
            if self._verify:
                self._read_back()
            report.complete = True
        except ReadFailed as error:
            raise translate(error, self._source, self._target) from error
        finally:
            report.elapsed_seconds = time.monotonic() - began
            if self._kept is not None:
                self._kept.tell(report)
            for reader in self._readers:
                reader.close()
        report.identical = report.complete and report.extra["verified"] is True and self._whole
        return report

    def _copy_durably(self) -> None:
        try:
            self._copy()
            check_unchanged(self._source, self._target, warnings=self.report.warnings)
            self._target.flush()
        finally:
            self._sum_up()

    @property
    def _whole(self) -> bool:
        return self._only is None

    def _copy(self) -> None:
        if self._changed:
            self._copy_changed()
            return
        total = self._end - self._start
        least = REMOTE_TASK if has_driver(self._source) or has_driver(self._target) else 0
        workers = max(
            1, min(self._options.workers or default_workers(), 2, -(-total // task_size(total, 0, least)) or 1)
        )
        self._readers = [self._reader(workers) for _ in range(workers)]
        limit = RateLimit(self._options.rate) if self._options.rate else None
        keeper = self._kept.keeper("copy", self._start, self._done) if self._kept is not None else None
        at = self._start if keeper is None else keeper.start
        wanted = clip(self._only, at, self._end) if self._only is not None else whole(at, self._end)
        known = known_extents(self._target, at, self._end)
        actions = self._actions(wanted, at, self._end)
        plan = self._zeroing(actions if self._sparse == "never" else Merge(actions, known, _NOT_YET_ZERO))
        self._progress.start("copy", total)
        try:
            size = task_size(total, self._options.rate, least)
            if keeper is not None:
                keeper.begin(self.report, self._read)
            for part in rounds(plan, size, keeper):
                for finding in run_plan(part, self._readers, size=size, inline=total <= INLINE, limit=limit):
                    self._written.add(finding.task)
                    at = finding.task.end
                    self._progress.advance(at - self._start)
                if keeper is not None:
                    keeper.reach(at)
            self._progress.advance(total)
        finally:
            self._progress.finish()
            if keeper is not None:
                keeper.end()

    def _read(self) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes of both sides that were read to be copied, by path."""
        return paths(self._readers, 0), {}

    def _done(self) -> dict[str, Any]:
        """What a checkpoint keeps of the copy."""
        before = self._kept.before if self._kept else {}
        return {
            "copied": before.get("copied", 0) + sum(reader.written for reader in self._readers),
            "zeroed": before.get("zeroed", 0) + self._zeroed + sum(reader.punched for reader in self._readers),
            "read": sums(before.get("read", {}), self._read()[0]),
            "written": self._to_remember,
        }

    def _to_remember(self) -> list[tuple[int, int]]:
        limited = self._changed or self._only is not None
        return [(e.offset, e.length) for e in self._written.extents()] if self._verify and limited else []

    def _copy_changed(self) -> None:
        """Writes behind the comparison: a range is written only after it was compared."""
        self._readers = [self._reader(2)]
        self._differences = run = Verification(
            self._source,
            self._target,
            options=self._options,
            size="ignore",
            method="auto",
            only=self._only,
            progress=self._progress,
            command="copy",
            eager=True,
            checkpoint=self._kept.stage("compare", self._done) if self._kept is not None else None,
        )
        for found in run:
            start, end = found.start, found.end
            for batch in self._zeroing(self._actions([found.with_kind(Kind.DATA)], start, end)):
                for task in _fast.split_plan(batch, INLINE):
                    self._readers[0].run(task)
                    self._written.add(task)

    def _actions(self, wanted: Iterable[Extents], start: int, end: int) -> Iterator[Extents]:
        return iter(Merge(wanted, known_extents(self._source, start, end), _ACTION))

    def _zeroing(self, batches: Iterable[Extents]) -> Iterator[Extents]:
        """Does the zeroing of each batch and gives on what is to be copied."""
        for batch in batches:
            zeroes = batch.only(ZERO)
            for offset, length, _ in zeroes:
                self._target.zero(offset, length, punch=self._sparse != "never")
                self._zeroed += length
            self._written.add(zeroes)
            if len(copies := batch.only(SEG_COPY)):
                yield copies

    def _reader(self, workers: int) -> Any:
        return make_reader(
            self._source, None, self._options, workers, writer=self._target, write_sparse=self._sparse == "always"
        )

    def _read_back(self) -> None:
        """Compares what was written with what the target's storage now says."""
        forget: Callable[[], None] = getattr(self._target, "drop_cache", lambda: None)
        forget()
        options = ReadOptions(
            granularity=self._options.granularity, read=self._options.read, workers=self._options.workers,
            rate=self._options.rate, target_past_cache=True,
        )  # fmt: skip
        run = Verification(
            self._source,
            self._target,
            options=options,
            size="ignore",
            method="auto",
            only=self._to_read_back(),
            shared=False,
            progress=self._progress,
            command="verify",
            checkpoint=self._kept.stage(READING_BACK, self._remembered) if self._kept is not None else None,
        )
        for found in run:
            first = found[0]
            if self._kept is not None:
                self._kept.discard()
            raise ContentsDoNotMatch(
                f"{self._target.url} reads back differently from what was written, first at offset {first.offset} "
                f"(length {first.length}): the device is not to be trusted, or the source changed meanwhile"
            )
        if "buffered" in run.report.target.bytes_by_path and run.report.target.note:
            self.report.warnings.append(
                f"{self._target.url} was read back through the page cache: {run.report.target.note}"
            )
        proved = sum(run.report.skipped.get(reason, 0) for reason in ("hole", "osd-checksum"))
        if self._kept is not None:
            self.report.extra["checkpoint"] = run.report.extra["checkpoint"]
            self.report.warnings += [text for text in run.report.warnings if text not in self.report.warnings]
        self.report.extra.update(verified=True, verified_bytes=run.report.bytes_compared + proved)

    def _to_read_back(self) -> Iterable[Extents] | None:
        """What was written; None for all. Ranges joined over gaps are cut to the list: the gaps need not be equal."""
        if not self._changed and self._only is None:
            return None
        written = [self._written.extents()]
        return written if self._only is None else Merge(written, self._only, SET_TABLES["intersect"])

    def _remembered(self) -> dict[str, Any]:
        """What a checkpoint keeps while it is read back."""
        assert self._kept is not None, "it asks"
        return self._kept.remember(self.report, self._to_remember)

    def _sum_up(self) -> None:
        report, done = self.report, self._done()
        report.extra |= {"copied_bytes": done["copied"], "zeroed_bytes": done["zeroed"]}
        if self._differences is None:
            report.source.bytes_by_path = sums(report.source.bytes_by_path, self._read()[0])
            return
        report.source.bytes_by_path = done["read"]
        compared = self._differences.report
        report.bytes_compared, report.skipped = compared.bytes_compared, compared.skipped
        report.difference_count, report.differing_bytes = compared.difference_count, compared.differing_bytes
        report.bytes_by_class, report.method = compared.bytes_by_class, f"changed ({compared.method})"
        report.warnings += compared.warnings
        for side, other in ((report.source, compared.source), (report.target, compared.target)):
            side.bytes_by_path = sums(side.bytes_by_path, other.bytes_by_path)
            side.note = side.note or other.note
        if "checkpoint" in compared.extra:
            report.extra["checkpoint"] = compared.extra["checkpoint"]
