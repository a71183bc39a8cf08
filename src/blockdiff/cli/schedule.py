"""``blockdiff schedule``."""

from __future__ import annotations

import datetime as dt
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.errors import InvalidInput
from blockdiff.schedule.language import LANGUAGES, Context, language, never_due, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdiff.schedule.language import Parsed
    from blockdiff.schedule.rule import Rule

_LARGEST = 64 << 20  # bytes; a text of schedules has some hundred


@click.group("schedule", cls=Group, context_settings=CONTEXT, short_help="Check, explain and convert schedules")
def command() -> None:
    """Check, explain and convert schedules of snapshots, in the languages of four programs.

    A schedule says what is taken when, how many are kept, and where they go: daily:local=3,remote=3@10. Nothing is
    taken by these commands.
    """


def _output(first: str, help_text: str) -> Callable[[Any], Any]:
    return click.option(
        "-o", "--output", type=click.Choice((first, "json")), default=first, show_default=True, help=help_text
    )


def _language(*names: str, help_text: str, **options: Any) -> Callable[[Any], Any]:
    return click.option(*names, type=click.Choice(LANGUAGES), show_default=True, help=help_text, **options)


_LANGUAGE = _language("--language", help_text="The language of TEXT.", default="snapper")
_JSON = click.option("--json", "from_json", is_flag=True, help="TEXT is JSON, as -o json writes it.")
_ORIGINAL = click.option(
    "--original", is_flag=True, help="Read as the original program does, where that ignores or mistakes something."
)
_ZONE = click.option(
    "--zone",
    metavar="ZONE",
    default=None,
    help="The time zone of a text that names none, such as Europe/Berlin, and of the times given and shown.  "
    "[default: UTC; times are shown in the zone of their rule]",
)
_ID = click.option("--id", metavar="ID", default="", help="The object whose schedule it is: LXD spreads aliases by it.")
_ANCHOR = click.option(
    "--anchor", metavar="TIME", default=None, help="When intervals began, such as openstorage's periodic.  [1970-01-01]"
)


@command.command("parse", cls=Command, context_settings=CONTEXT)
@click.argument("text")
@_LANGUAGE
@_output("text", "text: the canonical form; json: the JSON of the language.")
@_JSON
@_ORIGINAL
def parse(text: str, language: str, output: str, from_json: bool, original: bool) -> int:
    """Read a schedule, and write it in its canonical form.

    TEXT is the schedule, or - for stdin. A fault is told with its line and column: exit code 2.

    \b
    Examples:
      blockdiff schedule parse "hourly:local=24 daily:local=7@3:15,remote=7@10"
      blockdiff schedule parse --language lxd "@daily, 0 12 * * mon-fri"
      blockdiff schedule parse -o json - < schedule.txt
    """
    _write(_parsed(text, language, Context(original=original, json=from_json)), output)
    return 0


@command.command("convert", cls=Command, context_settings=CONTEXT)
@click.argument("text")
@_language("--from", "source", help_text="The language of TEXT.", default="snapper")
@_language("--to", "target", help_text="The language to write.", required=True)
@click.option("--keep", metavar="KEEP", default=None, help="Keep this instead of what TEXT says: count=7, days=30, ...")
@_output("text", "text: the canonical form; json: the JSON of the language.")
@_ZONE
@_ID
@_ANCHOR
@_JSON
@_ORIGINAL
def convert(text: str, source: str, target: str, keep: str | None, output: str, **asked: Any) -> int:
    """Write a schedule in another language: exactly the same, or an error that says what cannot be said.

    TEXT is the schedule, or - for stdin. A language that has ages only cannot keep a number of snapshots, and the other
    way: --keep says what is meant then.

    \b
    Examples:
      blockdiff schedule convert --to snapsentry "daily:local=7@3:15"
      blockdiff schedule convert --from lxd --to snapper --keep count=7 "@daily"
    """
    from dataclasses import replace

    from blockdiff.retention.text import parse_retention
    from blockdiff.schedule.convert import convert as converted

    rules = (found := _parsed(text, source, _context(**asked))).rules()
    if not rules and str(found):
        raise InvalidInput(f"nothing in the text is ever due, so {target} would say nothing of it: give a schedule")
    if keep is not None:
        kept = parse_retention(keep)
        rules = [replace(rule, keep=kept) for rule in rules]
    _write(converted(rules, language(target)), output)
    return 0


