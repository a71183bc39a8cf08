"""``verify --recheck``: reads the differences again, so that what was just being written is no alarm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.recheck import Recheck
    from blockdiff.engine.report import VerifyReport

_LONGEST = 7 * 86400.0
_SHOWN = 20


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Seconds to wait, up to a week."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= _LONGEST:
            self.fail(f"{value!r} is no number of seconds from 0 to {_LONGEST:.0f}", param, ctx)
        return seconds


OPTIONS = (
    click.option(
        "--recheck",
        "recheck",
        type=Seconds(),
        multiple=True,
        metavar="SECONDS",
        help="Read the differences again after so many seconds, and drop what is equal by then. May be repeated.",
    ),
)


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect that the options ask for."""
    waits = given.pop("recheck")
    return RecheckAspect(waits) if waits else None


class RecheckAspect(Aspect):
    """Only what still differs stays in the list; ``report.extra["recheck"]`` tells of the rest."""

    option = "--recheck"
    keeps = holds = True

    def __init__(self, waits: Sequence[float]) -> None:
        self._waits = waits
        self._recheck: Recheck | None = None

    def prepare(self, job: Job) -> None:
        if job.comparing.get("first"):
            raise click.UsageError(
                "--first and --recheck do not go together: of a first difference that is gone nothing follows"
            )
        from blockdiff.engine.recheck import Recheck

        self._recheck = Recheck(job.source, job.target, job.comparing, progress=job.progress)

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        assert self._recheck is not None, "it was prepared"
        assert job.spool is not None, "this aspect keeps the differences"
        done = self._recheck
        done.run(job.spool, self._waits)
        before, job.spool = job.spool, done.confirmed
        before.close()
        done.correct(report, job.spool)
        report.extra["recheck"] = done.to_dict()
        return _lines(done)

    def verdict(self, report: VerifyReport, text: str) -> str:
        if not self._all_gone(report):
            return text
        gone = format_size(report.extra["recheck"]["transient_bytes"])
        where = " in the sample" if "sample" in report.extra else ""
        return (
            f"no confirmed difference{where}: {gone} differed, and were equal when they were read again. "
            "This does not prove the two identical: bytes changed meanwhile"
        )

    def exit_code(self, report: VerifyReport, code: int) -> int:
        return 0 if code == 1 and self._all_gone(report) else code

    @staticmethod
    def _all_gone(report: VerifyReport) -> bool:
        """Everything that differed was equal later, and was read. A run that was cut short never comes here."""
        verdict = report.extra.get("recheck", {}).get("verdict")
        return verdict == "transient" and not report.difference_count and not len(report.unreadable)


def _lines(done: Recheck) -> list[str]:
    lines = [
        f"recheck after {one.wait:g} s: {format_size(one.confirmed_bytes)} of {format_size(one.bytes)} still differ"
        for one in done.rounds
    ]
    if done.unstable:
        lines.append(
            f"{format_size(done.gone_bytes)} were equal when they were read again although nothing was written to "
            "either side: memory, a cable or a medium gives changing bytes. They stay differences"
        )
    elif done.gone_bytes:
        lines += [f"{one[0]:16} {one[1]:14}  equal when read again" for one in done.gone[:_SHOWN]]
        if done.gone_ranges > _SHOWN:
            lines.append(f"and {done.gone_ranges - _SHOWN:,} more ranges that were equal when read again")
    return lines
