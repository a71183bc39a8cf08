"""``blockdiff verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.devices import opened, split
from blockdiff.cli.options import REPORT_FORMATS, Name, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import ReportWriter, differing, how_read, make_writer
from blockdiff.engine.digest import METHODS
from blockdiff.engine.verify import SIZE_POLICIES, Verification
from blockdiff.errors import BlockdiffError, DeviceError
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.engine.report import VerifyReport

UNREADABLE = DeviceError.exit_code


@click.command("verify", cls=Command, context_settings=CONTEXT)
@click.argument("devices", nargs=-1, type=Name(), metavar="SRC [DIFF]... DST")
@click.option("--first", is_flag=True, help="Stop at the first difference.")
@click.option(
    "--max-differences",
    type=click.IntRange(0),
    default=None,
    metavar="N",
    help="List at most so many ranges; counting goes on.",
)
@click.option(
    "--extents", "list_file", type=Name(), metavar="FILE", help="Compare only the ranges that FILE lists (-: stdin)."
)
@click.option("--pairs", "plan", type=Name(), metavar="FILE", help="Compare all pairs of a plan of blockdiff pairs.")
@click.option("--allow-empty", is_flag=True, help="With --pairs: a plan without pairs is no error.")
@click.option("--strict", is_flag=True, help="A hole and allocated zeroes differ too: classes src-hole and dst-hole.")
@click.option(
    "--size",
    "size_policy",
    type=click.Choice(SIZE_POLICIES),
    default="strict",
    show_default=True,
    help="Of different sizes: strict calls what only one has different, min compares the common part.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="osd-checksum: the OSDs of an RBD image compute checksums, and only what these do not prove is read. content "
    "reads all but holes; auto uses checksums where it can.",
)
@read_options(keep_going=True)
@output_options(REPORT_FORMATS)
def command(
    devices: tuple[str, ...],
    first: bool,
    max_differences: int | None,
    list_file: str | None,
    plan: str | None,
    allow_empty: bool,
    strict: bool,
    size_policy: str,
    method: str,
    offset: int,
    length: int | None,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    **reading: Any,
) -> int:
    """Prove that DST is identical to SRC, or list every range that differs. Reads only.

    Each range has a class: data, src-zero (zeroes in SRC only), dst-zero (in DST only), bit-flip (a single bit), size
    (only the longer one has it). A device is not compared with itself.

    SRC may be an export-diff of a whole image, and export-diffs that follow may be laid over SRC: DST is compared with
    the image that they would make, without making it. One of them may be - for stdin.

    Exit code: 0 identical, 1 different, 3 something could not be read, which is never called identical.

    \b
    Examples:
      blockdiff verify /dev/vg0/data replica.img
      blockdiff verify -o json disk.img replica.img > report.json
      blockdiff verify --extents changed.json disk.img replica.img
      blockdiff verify --first -q a.img b.img && echo identical
      blockdiff verify --rate 200M /dev/sdb /dev/sdc
      blockdiff verify full.diff monday.diff today.img
      blockdiff pairs -o json rbd:vms/ "rbd:vms/?conf=b.conf" | blockdiff verify --pairs -
    """
    if plan is not None:
        _refuse_with_pairs(devices=devices, extents=list_file, offset=offset, length=length)
        from blockdiff.cli.paired.verifying import verify_pairs

        comparing = {"strict": strict, "size": size_policy, "method": method, "first": first}
        return verify_pairs(
            plan,
            allow_empty=allow_empty,
            limit=max_differences,
            output=output,
            quiet=quiet,
            progress_mode=progress_mode,
            options={"options": gather(**reading), **comparing},
        )
    if allow_empty:
        raise click.UsageError("--allow-empty goes with --pairs")
    sources, dst = split(devices)
    progress = make_progress(progress_mode, quiet=quiet)
    writer = make_writer(output, progress, quiet=quiet)
    with opened(sources, dst, list_file) as (source, target, listed):
        run = Verification(
            source,
            target,
            options=gather(**reading),
            strict=strict,
            size=size_policy,
            method=method,
            offset=offset,
            length=length,
            only=iter(listed) if listed is not None else None,
            first=first,
            progress=progress,
        )
        _stream(run, writer, max_differences)
        writer.end(run.report, _result(run.report, verbose))
    return exit_code(run.report)


def _refuse_with_pairs(devices: tuple[str, ...], **given: object) -> None:
    """A plan names its devices, and is of whole ones."""
    if devices:
        raise click.UsageError(f"--pairs and {devices[0]} do not go together: the plan names what is compared")
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--pairs and --{name} do not go together: snapshots are compared as a whole")


def _stream(run: Verification, writer: ReportWriter, limit: int | None) -> None:
    """Writes the differences as they come, at most ``limit`` of them."""
    listed = 0
    try:
        for found in run:
            shown = found if limit is None else found[: max(0, limit - listed)]
            listed += len(shown)
            if len(shown):
                writer.differences(shown)
    except (BlockdiffError, KeyboardInterrupt) as error:
        writer.trouble(run.report, error)
        raise


def exit_code(report: VerifyReport) -> int:
    """0 identical, 1 different; trouble wins over both."""
    if len(report.unreadable):
        return UNREADABLE
    return 0 if report.identical else 1


def _identical(report: VerifyReport) -> str:
    left_out = report.skipped.get("not-listed", 0)
    if not left_out:
        return f"identical: {report.length:,} bytes"
    return f"identical in the listed ranges: {report.length - left_out:,} bytes; {left_out:,} were not compared"


def _result(report: VerifyReport, verbose: bool) -> list[str]:
    if len(report.unreadable):
        found = f", and {differing(report)}" if report.difference_count else ""
        verdict = f"UNREADABLE: {format_size(report.unreadable_bytes)} could not be read{found}"
    elif report.identical:
        verdict = _identical(report)
    else:
        verdict = f"different: {differing(report)}"
    return [verdict, *how_read(report, verbose=verbose), *(f"warning: {text}" for text in report.warnings)]
