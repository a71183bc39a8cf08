"""``blockdiff retention``."""

from __future__ import annotations

from typing import Any

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.schedule.language import LANGUAGES

_DESTINATIONS = ("local", "remote", "archive")


@click.group("retention", cls=Group, context_settings=CONTEXT, short_help="Say which snapshots a schedule keeps")
def command() -> None:
    """Say which snapshots a schedule keeps, and which may be removed. Nothing is removed by these commands."""


@command.command("explain", cls=Command, context_settings=CONTEXT)
@click.argument("words", metavar="[SCHEDULE] [TAG]...", nargs=-1)
@click.option("--policy", metavar="TEXT", default=None, help="Instead of SCHEDULE, such as last=3,daily=7,weekly=4.")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="snapper", show_default=True, help="That of SCHEDULE."
)
@click.option(
    "--destination",
    type=click.Choice(_DESTINATIONS),
    default=None,
    help="Where the snapshots are: entries of other destinations do not count.  [default: local]",
)
@click.option("--match", metavar="GLOB", multiple=True, help="Names that are managed though they are no tags.")
@click.option("--protect", metavar="TAG", multiple=True, help="Stays, whatever is said; may be repeated.")
@click.option("--replica", metavar="FILE", multiple=True, help="A list of a copy: the newest in common stays.")
@click.option("--depends", metavar="NAME=BASE", multiple=True, help="A difference, and what it stands on.")
@click.option("--allow-empty", is_flag=True, help="The newest one may expire like the others.")
@click.option(
    "--at", metavar="TIME", default=None, help="As of this time: 2026-01-31T12:00, of --zone.  [default: now]"
)
@click.option("--zone", metavar="ZONE", default=None, help="Whose days and hours count.  [default: UTC]")
@click.option("--id", metavar="ID", default=None, help="The object whose schedule it is: LXD spreads aliases by it.")
@click.option("--anchor", metavar="TIME", default=None, help="When intervals began, such as openstorage's periodic.")
@click.option("--rbd-zone", metavar="ZONE", default=None, help="Of the times in a list of rbd.  [default: of here]")
@click.option("--simulate", metavar="UNTIL", default=None, help="As of this time, if each tick gave a snapshot.")
@click.option("--schedule", metavar="TEXT", default=None, help="With --policy and --simulate: when they are taken.")
@click.option("-o", "--output", type=click.Choice(("table", "json", "calendar")), default="table", show_default=True)
def explain(words: tuple[str, ...], output: str, **options: Any) -> int:
    """Say of each snapshot whether SCHEDULE, or a policy, keeps it, and why.

    TAGS are names of snapshots; without any, or with -, a list is read from stdin: names, one a line, what
    rbd snap ls --format json prints, or JSON. What is not managed never expires: manual snapshots, and names that are
    no tags and are not given by --match.

    \b
    Examples:
      blockdiff retention explain daily:local=2 auto-v2-daily-202601010000-4 auto-v2-daily-202601020000-4
      rbd snap ls --format json pool/image | blockdiff retention explain --policy last=3,daily=7,weekly=4 -o calendar
      rbd snap ls --format json pool/image | blockdiff retention explain --replica copy.json "$(cat schedule.txt)" -
    """
    from blockdiff.cli.retention import showing
    from blockdiff.cli.retention.asking import Asked
    from blockdiff.cli.streams import say

    asked = Asked(words, **options)
    answers, notes = asked.answers()
    for note in notes:
        say(f"blockdiff: note: {showing.printable(note)}")
    if output == "json":
        showing.write(showing.json_lines(answers))
    elif output == "calendar":
        showing.write(showing.calendars(answers, asked.now, asked.zone))
    else:
        showing.write(showing.table(answers))
    return 0
