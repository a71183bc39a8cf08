"""``blockdiff tag``."""

from __future__ import annotations

import click

from blockdiff.cli.base import CONTEXT, Command, Group


@click.group("tag", cls=Group, context_settings=CONTEXT, short_help="Read and make names of snapshots")
def command() -> None:
    """Read and make names of snapshots that say what they were taken for."""


@command.command("parse", cls=Command, context_settings=CONTEXT)
@click.argument("tag")
@click.option("-o", "--output", type=click.Choice(("human", "json")), default="human", show_default=True)
def parse(tag: str, output: str) -> int:
    """Say what TAG means. A name that is no tag: exit code 2.

    \b
    Examples:
      blockdiff tag parse auto-v2-hourly-202001020300-4
      blockdiff tag parse -o json manual-v3-daily-202001020300-image-name
    """
    import json

    from blockdiff.schedule import Schedules
    from blockdiff.tag import Tag

    found = Tag.parse(tag)
    facts = found.to_dict() | {"schedule": str(Schedules([found.schedule()]))}
    if output == "json":
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            if value is not None:
                click.echo(f"{name:<9} {value}")
    return 0


@command.command("make", cls=Command, context_settings=CONTEXT)
@click.option("--period", required=True, metavar="PERIOD", help="minutely, hourly, daily, weekly, monthly or yearly.")
@click.option("--time", "when", required=True, metavar="TIME", help="The scheduled time: YYYYMMDDHHMM, UTC.")
@click.option("--vm", type=int, default=None, help="The number of the machine.")
@click.option("--rbd", metavar="IMAGE", default=None, help="The name of the image: a manual snapshot.")
@click.option(
    "--tag-version",
    type=click.IntRange(2, 3),
    default=None,
    help="Of the format.  [default: 2 for a vm, 3 for an image]",
)
def make(period: str, when: str, vm: int | None, rbd: str | None, tag_version: int | None) -> int:
    """Print the tag of a machine or an image.

    \b
    Examples:
      blockdiff tag make --period hourly --time 202001020300 --vm 4
      blockdiff tag make --period daily --time 202001020300 --rbd image-name
    """
    from blockdiff.schedule import Period
    from blockdiff.tag import Tag, parse_tag_time

    if (vm is None) == (rbd is None):
        raise click.UsageError("one of --vm and --rbd is needed")
    if rbd == "":
        raise click.UsageError("--rbd is empty: the name would be read as that of machine 0")
    version = tag_version or (2 if rbd is None else 3)
    made = Tag(period=Period.parse(period), time=parse_tag_time(when), vm=vm or 0, rbd=rbd or "", version=version)
    Tag.parse(str(made))  # what cannot be read again is refused
    click.echo(str(made))
    return 0
