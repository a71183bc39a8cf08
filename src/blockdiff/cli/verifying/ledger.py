"""``verify --ledger`` and ``--budget``: what was verified when is written down, and the oldest comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Name
from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport

OPTIONS = (
    click.option(
        "--ledger",
        type=Name(),
        metavar="FILE",
        help="Write down in FILE what was proved equal, and when; it is made where it does not exist.",
    ),
    click.option(
        "--budget",
        metavar="TIME|SIZE",
        help="With --ledger: look at as much as this allows, such as 2h or 500G: first what differed or changed "
        "(--extents), then what was verified longest ago. Never says identical.",
    ),
)
_ALONE = ("--sample", "--confidence", "--checkpoint")


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect, where a ledger was named."""
    path, text = given.pop("ledger"), given.pop("budget")
    if path is None:
        if text is not None:
            raise click.UsageError("--budget needs --ledger FILE, where it is written down what was verified")
        return None
    return Ledgered(path, text)


class Ledgered(Aspect):
    """A verify that is written down."""

    def __init__(self, path: str, text: str | None) -> None:
        from blockdiff import __version__
        from blockdiff.budget import parse_budget
        from blockdiff.engine.ledger.session import Session

        self.option = "--ledger" if text is None else "--budget"
        self.budget = None if text is None else parse_budget(text)
        self.session = Session(path, self.budget, version=__version__)

    def prepare(self, job: Job) -> None:
        for other in job.aspects:
            if other.option in _ALONE:
                raise click.UsageError(f"{self.option} and {other.option} do not go together")
            if getattr(other, "dry_run", False):
                raise click.UsageError(f"--dry-run and {self.option} do not go together: nothing is compared")
        if job.comparing.get("first"):
            raise click.UsageError(f"{self.option} and --first do not go together: the run would not be what it says")
        if len(job.names) > 2:
            raise click.UsageError("--ledger and a chain of diffs do not go together: it is another volume each time")
        self.session.plan(job.source, job.target, job.comparing)
        job.compare = self.session.compare

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        self.session.conclude(report)
        return _lines(report.extra["ledger"])

    def verdict(self, report: VerifyReport, text: str) -> str:
        if self.budget is None or report.difference_count or report.unreadable_bytes:
            return text
        facts = report.extra["ledger"]
        if facts["different_before_bytes"]:
            return (
                f"different: {format_size(facts['different_before_bytes'])} that differed in an earlier run were not "
                "looked at again"
            )
        return f"no difference found in what was compared: {format_size(facts['equal_bytes'])} were found equal"

    def exit_code(self, report: VerifyReport, code: int) -> int:
        if self.budget is None or code != 1 or report.difference_count:
            return code
        return 1 if report.extra["ledger"]["different_before_bytes"] else 0

    def failed(self, job: Job | None, report: VerifyReport | None, error: BaseException) -> None:
        self.session.failed(error)

    def close(self) -> None:
        self.session.close()


def _lines(facts: dict[str, Any]) -> list[str]:
    """What is verified now, for people."""
    size = {key.removesuffix("_bytes"): format_size(count) for key, count in facts.items() if key.endswith("_bytes")}
    done = f"{size['equal']} found equal, {size['different']} different, in units of {format_size(facts['unit'])}"
    lines = [f"ledger {facts['file']}, run {facts['run']}: {done}"]
    if grown := facts["resized"]:
        lines.append(f"the volume had {grown['from']:,} bytes, now {grown['to']:,}: what is new is not verified")
    if facts["changed_bytes"]:
        lines.append(f"{size['changed']} of what was verified changed since, as --extents says")
    lines.append(_verified(facts, size))
    if facts["stopped"] == "budget":
        runs = facts["runs_for_all"]
        pace = f"every byte is verified within {runs:,} runs like this" if runs else "runs like this never verify all"
        lines.append(f"the budget ({facts['budget']}) is spent: {pace}")
    return lines


def _verified(facts: dict[str, Any], size: dict[str, str]) -> str:
    from blockdiff.budget import format_age
    from blockdiff.sampling import format_chance

    whole, age = facts["size"], facts["oldest_age_seconds"]
    share = format_chance(facts["verified_bytes"] / whole) if whole else "all"
    text = f"verified by now: {share} of {format_size(whole)}"
    if age is not None:
        text += f", the oldest {format_age(age)} ago"
    text += f"; never: {size['never']}; known without reading: {size['known']}"
    for key, words in (("changed_now", "changed since, or not to be read"), ("different_now", "different")):
        if facts[f"{key}_bytes"]:
            text += f"; {words}: {size[key]}"
    return text
