"""``verify --checkpoint``: what is settled is kept, and not read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.resume import OPTIONS, resumed, say_saved, take
from blockdiff.cli.verifying.aspect import Aspect

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.report import VerifyReport

__all__ = ["OPTIONS", "make"]

_CHOSEN = ("--sample", "--confidence", "--budget", "--ledger")
_WHY = "what is compared is then chosen for each run"


class CheckpointAspect(Aspect):
    """Goes on from a checkpoint, and keeps one."""

    option = "--checkpoint"
    _outdated = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    @property
    def kept_in(self) -> str:
        """The name of the file."""
        return self._checkpoint.name

    def prepare(self, job: Job) -> None:
        """The comparison asks it where to begin."""
        for aspect in job.aspects:
            if aspect.option in _CHOSEN:
                raise click.UsageError(f"--checkpoint and {aspect.option} do not go together: {_WHY}")
        from blockdiff.engine.checkpoint.keeping import Whole

        job.comparing["checkpoint"] = Whole(self._checkpoint)

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        """All was read: it is not needed any more, if the rest goes well too."""
        self._checkpoint.done = True
        return resumed(report)

    def verdict(self, report: VerifyReport, text: str) -> str:
        """What was read at different times of something that may have changed is not simply identical."""
        told = report.extra.get("checkpoint", {})
        doubtful = any("not read again" in warning for warning in report.warnings)
        if not doubtful or not report.identical:
            return text
        since = told["parts"][0]["began"]
        return f"{text}, as they were read in {told['runs']} runs since {since} (see the warnings)"

    def writing(self, job: Job) -> None:
        """A repair begins: what is stopped from now on compares anew."""
        self._outdated = True

    def failed(self, job: Job | None, report: VerifyReport | None, error: BaseException) -> None:
        """It stays."""
        self._checkpoint.done = False
        if self._outdated:
            self._checkpoint.discard()
            return
        if job is not None and not job.quiet and job.output not in ("json", "jsonl"):
            say_saved(self._checkpoint)

    def close(self) -> None:
        """Removes it when all is done."""
        self._checkpoint.close()


def make(given: dict[str, Any]) -> CheckpointAspect | None:
    """The aspect, where a checkpoint was asked for."""
    checkpoint = take(given)
    return None if checkpoint is None else CheckpointAspect(checkpoint)
