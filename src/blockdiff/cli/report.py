"""``blockdiff report``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Name
from blockdiff.errors import InvalidInput, OutputError

if TYPE_CHECKING:
    from blockdiff.report.reading import Run

MOST = 1000  # reports in a page


@click.command("report", cls=Command, context_settings=CONTEXT)
@click.argument("reports", nargs=-1, required=True, type=Name(), metavar="REPORT...")
@click.option("-o", "--output", required=True, type=Name(), metavar="FILE", help="The page (-: stdout).")
@click.option("--receipt", type=Name(), metavar="FILE", help="Show this receipt of a run, too.")
@click.option("--title", default=None, metavar="TEXT", help="The title.  [default: source and target]")
@click.option(
    "--max-ranges",
    type=click.IntRange(0, 5_000_000),
    default=1_000_000,
    show_default=True,
    metavar="N",
    help="Put at most so many ranges into the page, those of the newest run first; the block map counts all.",
)
@click.option("--force", is_flag=True, help="Overwrite a FILE that is not such a page.")
def command(
    reports: tuple[str, ...], output: str, receipt: str | None, title: str | None, max_ranges: int, force: bool
) -> int:
    """Make an HTML page of reports: what differs and where, and how the runs went over time.

    A REPORT is what verify, audit or copy wrote with -o json or -o jsonl (-: stdin). The page is one file that fetches
    nothing; it opens with the newest run. A FILE that is such a page is overwritten, another one is not.

    \b
    Examples:
      blockdiff report report.json -o report.html
      blockdiff verify -o json disk.img replica.img | blockdiff report - -o report.html
      blockdiff report friday.json report.json -o history.html
    """
    if len(reports) > MOST:
        raise click.UsageError(f"{len(reports)} reports are too many for a page: {MOST} are the most")
    if reports.count("-") > 1:
        raise click.UsageError("stdin (-) can be read only once")
    if output != "-":
        _check_output(output, force=force)
    from blockdiff.engine.report import now
    from blockdiff.report.page import render
    from blockdiff.report.reading import in_order

    runs = in_order([_read(name, max_ranges) for name in reports])
    _share(runs, max_ranges)
    shown = None if receipt is None else _receipt(receipt, runs)
    made_at = now().replace("T", " ")[:19] + " UTC"
    page = render(runs, title=title or _title(runs[-1]), made_at=made_at, receipt=shown)
    _write(output, page)
    return 0


def _read(name: str, limit: int) -> Run:
    from blockdiff.report.reading import read_report

    if name == "-":
        return read_report(sys.stdin.buffer, "stdin", limit=limit)
    try:
        with open(name, "rb") as file:
            return read_report(file, os.fsencode(name).decode(errors="replace"), limit=limit)
    except OSError as error:
        raise InvalidInput(f"cannot read {name}: {os.strerror(error.errno or 0)}") from error


def _share(runs: list[Run], limit: int) -> None:
    """Of all runs together at most so many ranges; the newest has the first choice."""
    for run in reversed(runs):
        run.listed.keep(limit)
        limit -= run.listed.kept


def _title(run: Run) -> str:
    source, target = (
        side.url.rstrip("/").rpartition("/")[2] or side.url for side in (run.facts.source, run.facts.target)
    )
    return f"{source} and {target}"


def _receipt(path: str, runs: list[Run]) -> dict[str, Any]:
    """What the receipt says, and which of the runs it is of."""
    import hashlib
    import json

    from blockdiff.receipt.check import look, read_file
    from blockdiff.report.facts import clean

    data = read_file(path)
    checked = look(data, path)
    digest = hashlib.sha256(data).hexdigest()
    named = [run.name for run in runs if _names(run.sections.get("receipt"), digest)]
    of = f"Its SHA-256 is named by {', '.join(named)}." if named else "None of these reports names its SHA-256."
    who = "not checked here: see blockdiff receipt check" if checked.envelope.signatures else "nobody: it is unsigned"
    fields = clean(checked.receipt.fields)
    return {
        "note": f"Signed by: {who}. {of}",
        "facts": {"file": path, "sha256": digest, **fields},
        "text": json.dumps(clean(json.loads(checked.envelope.payload)), indent=2, ensure_ascii=False),
    }


def _names(told: object, digest: str) -> bool:
    return isinstance(told, dict) and told.get("sha256") == digest


def _check_output(path: str, *, force: bool) -> None:
    """Refuses to overwrite what is not a page of ours."""
    from blockdiff.engine.placing import check_place
    from blockdiff.report.page import GENERATOR

    check_place(path, replace=True)
    if force or not os.path.exists(path):
        return
    try:
        with open(path, "rb") as file:
            ours = f'<meta name="generator" content="{GENERATOR} '.encode() in file.read(4096)
    except OSError as error:
        raise OutputError(f"cannot read {path}: {os.strerror(error.errno or 0)}", errno=error.errno) from error
    if not ours and os.path.getsize(path):
        raise InvalidInput(f"{path} is not a page that blockdiff made, and is not overwritten without --force")


def _write(path: str, page: bytes) -> None:
    from blockdiff.cli.reportwriter import write
    from blockdiff.engine.placing import place_file

    if path == "-":
        write(page)
        return
    place_file(path, page, replace=True)
