"""``blockdiff schedule``."""

from __future__ import annotations

import datetime as dt
import sys

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.errors import InvalidInput
from blockdiff.schedule import Schedules, parse_schedules


@click.group("schedule", cls=Group, context_settings=CONTEXT, short_help="Check and convert schedules of snapshots")
def command() -> None:
    """Check and convert schedules of snapshots.

    A schedule says what is taken when, how many are kept, and where they go: daily:local=3,remote=3@10. Nothing is
    taken by these commands.
    """


@command.command("parse", cls=Command, context_settings=CONTEXT)
@click.argument("text")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="text: sorted and spelled as always; json: in the order of the text.",
)
@click.option("--json", "from_json", is_flag=True, help="TEXT is the JSON of schedules.")
@click.option(
    "--original",
    is_flag=True,
    help="Read as snapper does: ignore words that are no schedule; options hold for all lines above, too.",
)
def parse(text: str, output: str, from_json: bool, original: bool) -> int:
    """Read a schedule, and write it in its canonical form.

    TEXT is the schedule, or - for stdin. A fault is told with its line and column: exit code 2.

    \b
    Examples:
      blockdiff schedule parse "hourly:local=24 daily:local=7@3:15,remote=7@10"
      blockdiff schedule parse -o json - < schedule.txt
    """
    if text == "-":
        text = _stdin()
    found = Schedules.from_json(text) if from_json else parse_schedules(text, original=original)
    click.echo(found.to_json().decode() if output == "json" else str(found))
    return 0


@command.command("explain", cls=Command, context_settings=CONTEXT)
@click.argument("text")
@click.option("--at", metavar="TIME", default=None, help="From here on: 2026-01-31T12:00, of --zone.  [default: now]")
@click.option("--next", "count", type=click.IntRange(1, 100_000), default=10, show_default=True, help="How many times.")
@click.option("--zone", metavar="ZONE", default="UTC", show_default=True, help="The time zone, such as Europe/Berlin.")
@click.option("-o", "--output", type=click.Choice(("human", "json")), default="human", show_default=True)
@click.option("--original", is_flag=True, help="Read TEXT as snapper does; see schedule parse.")
def explain(text: str, at: str | None, count: int, zone: str, output: str, original: bool) -> int:
    """Say when snapshots are due, by each entry of a schedule.

    TEXT is the schedule, or - for stdin. Times are given in --zone. Where the clocks change, a time that is skipped is
    due as much later, and one that is shown twice is due once.

    \b
    Examples:
      blockdiff schedule explain "daily:local=7@3:15 weekly:archive=4@Sun"
      blockdiff schedule explain --at 2024-03-30T12:00 --next 3 --zone Europe/Berlin daily:local=7@2:30
    """
    from itertools import islice

    from blockdiff.schedule.language import Context, language
    from blockdiff.schedule.rule import next_tick, upcoming

    place = _zone(zone)
    after = _time(at, place)
    context = Context(zone=place, original=original)
    rules = language("snapper").parse(_stdin() if text == "-" else text, context).rules()
    rows = [(tick.astimezone(place), rule) for tick, rule in islice(upcoming(rules, after), count)]
    if output == "json":
        import json

        click.echo(json.dumps([{"time": tick.isoformat(), "rule": rule.name} for tick, rule in rows]))
        return 0
    for tick, rule in rows:
        click.echo(f"{tick:%a %Y-%m-%d %H:%M %Z}  {rule.name}")
    for rule in rules:
        if next_tick(rule, after) is None:
            click.echo(f"never                     {rule.name}")
    return 0


def _zone(name: str) -> dt.tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"the time zone {name!r} is not known here: write one such as UTC or Europe/Berlin"
        ) from error


def _time(text: str | None, zone: dt.tzinfo) -> dt.datetime:
    if text is None:
        return dt.datetime.now(zone)
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no time: write 2026-01-31T12:00") from None
    return time if time.tzinfo else time.replace(tzinfo=zone)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is no text: byte {error.start} is no UTF-8") from None