@command.command("explain", cls=Command, context_settings=CONTEXT)
@click.argument("text")
@_LANGUAGE
@click.option("--at", metavar="TIME", default=None, help="From here on: 2026-01-31T12:00, of --zone.  [default: now]")
@click.option("--next", "count", type=click.IntRange(1, 1_000_000), default=None, help="How many times.  [default: 10]")
@click.option("--since", metavar="TIME", default=None, help="Instead: what is due now, if it was last asked then.")
@click.option("--until", metavar="TIME", default=None, help="What is due then instead of now; with --since.")
@click.option("--no-catch-up", is_flag=True, help="With --since: what was missed is not made up for.")
@_output("human", "human: a line for each time; json: see docs/commands/schedule.md.")
@_ZONE
@_ID
@_ANCHOR
@_JSON
@_ORIGINAL
def explain(
    text: str,
    language: str,
    at: str | None,
    count: int | None,
    since: str | None,
    until: str | None,
    no_catch_up: bool,
    output: str,
    **asked: Any,
) -> int:
    """Say when snapshots are due, by each rule of a schedule; with --since what is due, and what was missed.

    TEXT is the schedule, or - for stdin. Where the clocks change, a time that is skipped is due as much later, and one
    that is shown twice is due once; LXD's cron differs.

    \b
    Examples:
      blockdiff schedule explain "daily:local=7@3:15 weekly:archive=4@Sun"
      blockdiff schedule explain --at 2024-03-30T12:00 --next 3 --zone Europe/Berlin daily:local=7@2:30
      blockdiff schedule explain --since 2026-01-30T09:00 --until 2026-01-31T12:00 hourly:local=24
    """
    if since is None and (until is not None or no_catch_up):
        raise click.UsageError("--until and --no-catch-up need --since")
    if since is not None and (at is not None or count is not None):
        raise click.UsageError("--since asks what is due now, --at and --next ask what comes: not both")
    context = _context(**asked)
    rules = (found := _parsed(text, language, context)).rules()
    shown = context.zone if asked["zone"] else None
    if since is None:
        _explain_next(rules, never_due(found), _time(at, context.zone), count or 10, shown, output)
    else:
        begin, end = _time(since, context.zone), _time(until, context.zone)
        if begin > end:
            raise InvalidInput(f"--since {begin.isoformat()} is later than --until {end.isoformat()}")
        _explain_due(rules, never_due(found), begin, end, shown, output, catch_up=not no_catch_up)
    return 0


# ---- reading ----


def _parsed(text: str, name: str, context: Context) -> Parsed:
    return read(_stdin() if text == "-" else text, name, context)


def _context(
    *,
    zone: str | None,
    id: str,  # noqa: A002 as its option
    anchor: str | None,
    from_json: bool,
    original: bool,
) -> Context:
    from blockdiff.retention.text import zone_of

    place = zone_of(zone) if zone is not None else dt.UTC
    begun = None if anchor is None else _time(anchor, place)
    return Context(zone=place, id=id, anchor=begun, original=original, json=from_json)


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
        data = sys.stdin.buffer.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read stdin: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > _LARGEST:
        raise InvalidInput(f"stdin has more than {_LARGEST:,} bytes: that is no schedule")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is no text: byte {error.start} is no UTF-8") from None


# ---- writing ----


def _write(found: Parsed, output: str) -> None:
    click.echo(found.to_json().decode() if output == "json" else str(found))


def _explain_next(
    rules: Sequence[Rule], idle: Sequence[str], after: dt.datetime, count: int, zone: dt.tzinfo | None, output: str
) -> None:
    from blockdiff.schedule.rule import next_ticks, upcoming

    rows = [(_shown(tick, zone or rule.zone), rule.name) for tick, rule in islice(upcoming(rules, after), count)]
    never = [*(rule.name for rule, tick in next_ticks(rules, after) if tick is None), *idle]
    if output == "json":
        listed = [{"time": time.isoformat(), "rule": name} for time, name in rows]
        _print_json({"at": after.isoformat(), "next": listed, "never": never})
        return
    times = [_text_of(time) for time, _ in rows]
    width = max(map(len, times), default=0)
    lines = (
        [f"{time:<{width}}  {_one_line(name)}" for time, (_, name) in zip(times, rows, strict=True)]
        + [f"{'never':<{width}}  {_one_line(name)}" for name in never]
        + ([] if rules or idle else ["nothing is ever due"])
    )
    click.echo("\n".join(lines))


def _explain_due(
    rules: Sequence[Rule],
    idle: Sequence[str],
    since: dt.datetime,
    until: dt.datetime,
    zone: dt.tzinfo | None,
    output: str,
    *,
    catch_up: bool,
) -> None:
    from blockdiff.schedule.rule import due

    found = [(rule, due(rule, since, until, catch_up=catch_up)) for rule in rules]
    rows: list[tuple[str, dt.datetime | None, int]] = [
        (rule.name, _shown(what.ticks[0], zone or rule.zone) if what.ticks else None, what.missed)
        for rule, what in found
    ]
    rows += [(name, None, 0) for name in idle]
    if output == "json":
        listed = [{"rule": name, "due": time and time.isoformat(), "missed": missed} for name, time, missed in rows]
        _print_json({"since": since.isoformat(), "until": until.isoformat(), "rules": listed})
        return
    click.echo("\n".join(_due_lines(rows) or ["nothing is ever due"]))


def _due_lines(rows: list[tuple[str, dt.datetime | None, int]]) -> list[str]:
    times = ["not due" if time is None else f"due {_text_of(time)}" for _, time, _ in rows]
    width = max(map(len, times), default=0)
    return [
        f"{time:<{width}}  {_one_line(name)}" + (f"  ({missed:,} missed)" if missed else "")
        for time, (name, _, missed) in zip(times, rows, strict=True)
    ]


def _shown(tick: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """The time in a zone; in UTC where the years of the zone's clocks end before."""
    try:
        return tick.astimezone(zone)
    except OverflowError:
        return tick


def _text_of(time: dt.datetime) -> str:
    return f"{time:%a} {time.year:04}-{time:%m-%d %H:%M}{(time.second and f':{time.second:02}') or ''} {time:%Z}"


def _one_line(name: str) -> str:
    return " ".join(name.split("\n"))


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value))
