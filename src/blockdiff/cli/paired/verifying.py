"""``blockdiff verify --pairs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.cli.paired.output import make_sink
from blockdiff.cli.paired.running import FAILED, Done, Opener, go_over, load_plan
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import differing
from blockdiff.engine.verify import Verification
from blockdiff.errors import BlockdiffError, DeviceError
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.cli.paired.running import OnRanges
    from blockdiff.engine.planfile import FilePair
    from blockdiff.engine.report import VerifyReport


class Verifying:
    """Compares the two snapshots of each pair."""

    command, good, found = "verify", "identical", "different"

    def __init__(self, progress: Any, limit: int | None, options: dict[str, Any]) -> None:
        self._progress, self._limit, self._options = progress, limit, options
        self.opener = Opener()

    def run(self, pair: FilePair, on_ranges: OnRanges) -> Done:
        """A pair with something unreadable has failed."""
        assert pair.target is not None, "the plan was checked"
        self._progress.differing = 0
        with self.opener.opened(pair.source, pair.target) as (source, target):
            run = Verification(source, target, progress=self._progress, **self._options)
            try:
                first = self._stream(run, on_ranges)
            except BlockdiffError as error:
                report = {**run.report.summary_dict(), "identical": False, "complete": False}
                return Done(FAILED, {"report": report}, str(error), error)
        return _done(run.report, first)

    def _stream(self, run: Verification, on_ranges: OnRanges) -> int | None:
        """The offset of the first difference, None without any."""
        listed, first = 0, None
        for found in run:
            if first is None and len(found):
                first = found[0].offset
            part = found if self._limit is None else found[: max(0, self._limit - listed)]
            listed += len(part)
            if len(part):
                on_ranges(part)
        return first


def _done(report: VerifyReport, first: int | None) -> Done:
    facts = {"report": report.summary_dict()}
    if len(report.unreadable):
        error = DeviceError(
            f"{format_size(report.unreadable_bytes)} could not be read", url=report.source.url, action="compare"
        )
        return Done(FAILED, facts, str(error), error)
    warnings = "".join(f"; warning: {text}" for text in report.warnings)
    if report.identical:
        return Done("identical", facts, f"{report.length:,} bytes, method {report.method}{warnings}")
    where = "" if first is None else f", first at {first:,}"
    return Done("different", facts, f"{differing(report)}{where}{warnings}")


def verify_pairs(
    name: str,
    *,
    allow_empty: bool,
    limit: int | None,
    output: str,
    quiet: bool,
    progress_mode: str,
    options: dict[str, Any],
) -> int:
    """Goes over the plan in this file; the exit code."""
    plan = load_plan(name, "verify", allow_empty=allow_empty)
    progress = make_progress(progress_mode, quiet=quiet)
    sink = make_sink(output, "verify", progress, quiet=quiet, key="differences", label="class")
    return go_over(plan, Verifying(progress, limit, options), sink).code
