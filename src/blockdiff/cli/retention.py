"""``blockdiff retention``."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.errors import InvalidInput
from blockdiff.retention.entry import expire
from blockdiff.schedule import Destination, parse_schedules

if TYPE_CHECKING:
    from blockdiff.retention.verdict import Verdict


@click.group("retention", cls=Group, context_settings=CONTEXT, short_help="Say which snapshots a schedule keeps")
def command() -> None:
    """Say which snapshots a schedule keeps, and which may be removed. Nothing is removed by these commands."""


@command.command("explain", cls=Command, context_settings=CONTEXT)
@click.argument("schedule")
@click.argument("tags", nargs=-1)
@click.option(
    "--destination",
    type=click.Choice(Destination.strings()),
    default="local",
    show_default=True,
    help="Where the snapshots are: entries of other destinations do not count.",
)
@click.option("--protect", metavar="TAG", multiple=True, help="Stays, whatever the schedule says; may be repeated.")
@click.option("--at", metavar="TIME", default=None, help="As of this time, UTC: 2026-01-31T12:00.  [default: now]")
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)
def explain(
    schedule: str, tags: tuple[str, ...], destination: str, protect: tuple[str, ...], at: str | None, output: str
) -> int:
    """Say of each snapshot whether SCHEDULE keeps it, and why.

    TAGS are names of snapshots; without any, or with -, they are read from stdin, one a line. What no entry of the
    schedule manages is never expired: manual snapshots, and names that are no tags.

    \b
    Examples:
      blockdiff retention explain daily:local=2 auto-v2-daily-202601010000-4 auto-v2-daily-202601020000-4
      rbd snap ls --format json pool/image | jq -r '.[].name' | blockdiff retention explain "$(cat schedule.txt)" -
    """
    names = list(tags) if tags and tags != ("-",) else _lines()
    for name in protect:
        if name not in names:
            raise InvalidInput(f"--protect {name}: there is no such snapshot among those given")
    verdicts = expire(
        parse_schedules(schedule),
        names,
        _time(at),
        destination=Destination.parse(destination),
        protected=frozenset(protect),
    )
    if output == "json":
        click.echo(json.dumps([_object(verdict) for verdict in verdicts]))
        return 0
    width = max((len(verdict.name) for verdict in verdicts), default=0)
    for verdict in verdicts:
        click.echo(f"{'expired' if verdict.expired else 'keep':<8} {verdict.name:<{width}}  {verdict.reason}")
    return 0


def _object(verdict: Verdict) -> dict[str, object]:
    return {"name": verdict.name, "expired": verdict.expired, "reason": verdict.reason}


def _lines() -> list[str]:
    try:
        return [line.strip() for line in sys.stdin.buffer.read().decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is no text: byte {error.start} is no UTF-8") from None


def _time(text: str | None) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no time: write 2026-01-31T12:00") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
