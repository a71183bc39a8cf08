"""``verify --triage``: what the differences look like, and where they are."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.devices import open_named
from blockdiff.cli.options import Name
from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport
    from blockdiff.triage.report import Named
    from blockdiff.triage.run import Result

_DEFAULT_LIMIT = 10_000
_SHOWN = 50

OPTIONS = (
    click.option(
        "--triage",
        "triage",
        is_flag=True,
        help="Say what each difference looks like (stale, torn, shifted, bit-flip), and in which partition and file.",
    ),
    click.option(
        "--history",
        "history",
        type=Name(),
        multiple=True,
        metavar="DEVICE|MANIFEST",
        help="With --triage: an older state of DST, to recognise stale blocks by. May be repeated.",
    ),
    click.option(
        "--triage-limit",
        "triage_limit",
        type=click.IntRange(1),
        default=None,
        metavar="N",
        help=f"With --triage: look at so many ranges.  [default: {_DEFAULT_LIMIT}]",
    ),
)


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect that the options ask for."""
    wanted, history, limit = (given.pop(name) for name in ("triage", "history", "triage_limit"))
    if wanted:
        return TriageAspect(history, limit or _DEFAULT_LIMIT)
    for option, value in (("--history", history), ("--triage-limit", limit)):
        if value:
            raise click.UsageError(f"{option} goes with --triage")
    return None


class TriageAspect(Aspect):
    """Looks at the differences when all are known; ``report.extra["triage"]`` has what it saw."""

    option = "--triage"
    keeps = True

    def __init__(self, history: Sequence[str], limit: int) -> None:
        self._names, self._limit = history, limit
        self._histories: list[Any] = []
        self._stack = ExitStack()

    def prepare(self, job: Job) -> None:
        if not hasattr(job.target, "pread_into"):
            raise click.UsageError("--triage needs the bytes of both sides")
        for name in self._names:
            self._histories.append(self._opened(name, job))

    def _opened(self, name: str, job: Job) -> Any:
        """A history, closed with this aspect. InvalidInput where it is one of the two sides."""
        from blockdiff.engine.manifest import is_manifest, open_manifest
        from blockdiff.engine.verify import refuse_same
        from blockdiff.triage.history import DeviceHistory, ManifestHistory
        from blockdiff.triage.reading import Reading

        if is_manifest(name):
            manifest = open_manifest(name)
            self._stack.callback(manifest.close)
            return ManifestHistory(manifest, Reading(job.target))
        device = open_named(name)
        self._stack.callback(device.close)
        for side in (job.source, job.target):
            refuse_same(device, side)
        return DeviceHistory(device)

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        from blockdiff.triage.layout.image import layout_of
        from blockdiff.triage.naming.run import Naming
        from blockdiff.triage.report import triage_dict
        from blockdiff.triage.run import Triage

        assert job.spool is not None, "this aspect keeps the differences"
        run = Triage(job.source, job.target, self._histories, limit=self._limit, progress=job.progress)
        job.progress.start("triage", job.spool.total())
        try:
            result = run.run(job.spool, len(job.spool))
            layout = layout_of(run.source, run.target)
            naming = Naming(layout)
            found = naming.name(result.found)
        finally:
            job.progress.finish()
        histories = [history.url for history in self._histories]
        notes = [*layout.notes, *naming.notes, *(text for history in self._histories for text in history.trouble)]
        report.extra["triage"] = triage_dict(result, found, histories, layout, limit=self._limit, notes=notes)
        return _lines(result, found, histories, notes, everything=job.verbose)

    def close(self) -> None:
        self._stack.close()


def _lines(
    result: Result, found: Sequence[Named], histories: Sequence[str], notes: Sequence[str], *, everything: bool
) -> list[str]:
    """The sums, then the findings."""
    from blockdiff.triage.report import summed

    if not result.ranges:
        return []
    sums = ", ".join(f"{name} {format_size(one['bytes'])}" for name, one in summed(found).items())
    lines = [f"triage of {result.ranges:,} ranges: {sums}"]
    shown = found if everything else found[:_SHOWN]
    lines += [f"{one.found.offset:16} {one.found.length:14}  {one.words(histories)}" for one in shown]
    if len(found) > len(shown):
        lines.append(f"and {len(found) - len(shown):,} more findings: -v shows them, -o json has all")
    if result.left_bytes:
        lines.append(f"not looked at: {result.left_ranges:,} ranges more, {format_size(result.left_bytes)} in all")
    if result.unsearched_blocks:
        lines.append(f"{result.unsearched_blocks:,} blocks were not searched for elsewhere: there were too many")
    return [*lines, *(f"triage: {note}" for note in notes)]
