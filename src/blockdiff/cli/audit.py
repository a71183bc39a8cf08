"""``blockdiff audit``."""

from __future__ import annotations

from typing import Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.devices import opened
from blockdiff.cli.options import REPORT_FORMATS, Name, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import how_read, make_writer
from blockdiff.cli.resume import finishing, resumed, take, with_checkpoint
from blockdiff.cli.verifying.job import UNREADABLE
from blockdiff.engine.audit import Audit
from blockdiff.errors import BlockdiffError, InvalidInput
from blockdiff.extent import Kind
from blockdiff.units import format_size


@click.command("audit", cls=Command, context_settings=CONTEXT)
@click.argument("devices", type=Name(), nargs=-1, required=True, metavar="[BASE] TARGET")
@click.option(
    "--extents", "list_file", type=Name(), metavar="FILE", required=True, help="The list to judge (-: stdin)."
)
@click.option(
    "--allocated", is_flag=True, help="No BASE: the list must hold every block of TARGET that is not all zeroes."
)
@click.option("--over", "show_over", is_flag=True, help="List over-reported ranges too.")
@with_checkpoint
@read_options(keep_going=True, window=False)
@output_options(REPORT_FORMATS)
def command(
    devices: tuple[str, ...],
    list_file: str,
    allocated: bool,
    show_over: bool,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    **reading: Any,
) -> int:
    """Judge a list of changed blocks against the content of BASE and TARGET. Reads only.

    Under-reported: bytes that differ and are not listed. A backup made from the list has lost them: exit code 1, and
    every range is printed. Over-reported: bytes that are listed and equal: safe, but a cost; exit code 0.

    FILE is JSON of the Kubernetes lister, rbd diff, qemu-img map, nbdinfo --map or blockdiff, known by its content.

    \b
    Examples:
      blockdiff audit yesterday.img today.img --extents changed.json
      rbd diff --format json --from-snap a pool/image@b > changed.json
      blockdiff audit --allocated disk.img --extents allocated.json
    """
    if len(devices) != (1 if allocated else 2):
        wanted = "--allocated takes one device, TARGET" if allocated else "two devices are needed, BASE and TARGET"
        raise click.UsageError(f"{wanted}; {len(devices)} given")
    checkpoint = take(reading)
    progress = make_progress(progress_mode, quiet=quiet)
    writer = make_writer(output, progress, quiet=quiet, key="ranges" if show_over else "under_reported")
    base = None if allocated else devices[0]
    spoken = not quiet and output not in ("json", "jsonl")
    with (
        opened(base, devices[-1], list_file, list_capacity="target") as (first, second, listed),
        finishing(checkpoint, shown=spoken) as keeping,
    ):
        _refuse_part(second, listed)
        run = Audit(
            first,
            second,
            lambda: iter(listed),
            list_granularity=listed.granularity,
            options=gather(**reading),
            progress=progress,
            checkpoint=keeping,
        )
        try:
            for found in run:
                shown = found if show_over else found.only(*(kind for kind in found.totals() if kind != Kind.OVER))
                if len(shown):
                    writer.differences(shown)
        except (BlockdiffError, KeyboardInterrupt) as error:
            writer.trouble(run.report, error)
            raise
        fill(run, listed.format)
        writer.end(run.report, [*result(run, verbose), *resumed(run.report)])
    if len(run.report.unreadable):
        return UNREADABLE
    return 0 if run.correct else 1


def _refuse_part(target: Any, listed: Any) -> None:
    """What the list misses beyond the end of TARGET would not be found, and the list called correct."""
    if listed.capacity and listed.capacity > target.size:
        raise InvalidInput(
            f"the list is of a volume of {listed.capacity} bytes and {target.url} has {target.size}: a part of the "
            "volume does not prove the list; name the whole one"
        )


def fill(run: Audit, list_format: str) -> None:
    """Adds to the report what only an audit knows."""
    totals = run.totals
    run.report.extra.update(
        correct=run.correct,
        list_format=list_format,
        listed_extents=totals.listed_extents,
        listed_bytes=totals.listed_bytes,
        list_granularity=totals.list_granularity,
        changed_bytes=totals.changed_bytes,
        under_reported_bytes=totals.under_reported_bytes,
        over_reported_bytes=totals.over_reported_bytes,
        unneeded_bytes=totals.unneeded_bytes,
    )


def result(run: Audit, verbose: bool) -> list[str]:
    """The result for people."""
    totals, report = run.totals, run.report
    if len(report.unreadable):
        verdict = f"UNREADABLE: {format_size(report.unreadable_bytes)} could not be read: the list is not proved"
    elif run.correct:
        verdict = "correct: every byte that differs is listed"
    else:
        verdict = (
            f"UNDER-REPORTED: {totals.under_reported_bytes:,} bytes in {totals.under_reported_extents:,} ranges differ "
            "and are not listed"
        )
    over, unneeded = format_size(totals.over_reported_bytes), format_size(totals.unneeded_bytes)
    sums = (
        f"changed {format_size(totals.changed_bytes)}; listed {format_size(totals.listed_bytes)} in "
        f"{totals.listed_extents:,} extents of granularity {totals.list_granularity}; "
        f"over-reported {over}, {unneeded} of it in blocks where nothing differs"
    )
    return [verdict, sums, *how_read(report, verbose=verbose), *(f"warning: {text}" for text in report.warnings)]
