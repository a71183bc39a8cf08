"""``blockdiff apply``."""

from __future__ import annotations

from typing import Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Name, Size, output_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import encode, write
from blockdiff.errors import BlockdiffError
from blockdiff.exportdiff.apply import Apply, ApplyReport
from blockdiff.exportdiff.form import shown
from blockdiff.exportdiff.opening import open_apply_target
from blockdiff.units import format_size


@click.command("apply", cls=Command, context_settings=CONTEXT)
@click.argument("names", nargs=-1, type=Name(), metavar="DIFF... DST")
@click.option("--verify", is_flag=True, help="Read what was changed back and compare it with the diffs.")
@click.option(
    "--base-size",
    type=Size(),
    default=None,
    metavar="SIZE",
    help="The size of the image on a device DST that is larger: what is behind it becomes zero when the image grows.",
)
@click.option("--force", is_flag=True, help="Write to DST even when it is mounted, held or locked.")
@output_options(("human", "json"))
def command(
    names: tuple[str, ...],
    verify: bool,
    base_size: int | None,
    force: bool,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
) -> int:
    """Apply export-diff streams, each beginning where the one before ended, to DST.

    A DIFF is a file of rbd export-diff, rbd export --export-format 2 or blockdiff diff -o export-diff, or - for stdin.
    All files are read through before anything is written; a pipe is applied as it comes. A file DST, or an image, gets
    the size that the diffs say; a stream that begins from nothing makes all that it does not name zero.

    After a failure run it again: applying the same diffs once more is right.

    \b
    Examples:
      blockdiff apply monday.diff tuesday.diff disk.img
      blockdiff apply --verify full.diff new.img
      rbd export-diff --from-snap a pool/image@b - | blockdiff apply - /dev/vg0/replica
    """
    from blockdiff.engine.registry import open_device

    if len(names) < 2:
        raise click.UsageError("Missing argument 'DST': name one or more diffs, and the image to change last.")
    *diffs, dst = names
    run = Apply(diffs, verify=verify, base_size=base_size, progress=make_progress(progress_mode, quiet=quiet))
    opened: list[Any] = []

    def open_target(size: int | None) -> Any:
        opened.append(open_apply_target(dst, size, open_device, force=force))
        return opened[0]

    try:
        report = run.run(open_target)
    except (BlockdiffError, KeyboardInterrupt) as error:
        if run.report.begun:
            _unfinished(run, output, error, quiet=quiet)
        raise
    finally:
        for device in opened:
            device.close()
    if output == "json":
        write(encode(report.to_dict()) + b"\n")
    elif not quiet:
        click.echo("\n".join(_result(report, verbose)))
    return 0


def _unfinished(run: Apply, output: str, error: BaseException, *, quiet: bool) -> None:
    report = run.report
    if output == "json":
        write(encode({**report.to_dict(), "complete": False, "error": str(error) or "interrupted"}) + b"\n")
    elif not quiet:
        count = report.copied_bytes + report.zeroed_bytes
        click.echo(
            f"blockdiff: {report.url} is incomplete: {count:,} bytes were written; {run.how_to_go_on()}", err=True
        )


def _result(report: ApplyReport, verbose: bool) -> list[str]:
    count = "1 diff" if len(report.diffs) == 1 else f"{len(report.diffs)} diffs"
    verdict = (
        f"applied: {count}, {report.copied_bytes:,} bytes ({format_size(report.copied_bytes)}) written, "
        f"{format_size(report.zeroed_bytes)} zeroed, on stable storage"
    )
    if report.verified:
        verdict += f"; verified: {report.verified_bytes:,} bytes read back identical"
    rows = [
        f"{diff['file']}: {shown(diff['from'], 'nothing')} -> {shown(diff['to'], 'head')}, {diff['size']} bytes"
        for diff in report.diffs
    ]
    return [verdict, *(rows if verbose else []), *(f"warning: {text}" for text in report.warnings)]
