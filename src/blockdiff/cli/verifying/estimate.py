"""``verify --estimate``: what will be read, how, and for how long, before it is; ``--dry-run`` leaves it at that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport

OPTIONS = (
    click.option("--estimate", is_flag=True, help="Say first what will be read, how, and how long that takes."),
    click.option("--dry-run", is_flag=True, help="With --estimate: leave it at that."),
)
_WITH_DRY_RUN = ("--estimate", "--sample", "--confidence", "--plot")


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect, where an estimate was asked for."""
    estimate, dry_run = given.pop("estimate"), given.pop("dry_run")
    if dry_run and not estimate:
        raise click.UsageError("--dry-run goes with --estimate")
    return Estimated(dry_run=dry_run) if estimate else None


class Estimated(Aspect):
    """Says what is to be expected. ``dry_run``: and nothing else is done."""

    option = "--estimate"

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self._facts: dict[str, Any] = {}

    def prepare(self, job: Job) -> None:
        from blockdiff.engine.estimate import Estimate

        if self.dry_run:
            self._refuse_others(job)
        made = Estimate(job.source, job.target, job.comparing)
        try:
            self._facts = made.facts()
        finally:
            made.close()
        _limit(self._facts, job)
        if self.dry_run:
            job.compare = lambda source, target, **comparing: Nothing(source, target, self._facts["method"], comparing)
        elif not job.quiet and job.output == "human":
            from blockdiff.cli.streams import say

            for line in [*_lines(self._facts), *_resumed(job)]:
                say(line)

    def _refuse_others(self, job: Job) -> None:
        for other in job.aspects:
            if other.option and other.option not in _WITH_DRY_RUN:
                raise click.UsageError(f"--dry-run and {other.option} do not go together: nothing is compared")

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        report.extra["estimate"] = self._facts
        return _lines(self._facts) if self.dry_run else []

    def verdict(self, report: VerifyReport, text: str) -> str:
        return "nothing was compared (--dry-run)" if self.dry_run else text

    def exit_code(self, report: VerifyReport, code: int) -> int:
        return 0 if self.dry_run else code


class Nothing:
    """In place of a Verification: has a report of nothing, which says neither identical nor different."""

    def __init__(self, source: Any, target: Any, method: str, comparing: dict[str, Any]) -> None:
        from blockdiff.engine.report import Side, VerifyReport
        from blockdiff.engine.verify import span

        start, end = span(comparing["offset"], comparing["length"], source, target)
        granularity = comparing["options"].granularity
        sides = Side.of(source), Side.of(target)
        self.report = VerifyReport("verify", *sides, method, granularity, offset=start, length=end - start)
        self.report.size_policy = comparing["size"]

    def __iter__(self) -> Iterator[Extents]:
        return iter(())


def _limit(facts: dict[str, Any], job: Job) -> None:
    """A budget ends it before."""
    for aspect in job.aspects:
        budget = getattr(aspect, "budget", None)
        if budget is not None:
            facts["budget"] = budget.text
            rate = facts["bytes_per_second"]
            if budget.bytes is not None and rate:
                facts["seconds"] = min(facts["seconds"], round(budget.bytes / rate, 3))
            elif budget.seconds is not None:
                facts["seconds"] = min(facts["seconds"], budget.seconds)


def _resumed(job: Job) -> list[str]:
    """A checkpoint is read, and believed or not, only when the comparison begins."""
    for aspect in job.aspects:
        name = getattr(aspect, "kept_in", "")
        if name and os.path.exists(name):
            return [f"this is for all of it: what the checkpoint {name} has is not read again"]
    return []


def _lines(facts: dict[str, Any]) -> list[str]:
    from blockdiff.budget import format_age

    skipped = ", ".join(f"{format_size(part['bytes'])} ({part['reason']})" for part in facts["skipped"])
    left_out = facts["not_listed_bytes"]
    probe, rate = facts["probe"], facts["bytes_per_second"]
    what = (
        f"estimate: {format_size(facts['source_bytes'])} of the source and {format_size(facts['target_bytes'])} of the "
        f"target are to be compared, method {facts['method']}"
    )
    what += f"; skipped: {skipped}" if skipped else ""
    what += f"; left out: {format_size(left_out)}" if left_out else ""
    lines = [what]
    cached = [f"{side} {share:.0%}" for side, share in facts["cached"].items() if share is not None]
    if cached:
        lines.append(f"in the page cache: {', '.join(cached)}")
    if not rate:
        return [*lines, "nothing is to be read"]
    limit = ", the limit" if facts["limited_by_rate"] else ""
    measured = f"{format_size(probe['bytes'])} were compared in {probe['seconds']:.2f} s"
    budget = f", by the budget of {facts['budget']}" if "budget" in facts else ""
    return [
        *lines,
        f"time: about {_time(facts['seconds'], format_age)}{budget}: {measured}, {format_size(rate)}/s{limit}",
    ]


def _time(seconds: float, format_age: Any) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else str(format_age(seconds))
