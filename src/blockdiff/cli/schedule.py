"""``blockdiff schedule``."""

from __future__ import annotations

import sys

import click

from blockdiff.cli.base import CONTEXT, Command, Group


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
    from blockdiff.schedule import Schedules, parse_schedules

    if text == "-":
        text = _stdin()
    found = Schedules.from_json(text) if from_json else parse_schedules(text, original=original)
    click.echo(found.to_json().decode() if output == "json" else str(found))
    return 0


def _stdin() -> str:
    from blockdiff.errors import InvalidInput

    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is no text: byte {error.start} is no UTF-8") from None
