"""The checkpoint of a copy: what is said to be written is on stable storage, and reading back has its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.checkpoint.job import NOTHING, describe, refuse_other
from blockdiff.engine.checkpoint.keeper import Keeper
from blockdiff.engine.checkpoint.keeping import Stage, job_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockdiff.engine.checkpoint.form import State
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.report import VerifyReport

READING_BACK = "verify"
_TOTALS = (
    "method",
    "bytes_compared",
    "skipped",
    "difference_count",
    "differing_bytes",
    "bytes_by_class",
)


class Copying:
    """The checkpoint of one copy. ``before``: what earlier runs of this stage kept; ``copied``: whether all is written.

    Raises InvalidInput where the checkpoint is of another run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        source: Device,
        target: WritableDevice,
        end: int,
        *,
        only: Iterable[Extents] | None,
        options: ReadOptions,
        asked: dict[str, Any],
    ) -> None:
        self._checkpoint, self._flush = checkpoint, target.flush
        self.job = job_of("copy", source, target, 0, end, only=only, options=options, asked=asked, written=True)
        state = checkpoint.begin(self.job)
        self.before: dict[str, Any] = state.extra if state is not None else {}
        self.copied = state is not None and state.stage == READING_BACK
        self._target, self._verified = target, bool(asked.get("verify"))
        self._seen: dict[str, Any] = {}
        if self.copied:
            self._refuse_written_to()
        self.seconds = sum(part.seconds for part in state.parts) if state is not None else 0.0
        self._began: State | None = state

    @property
    def written(self) -> Extents:
        """What earlier runs wrote, as far as it is kept."""
        return Extents(self.before.get("written", ()))

    def _refuse_written_to(self) -> None:
        """While it is read back nobody writes to the target, this run neither."""
        self._seen = {"target": describe(self._target)}
        if then := self.before.get("target"):
            try:
                refuse_other(self._checkpoint.name, {"target": then}, self._seen)
            except BaseException:
                self._checkpoint.close()
                raise

    def stage(self, name: str, extra: Callable[[], dict[str, Any]]) -> Stage:
        """A stage that is a comparison; ``extra`` is kept with it."""
        if name == READING_BACK:
            self._seen = self._seen or {"target": describe(self._target)}
            return Stage(self._checkpoint, self.job, name, extra=extra, seen=self._seen)
        # What was found equal is not read back.
        told = {"target": self.job["target"] | {"told_by": NOTHING}} if self._verified else None
        return Stage(self._checkpoint, self.job, name, settle=self._flush, extra=extra, seen=told)

    def keeper(self, name: str, start: int, extra: Callable[[], dict[str, Any]]) -> Keeper:
        """A stage that is none."""
        return Keeper(self._checkpoint, self.job, start, stage=name, settle=self._flush, extra=extra)

    def remember(self, report: VerifyReport, written: Callable[[], Any]) -> dict[str, Any]:
        """What is kept while it is read back: the report of the copy."""
        return {
            "written": written,
            "target": self._seen.get("target"),
            "copied_bytes": report.extra["copied_bytes"],
            "zeroed_bytes": report.extra["zeroed_bytes"],
            "paths": [dict(report.source.bytes_by_path), dict(report.target.bytes_by_path)],
            **{name: getattr(report, name) for name in _TOTALS},
        }

    def recall(self, report: VerifyReport) -> None:
        """Puts that into the report of another run."""
        for name in _TOTALS:
            setattr(report, name, self.before[name])
        report.source.bytes_by_path, report.target.bytes_by_path = map(dict, self.before["paths"])
        for name in ("copied_bytes", "zeroed_bytes"):
            report.extra[name] = self.before[name]

    def discard(self) -> None:
        """Reading back found something else than was written: what is kept is worth nothing."""
        self._checkpoint.discard()

    def tell(self, report: VerifyReport) -> None:
        """Corrects the key ``checkpoint``, which the last stage made: where the run went on, and what it did not do."""
        told = report.extra.get("checkpoint")
        if told is not None and self._began is not None:
            told["resumed_at"] = self._began.reached
            told["bytes_not_read_again"] = sum(part.end - part.start for part in self._began.parts)
