"""``blockdiff copy``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import REPORT_FORMATS, Name, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import how_read, make_writer
from blockdiff.cli.resume import finishing, refuse_side, resumed, take, with_checkpoint
from blockdiff.cli.targets import opened_for_copy, opened_for_replication
from blockdiff.engine.copy import SPARSE, Copy
from blockdiff.engine.target import commit
from blockdiff.errors import BlockdiffError
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.report import VerifyReport

OVERLAY = "qcow2-overlay"


@click.command("copy", cls=Command, context_settings=CONTEXT)
@click.argument("src", type=Name())
@click.argument("dst", type=Name())
@click.option("--changed", is_flag=True, help="Compare first and write only what differs.")
@click.option(
    "--extents", "list_file", type=Name(), metavar="FILE", help="Copy only the ranges that FILE lists (-: stdin)."
)
@click.option("--verify", "read_back", is_flag=True, help="Read what was written back past the page cache and compare.")
@click.option(
    "--sparse",
    type=click.Choice(SPARSE),
    default="auto",
    show_default=True,
    help="auto keeps the holes of SRC, always makes holes of zeroes in data too, never leaves no hole.",
)
@click.option("--discard", is_flag=True, help="Give ranges of a block device that become zeroes back to it.")
@click.option(
    "--from-snap",
    metavar="NAME",
    default=None,
    help="SRC is a snapshot of an image: send what changed since this older one, which DST has too (last: the newest "
    "that both have), and give DST the snapshot.",
)
@click.option("--trust-base", is_flag=True, help="With --from-snap: do not prove that both sides have the same base.")
@click.option(
    "--base",
    type=Name(),
    metavar="FILE",
    default=None,
    help="With --changed or --extents: DST is a new qcow2 image over FILE that holds what differs from it.",
)
@click.option("--resize", is_flag=True, help="Cut a DST file that is longer than SRC.")
@click.option("--force", is_flag=True, help="Write to DST even when it is mounted, held or locked.")
@with_checkpoint
@read_options(window=False)
@output_options((*REPORT_FORMATS, OVERLAY))
def command(
    src: str,
    dst: str,
    changed: bool,
    list_file: str | None,
    read_back: bool,
    sparse: str,
    discard: bool,
    from_snap: str | None,
    trust_base: bool,
    base: str | None,
    resize: bool,
    force: bool,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    **reading: Any,
) -> int:
    """Write SRC to DST: all of it, with --changed what differs, with --extents listed ranges.

    Holes stay holes. DST is on stable storage when the command ends well. A file DST is made or extended as needed; a
    longer one is refused without --resize, a longer device keeps what it has beyond the end of SRC. A DST that is too
    small a device, in use, or SRC itself is refused: exit code 2.

    After a failure or Ctrl-C run it again with --changed, which writes only what still differs.

    \b
    Examples:
      blockdiff copy disk.img /dev/vg0/replica
      blockdiff copy --changed --verify disk.img replica.img
      blockdiff copy --extents changed.json disk.img replica.img
      blockdiff copy --changed -o qcow2-overlay --base base.qcow2 disk.img monday.qcow2
      blockdiff copy --from-snap last --verify "rbd:p/i@s2?conf=a.conf" "rbd:p/i?conf=b.conf"
    """
    checkpoint = take(reading)
    refuse_side(checkpoint, src, dst)
    if checkpoint is not None and (from_snap is not None or base is not None):
        raise click.UsageError(
            "--checkpoint and --from-snap do not go together: run the same command again, and it goes on"
            if from_snap is not None
            else "--checkpoint and --base do not go together: nothing is left of an overlay that was not finished"
        )
    if from_snap is not None:
        _refuse_together(
            changed=changed, extents=list_file, base=base, discard=discard, resize=resize, sparse=sparse != "auto"
        )
        return _replicate(
            src, dst, from_snap, read_back, trust_base, force, output, quiet, verbose, progress_mode, reading
        )
    if trust_base:
        raise click.UsageError("--trust-base goes with --from-snap")
    output = _check_overlay(output, base, limited=changed or list_file is not None, sparse=sparse)
    progress = make_progress(progress_mode, quiet=quiet)
    writer = make_writer(output, progress, quiet=quiet)
    options = {"resize": resize, "force": force, "discard": discard, "base": base}
    with (
        opened_for_copy(src, dst, list_file, **options) as (source, target, listed),
        finishing(checkpoint, shown=False),
    ):
        run = Copy(
            source,
            target,
            changed=changed,
            only=listed,
            sparse=sparse,
            verify=read_back,
            options=gather(**reading),
            progress=progress,
            checkpoint=checkpoint,
        )
        try:
            report = run.run()
            commit(target)
        except (BlockdiffError, KeyboardInterrupt) as error:
            writer.trouble(run.report, error)
            if (
                not quiet and base is None and output not in ("json", "jsonl")
            ):  # there the report says it, and stderr is one object
                click.echo(_unfinished(run.report, checkpoint), err=True)
            raise
        writer.end(report, [*_result(report, verbose), *resumed(report)])
    return 0


def _check_overlay(output: str, base: str | None, *, limited: bool, sparse: str) -> str:
    """What goes with an overlay; the format of the report."""
    if output == OVERLAY and base is None:
        raise click.UsageError(f"-o {OVERLAY} needs --base FILE: DST is made over FILE")
    if base is not None and not limited:
        raise click.UsageError("--base needs --changed or --extents: an overlay holds what differs")
    if base is not None and sparse == "never":
        raise click.UsageError("--base and --sparse never do not go together")
    return "human" if output == OVERLAY else output


def _refuse_together(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--from-snap and --{name} do not go together: what is sent is known")


def _replicate(
    src: str,
    dst: str,
    base: str,
    verify: bool,
    trust_base: bool,
    force: bool,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    reading: dict[str, Any],
) -> int:
    from blockdiff.engine.replicate import Replication

    progress = make_progress(progress_mode, quiet=quiet)
    writer = make_writer(output, progress, quiet=quiet)
    with opened_for_replication(src, dst, base=base, force=force) as (source, target):
        run = Replication(
            source,
            target,
            base=base,
            verify=verify,
            trust_base=trust_base,
            force=force,
            options=gather(**reading),
            progress=progress,
        )
        try:
            report = run.run()
        except (BlockdiffError, KeyboardInterrupt) as error:
            if run.copy is not None:
                writer.trouble(run.copy.report, error)
                if not quiet and output not in ("json", "jsonl"):
                    click.echo(
                        f"blockdiff: {run.copy.report.target.url}: run the same command again to go on", err=True
                    )
            raise
        writer.end(report, _replicated(report, verbose))
    return 0


def _replicated(report: VerifyReport, verbose: bool) -> list[str]:
    extra = report.extra
    since = f" since @{extra['from_snapshot']}" if extra["from_snapshot"] else ""
    return [f"replicated: @{extra['to_snapshot']}{since}", *_result(report, verbose)]


def _unfinished(report: VerifyReport, checkpoint: Checkpoint | None) -> str:
    count = report.extra["copied_bytes"] + report.extra["zeroed_bytes"]
    again = "run the command again with --changed to go on"
    if checkpoint is not None and checkpoint.has_more:
        again = f"run the same command again to go on: {checkpoint.name} has what was done"
    return f"blockdiff: {os.fsdecode(report.target.url)} is incomplete: {count:,} bytes were written; {again}"


def _result(report: VerifyReport, verbose: bool) -> list[str]:
    extra = report.extra
    copied, zeroed = extra["copied_bytes"], extra["zeroed_bytes"]
    verdict = (
        f"copied: {copied:,} bytes ({format_size(copied)}) written, {format_size(zeroed)} zeroed, on stable storage"
    )
    if extra["verified"]:
        verdict += f"; verified: {extra['verified_bytes']:,} bytes read back identical"
    return [verdict, *how_read(report, verbose=verbose), *(f"warning: {text}" for text in report.warnings)]
