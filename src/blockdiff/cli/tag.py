"""``blockdiff tag``."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from blockdiff.schedule import Period
    from blockdiff.tag import Tag


@click.group("tag", cls=Group, context_settings=CONTEXT, short_help="Read and make names of snapshots")
def command() -> None:
    """Read and make names of snapshots that say what they were taken for."""


@command.command("parse", cls=Command, context_settings=CONTEXT)
@click.argument("tag")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("human", "json", "jsonl")),
    default="human",
    show_default=True,
    help="json of stdin is an array; jsonl one object a line, written as they are read.",
)
def parse(tag: str, output: str) -> int:
    """Say what TAG means. A name that is no tag: exit code 2.

    TAG may be - for stdin, one name a line. Those that are no tags are told in their place, and the exit code is then
    2, too.

    \b
    Examples:
      blockdiff tag parse auto-v2-hourly-202001020300-4
      blockdiff tag parse -o json manual-v3-daily-202001020300-image-name
      blockdiff tag parse -o jsonl - < names.txt
    """
    if tag == "-":
        return _many(output)
    import json

    from blockdiff.tag import Tag

    facts = _facts(Tag.parse(tag))
    if output != "human":
        click.echo(json.dumps(facts))
        return 0
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name:<9} {_visible(str(value))}")
    return 0


def _many(output: str) -> int:
    import json

    write = sys.stdout.write
    bad = count = 0
    for count, facts in enumerate(_stdin(), 1):
        bad += "error" in facts
        if output == "human":
            write(f"{_visible(facts['tag'])}  {facts.get('error') or _visible(_summary(facts))}\n")
        elif output == "jsonl":
            write(json.dumps(facts) + "\n")
        else:
            write(("[" if count == 1 else ",\n") + json.dumps(facts))
    if output == "json":
        write("]\n" if count else "[]\n")
    if bad:
        raise InvalidInput(f"{bad} of {count} names {'is' if bad == 1 else 'are'} no tag")
    return 0


def _stdin() -> Iterator[dict[str, Any]]:
    """What each line says: the facts of a tag, or ``tag`` and ``error``."""
    from blockdiff.tag import Tag, TagError

    for number, line in enumerate(_lines(), 1):
        data = line.removesuffix(b"\n")
        try:
            yield _facts(Tag.parse(data.decode()))
        except UnicodeDecodeError:
            yield {"tag": ascii(data), "error": f"line {number}: no tag is of bytes that are no UTF-8"}
        except TagError as error:
            yield {"tag": _visible(data.decode()), "error": f"line {number}: {error}"}


def _lines() -> Iterator[bytes]:
    """The lines of stdin. Raises InvalidInput where it cannot be read."""
    try:
        yield from sys.stdin.buffer
    except (OSError, ValueError, AttributeError) as error:  # there is no stdin at all if it was closed
        raise InvalidInput(f"cannot read stdin: {getattr(error, 'strerror', None) or error}") from error


def _visible(name: str) -> str:
    """A text that a terminal would show as it is; else with what it would obey written out."""
    return name if name.isprintable() else ascii(name)


def _facts(tag: Tag) -> dict[str, Any]:
    return tag.to_dict() | {"schedule": _schedule(tag.period, tag.time)}


@lru_cache(maxsize=1 << 12)  # many machines have one schedule
def _schedule(period: Period | None, time: dt.datetime | None) -> str:
    from blockdiff.schedule import Schedules
    from blockdiff.tag import Tag

    return str(Schedules([Tag(period, time).schedule()]))


def _summary(facts: dict[str, Any]) -> str:
    return f"{facts['type']} {facts['schedule']} {facts['time']} {'image' if facts['rbd'] else 'machine'} {facts['id']}"


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
    if rbd is not None and not rbd.isprintable():
        raise InvalidInput(f"{rbd!a} is no name of an image: it has characters that cannot be printed")
    version = tag_version or (2 if rbd is None else 3)
    made = Tag(period=Period.parse(period), time=parse_tag_time(when), vm=vm or 0, rbd=rbd or "", version=version)
    Tag.parse(str(made))  # what cannot be read again is refused
    click.echo(str(made))
    return 0
