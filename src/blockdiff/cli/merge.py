"""``blockdiff merge``."""

from __future__ import annotations

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Name
from blockdiff.cli.progress import make_progress
from blockdiff.exportdiff.form import shown
from blockdiff.exportdiff.merge import merge_streams
from blockdiff.units import format_size


@click.command("merge", cls=Command, context_settings=CONTEXT)
@click.argument("diffs", nargs=-1, required=True, type=Name(), metavar="DIFF...")
@click.option(
    "-o", "--output", "out", type=Name(), required=True, metavar="OUT", help="The file to write; - is stdout."
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing for people: the exit code says it.")
@click.option(
    "--progress",
    "progress_mode",
    type=click.Choice(("auto", "bar", "json", "none")),
    default="auto",
    show_default=True,
    help="Progress on stderr: auto is a bar on a terminal, json a line a second.",
)
def command(diffs: tuple[str, ...], out: str, quiet: bool, progress_mode: str) -> int:
    """Join export-diff streams, each beginning where the one before ended, into one.

    OUT does to an image what all DIFFs do to it one after the other. It is there only when it is whole. A DIFF may
    also be an rbd export --export-format 2, or - for stdin; OUT is an export-diff of version 1.

    \b
    Examples:
      blockdiff merge monday.diff tuesday.diff -o both.diff
      blockdiff merge full.diff monday.diff -o - | blockdiff apply - new.img
    """
    report = merge_streams(list(diffs), out, progress=make_progress(progress_mode, quiet=quiet))
    if not quiet:
        header = report.header
        click.echo(
            f"merged: {report.diffs} diffs, {shown(header.from_name, 'nothing')} -> {shown(header.to_name, 'head')}, "
            f"{format_size(report.data_bytes)} of data, {format_size(report.zero_bytes)} of zeroes",
            err=True,
        )
    return 0
