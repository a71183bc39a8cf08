"""``blockdiff verify --repair``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Name
from blockdiff.cli.reportwriter import differing
from blockdiff.cli.streams import say
from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.repair.session import Session
    from blockdiff.engine.report import VerifyReport

OPTIONS = (
    click.option("--repair", is_flag=True, help="Write what differs to DST, its old bytes into a journal first."),
    click.option(
        "--journal",
        type=Name(),
        metavar="FILE",
        default=None,
        help="With --repair: the journal for blockdiff undo; one of an earlier repair of DST is continued.",
    ),
    click.option("--plan", "planned", is_flag=True, help="With --repair: say what would be done and write nothing."),
    click.option(
        "--repair-unreadable",
        is_flag=True,
        help="With --repair: also write what cannot be read from DST. That cannot be undone.",
    ),
    click.option("--force", is_flag=True, help="With --repair: also when a device is mounted, held or locked."),
)

_PARTIAL = ("--sample", "--confidence", "--ledger", "--budget", "--estimate")


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect, where --repair was given; its other options need it."""
    asked = given.pop("repair")
    options = {name: given.pop(name) for name in ("journal", "planned", "repair_unreadable", "force")}
    if options["journal"] == "":
        raise click.UsageError("--journal needs the name of a file")
    if asked:
        return RepairAspect(**options)
    for name, value in options.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-').replace('planned', 'plan')} goes with --repair")
    return None


class RepairAspect(Aspect):
    """Compares, writes what differs, reads it back: the report is of the state after that."""

    option = "--repair"
    keeps = True

    def __init__(self, *, journal: str | None, planned: bool, repair_unreadable: bool, force: bool) -> None:
        self._journal, self._planned, self._unreadable, self._force = journal, planned, repair_unreadable, force
        self._session: Session | None = None
        self._target: Any = None

    def prepare(self, job: Job) -> None:
        from blockdiff.engine.repair.session import Session, open_repair_target

        _refuse_together(job)
        if job.target.fileno() is None:  # some servers take one client only
            job.target.close()
        self._target = open_repair_target(job.names[-1], job.source, force=self._force)
        if job.target.fileno() is None:
            job.target = self._target
        self._session = Session(
            job.source,
            self._target,
            name=job.names[-1],
            journal=self._journal,
            plan=self._planned,
            unreadable=self._unreadable,
            force=self._force,
            compared=job.target,
            writing=lambda: _tell(job),
            options=job.comparing["options"],
            progress=job.progress,
        )
        self._session.refuse(job.comparing["size"])
        if self._unreadable:
            job.comparing["options"].keep_going = True

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        assert self._session is not None
        assert job.spool is not None
        self._session.finish(report, job.spool)
        facts = self._session.facts
        lines = _planned_lines(facts) if self._planned else _lines(facts)
        if len(report.unreadable) and not self._unreadable:
            lines.append("unreadable ranges were not written: --repair-unreadable writes those of DST, without undo")
        return lines

    def verdict(self, report: VerifyReport, text: str) -> str:
        if report.identical and report.difference_count:
            return f"{text}, after a repair: {differing(report)}".replace("bytes differ (", "bytes differed (")
        return text

    def cut_short(self, report: VerifyReport) -> None:
        if self._session is not None:
            self._session.cut_short(report)

    def failed(self, job: Job | None, report: VerifyReport | None, error: BaseException) -> None:
        """Says how to go on and how to go back, once there is a journal."""
        session = self._session
        if session is None or session.begun is None or job is None or job.quiet or job.output in ("json", "jsonl"):
            return
        facts, journal = session.facts, _word(session.begun)
        done = facts["written_bytes"] + facts["zeroed_bytes"]
        say(
            f"blockdiff: {job.target.url}: {done:,} of {facts['bytes']:,} bytes were written; to go on: the same "
            f"command with --journal {journal}; to go back: blockdiff undo {journal}"
        )

    def close(self) -> None:
        if self._target is not None:
            self._target.close()


def _tell(job: Job) -> None:
    for aspect in job.aspects:
        aspect.writing(job)


def _word(name: str) -> str:
    """A name as a shell takes it; what a terminal would obey is escaped."""
    import shlex

    from blockdiff.backends.opening import printable

    return shlex.quote(name) if name.isprintable() else printable(name)


def _refuse_together(job: Job) -> None:
    """What finds differences that are none in content, or not all of them."""
    others = [f"--{name}" for name in ("strict", "first") if job.comparing.get(name)]
    others += [aspect.option for aspect in job.aspects if aspect.option in _PARTIAL]
    if others:
        raise click.UsageError(f"--repair and {others[0]} do not go together")


def _planned_lines(facts: dict[str, Any]) -> list[str]:
    from blockdiff.engine.repair.place import journal_directory

    if not facts["ranges"]:
        return ["plan: nothing to repair"]
    where = _word(facts["journal"]) if facts["journal"] else f"in {journal_directory()}"
    return [
        f"plan: {count_ranges(facts['ranges'])}, {facts['bytes']:,} bytes would be written; nothing was",
        f"journal: {where}, at most {format_size(facts['journal_bytes'])}; method: {facts['method']}",
    ]


def _lines(facts: dict[str, Any]) -> list[str]:
    if not facts["ranges"]:
        return ["nothing to repair"]
    written = facts["written_bytes"] + facts["zeroed_bytes"]
    holes = f" ({format_size(facts['zeroed_bytes'])} as holes)" if facts["zeroed_bytes"] else ""
    done = f"repaired: {count_ranges(facts['ranges'])}, {written:,} bytes written{holes}"
    lines = [f"{done}, {facts['verified_bytes']:,} bytes read back"]
    if facts["remaining_ranges"]:
        lines.append(f"STILL DIFFERENT: {count_ranges(facts['remaining_ranges'])}, {facts['remaining_bytes']:,} bytes")
    if facts["without_undo_bytes"]:
        lines.append(f"{facts['without_undo_bytes']:,} bytes of them could not be read before: undo leaves them as is")
    if facts["journal"] is not None:
        lines.append(f"undo: blockdiff undo {_word(facts['journal'])}")
    return lines


def count_ranges(count: int) -> str:
    """So many ranges, in words."""
    return "1 range" if count == 1 else f"{count:,} ranges"
