"""``blockdiff map``."""

from __future__ import annotations

import sys
from typing import Any

import click

from blockdiff.cli import exportdiff
from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.devices import check_sharing, opened
from blockdiff.cli.lists import emit, make_list
from blockdiff.cli.options import LIST_FORMATS, Name, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import how_read
from blockdiff.engine.listing import Listing, check_listing, open_listing
from blockdiff.engine.registry import is_source
from blockdiff.engine.scan import Map
from blockdiff.units import format_size

WITH_HOLES = ("human", "qemu", "nbd")  # these shapes say what a range is; the others list what is allocated


@click.command("map", cls=Command, context_settings=CONTEXT)
@click.argument("image", type=Name())
@click.option("--list", "volumes", is_flag=True, help="List what the NBD server IMAGE exports, and nothing else.")
@click.option("--zeroes", is_flag=True, help="Read the data and show blocks of zeroes as zero.")
@click.option("--plot", "plotted", is_flag=True, help="Draw it: a mark for each part of IMAGE, in place of the list.")
@exportdiff.to_name_option()
@read_options()
@output_options(LIST_FORMATS)
def command(
    image: str,
    volumes: bool,
    zeroes: bool,
    plotted: bool,
    to_name: str | None,
    offset: int,
    length: int | None,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    **reading: Any,
) -> int:
    """List what is allocated in IMAGE, and what of it reads as zeroes: two different facts.

    A hole is not allocated; a zero extent is allocated and reads as zeroes; of data nothing is known without --zeroes.
    The formats human, qemu and nbd show all three; json, jsonl, table and rbd list what is allocated; export-diff
    writes it with its data, for rbd import-diff and blockdiff apply.

    \b
    Examples:
      blockdiff map disk.img
      blockdiff map --zeroes --granularity 64K /dev/vg0/data
      blockdiff map --plot disk.img
      blockdiff map -o json disk.img > allocated.json
      blockdiff map csi:app/monday
      blockdiff map --list nbd://host
    """
    if volumes:
        from blockdiff.cli.volumes import list_volumes

        return list_volumes(image, output)
    if plotted and (quiet or output != "human"):
        raise click.UsageError(f"--plot is for people: it does not go with {'--quiet' if quiet else f'-o {output}'}")
    exportdiff.check(output, offset, length, to_name=to_name)
    progress = make_progress(progress_mode, quiet=quiet)
    if is_source(image):
        check_sharing()
        check_listing(image, output, zeroes=zeroes)
        with open_listing(
            None, image, offset=offset, length=length, holes=output in WITH_HOLES, mapped=True
        ) as listing:
            emit(listing.records(), _make_list(plotted, output, quiet, zeroes_known=False), progress)
            _end(listing, listing.capacity, output, quiet, verbose)
        return 0
    with opened(None, image, None) as (_, device, _listed):
        if output == exportdiff.EXPORT_DIFF:
            emitter = exportdiff.make_emitter(device, to_name=to_name)
        else:
            emitter = _make_list(plotted, output, quiet, zeroes_known=zeroes)
        run = Map(
            device,
            zeroes=zeroes,
            holes=output in WITH_HOLES,
            options=gather(**reading),
            offset=offset,
            length=length,
            progress=progress,
        )
        emit(run.records(), emitter, progress)
        _end(run, device.size, output, quiet, verbose)
    return 0


def _make_list(plotted: bool, output: str, quiet: bool, *, zeroes_known: bool) -> Any:
    if plotted:
        from blockdiff.cli.plot import AllocationPlot, style_of_stdout

        return AllocationPlot(style_of_stdout())
    return make_list(output, quiet=quiet, facts=True, zeroes_known=zeroes_known)


def _end(run: Map | Listing, size: int, output: str, quiet: bool, verbose: bool) -> None:
    """The sums, for people; warnings for all."""
    if output == "human" and not quiet:
        click.echo("\n".join([_sums(run, size), *_how(run, verbose)]))
    for text in run.warnings:
        click.echo(f"warning: {text}", file=sys.stderr)


def _how(run: Map | Listing, verbose: bool) -> list[str]:
    return how_read(run.run.report, verbose=verbose) if verbose and run.run is not None else []


def _sums(run: Map | Listing, size: int) -> str:
    counts = {"data": 0, "zero": 0, "hole": 0, **run.bytes_by_kind}
    parts = ", ".join(f"{label} {format_size(count)}" for label, count in counts.items())
    return f"{size:,} bytes: {parts}; method {run.method}"
