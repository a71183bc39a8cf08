"""The roots of the two sides of a verify: of the manifests that were given, or computed for the receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.errors import DeviceError

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport

NOT_ASKED = "not asked for"
_ENDED = "the run ended before"
Known = dict[str, Any]


class Roots:
    """The roots of source and target. ``algorithm``: that which is used to compute what is not known; None: none is.

    A root of a device is found by reading all of it once more. Where both are known and differ though no difference
    was found, somebody wrote meanwhile, and nothing is called identical.
    """

    def __init__(self, algorithm: str | None) -> None:
        self._algorithm = algorithm
        self._found: dict[str, Known] = {}

    def prepare(self, job: Job) -> None:
        """Raises UsageError for what has no root."""
        if self._algorithm is not None and job.comparing["options"].keep_going:
            raise click.UsageError("--roots and --keep-going do not go together: what cannot be read has no root")
        for side in (job.source, job.target):
            known = getattr(side, "algorithm", self._algorithm)  # of a manifest
            if self._algorithm is not None and known != self._algorithm:
                raise click.UsageError(f"--roots {self._algorithm} and {side.url} do not go together: it is of {known}")

    def find(self, job: Job, report: VerifyReport) -> None:
        """Computes what was asked for, after the comparison. Raises DeviceError."""
        self._found = _of_manifests(report)
        if self._algorithm is not None:
            kind = next(iter(self._found.values()), {"algorithm": self._algorithm, "block_size": 0})
            for name, device in (("source", job.source), ("target", job.target)):
                if name not in self._found:
                    self._found[name] = _computed(device, kind, job, report)
        self._check(report)

    def told(self, name: str, error: BaseException | None) -> tuple[Known | None, str]:
        """The root of a side, or why there is none."""
        if name in self._found:
            return self._found[name], ""
        return None, _ENDED if error is not None and self._algorithm is not None else NOT_ASKED

    def _check(self, report: VerifyReport) -> None:
        """Roots that contradict the result are told, and are never beside an identity."""
        if len(self._found) < len(("source", "target")) or report.source.size != report.target.size:
            return
        equal = self._found["source"] == self._found["target"]
        if report.identical and not equal and _is_whole(report):
            raise DeviceError(
                "its root is not that of the source, though no difference was found: one of them was written to "
                "meanwhile; compare what stands still, such as snapshots",
                url=report.target.url,
                action="trust",
            )
        if equal and report.difference_count and not report.identical:
            report.warnings.append("the roots are equal, so the differences were gone when these were computed")


def _of_manifests(report: VerifyReport) -> dict[str, Known]:
    """Those of manifests that were compared, and of a device that was found to be all that its manifest says."""
    sides = report.extra.get("manifests", {})
    found = {
        name: {"algorithm": facts["algorithm"], "block_size": facts["block_size"], "digest": facts["root"]}
        for name, facts in sides.items()
    }
    if len(found) == 1 and report.identical and _is_whole(report):
        root = next(iter(found.values()))
        found = {"source": root, "target": root}
    return found


def _is_whole(report: VerifyReport) -> bool:
    """Whether the comparison was one of all bytes of both sides."""
    return report.length == report.source.size == report.target.size and not report.skipped.get("not-listed")


def _computed(device: Any, kind: Known, job: Job, report: VerifyReport) -> Known:
    from blockdiff.engine.manifest import Digesting

    digesting = Digesting(
        device,
        algorithm=kind["algorithm"],
        block_size=kind["block_size"],
        options=job.comparing["options"],
        progress=job.progress,
    )
    digesting.root_only()
    report.warnings += digesting.run.warnings
    return {
        "algorithm": kind["algorithm"],
        "block_size": digesting.hasher.block_size,
        "digest": digesting.root.hex(),
    }
