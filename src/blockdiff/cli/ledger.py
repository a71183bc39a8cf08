"""``blockdiff ledger``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.cli.options import Name
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.engine.ledger.store import Ledger, Run

CELLS, LINE = 512, 64
SHOWN_RUNS = 5


@click.group("ledger", cls=Group, context_settings=CONTEXT, short_help="Show what was verified of a volume, and when")
def command() -> None:
    """Show what was verified of a volume, and when, as verify --ledger wrote it down."""


@command.command("show", cls=Command, context_settings=CONTEXT)
@click.argument("file", type=Name())
@click.option(
    "-o", "--output", type=click.Choice(("human", "json")), default="human", show_default=True, help="What is written."
)
def show(file: str, output: str) -> int:
    """Show a coverage ledger: its volume, its runs, what is verified, and how old that is.

    Nothing is changed, and no device is opened. A file that is no ledger, or is damaged: exit code 2.

    \b
    Examples:
      blockdiff ledger show data.ledger
      blockdiff ledger show -o json data.ledger
    """
    import time

    from blockdiff.engine.ledger.store import Ledger

    ledger = Ledger.read(file)
    try:
        now = int(time.time())
        if output == "json":
            import json

            click.echo(json.dumps(_facts(ledger, now)))
        else:
            click.echo("\n".join(_text(ledger, now)))
    finally:
        ledger.close()
    return 0


def _facts(ledger: Ledger, now: int) -> dict[str, Any]:
    from blockdiff.engine.ledger.picture import by_age, picture
    from blockdiff.engine.ledger.session import coverage

    volume = ledger.volume
    names = ("1_day", "7_days", "30_days", "90_days", "older")
    return {
        "schema_version": 1,
        "file": ledger.path,
        "source": {"url": volume.source_url, "identity": volume.source_identity, "size": volume.source_size},
        "target": {"url": volume.target_url, "identity": volume.target_identity, "size": volume.target_size},
        "unit": ledger.unit,
        "created": _when(volume.created),
        **coverage(ledger),
        "verified_by_age": dict(zip(names, by_age(ledger, now).values(), strict=True)),
        "map": picture(ledger, CELLS, now),
        "runs": [_run(run) for run in ledger.runs],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": run.number,
        "started": _when(run.started),
        "ended": _when(run.ended) if run.ended else None,
        "outcome": run.outcome,
        "version": run.version,
        "budget": run.budget or None,
        "to_read_bytes": run.to_read,
        "equal_bytes": run.equal,
        "different_bytes": run.different,
        "changed_bytes": run.changed,
        "rotated_bytes": run.rotated,
    }


def _when(seconds: int) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _text(ledger: Ledger, now: int) -> list[str]:
    from blockdiff.budget import format_age
    from blockdiff.engine.ledger.picture import LEGEND, by_age, picture
    from blockdiff.engine.ledger.session import coverage

    volume, facts = ledger.volume, coverage(ledger)
    lines = [
        f"source {volume.source_url}: {volume.source_size:,} bytes",
        f"target {volume.target_url}: {volume.target_size:,} bytes",
        f"{_share(facts['verified_bytes'], ledger.size)} verified: {format_size(facts['verified_bytes'])}"
        + (f", the oldest {format_age(facts['oldest_age_seconds'])} ago" if facts["verified_bytes"] else ""),
    ]
    lines += [f"  {LEGEND[char]}: {format_size(count)}" for char, count in by_age(ledger, now).items() if count]
    for key, words in (
        ("never", "never verified"),
        ("changed_now", "changed since it was verified, or not to be read"),
        ("different_now", "DIFFERENT"),
        ("known", "known without reading when it was looked at last"),
    ):
        if count := facts[f"{key}_bytes"]:
            lines.append(f"{_share(count, ledger.size)} {words}: {format_size(count)}")
    drawn = picture(ledger, CELLS, now)
    lines += [f"  {drawn[at : at + LINE]}" for at in range(0, len(drawn), LINE)]
    lines.append("  " + ", ".join(f"{char} {text}" for char, text in LEGEND.items() if char in drawn))
    return [*lines, *_runs(ledger)]


def _share(count: int, whole: int) -> str:
    from blockdiff.sampling import format_chance

    return format_chance(count / whole) if whole else "0%"


def _runs(ledger: Ledger) -> list[str]:
    lines = [f"{len(ledger.runs):,} runs" + (", of which the last are" if len(ledger.runs) > SHOWN_RUNS else "")]
    for run in ledger.runs[-SHOWN_RUNS:]:
        how = "did not end (or runs now)" if run.outcome == "running" else run.outcome
        lines.append(
            f"  {run.number}: {_when(run.started)}, {run.budget or 'all'}: {how}; {format_size(run.equal)} equal, "
            f"{format_size(run.different)} different"
        )
    return lines
