"""``blockdiff snapshot-metadata verify``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT
from blockdiff.cli.options import REPORT_FORMATS, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import differing, how_read, make_writer
from blockdiff.cli.snapshot_metadata import request
from blockdiff.cli.snapshot_metadata.flags import FORCE, ORIGINAL, OURS, SOURCE, TARGET
from blockdiff.cli.snapshot_metadata.goclick import GoCommand, go_options
from blockdiff.cli.snapshot_metadata.telling import Telling, list_facts, warn_of_sizes
from blockdiff.errors import BlockdiffError, ContentsDoNotMatch
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.cli.reportwriter import ReportWriter
    from blockdiff.cli.snapshot_metadata.applying import Applying
    from blockdiff.csi.args import Args
    from blockdiff.engine.report import VerifyReport


@click.command("verify", cls=GoCommand, context_settings=CONTEXT, short_help="Check a list of blocks against volumes")
@go_options((*ORIGINAL, SOURCE, TARGET), required=("namespace", "snapshot", "source-device-path"))
@click.option("--audit", is_flag=True, help="Only read: judge the list against the content of the volumes.")
@click.option("--over", "show_over", is_flag=True, help="With --audit: list over-reported ranges too.")
@click.option(
    "--from-scratch", is_flag=True, help="Make the target all zero first, then check that the allocated blocks are all."
)
@go_options((FORCE, *OURS))
@read_options(window=False, sharing=False)
@output_options(REPORT_FORMATS, names=("--output-format",))
def command(
    source_device_path: str,
    target_device_path: str | None,
    audit: bool,
    show_over: bool,
    from_scratch: bool,
    force: bool,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    granularity: int,
    read_mode: str,
    workers: int,
    rate: int,
    **values: Any,
) -> int:
    """Check that a list of allocated or changed blocks leaves nothing out. WRITES to the target unless --audit is
    given.

    Stands in for snapshot-metadata-verifier. The source is a volume restored from the snapshot. Every listed range is
    copied from it to the target, then both are compared, and what differs was left out: every such range is told, exit
    code 1. The target is a volume restored from the previous snapshot, or an empty one where allocated blocks are
    checked; --from-scratch empties it.

    With --audit nothing is written: the target (of allocated blocks: zeroes) is compared with the source, and the list
    held against what differs. That also finds ranges that are listed for nothing (over-reported; exit code 0).

    \b
    Examples:
      blockdiff snapshot-metadata verify -n app -s new -p old -src /dev/new -tgt /dev/old
      blockdiff snapshot-metadata verify -n app -s new -p old -src /dev/new -tgt /dev/old --audit
      blockdiff snapshot-metadata verify -n app -s new -src /dev/new -tgt /dev/empty --from-scratch
    """
    delta = request.is_delta(values)
    _check(audit, show_over, from_scratch, delta, target_device_path, values["starting_offset"])
    request.need_libraries()
    progress = make_progress(progress_mode, quiet=quiet)
    key = "differences" if not audit else "ranges" if show_over else "under_reported"
    writer = make_writer(output, progress, quiet=quiet, key=key)
    options = gather(read_mode, granularity, workers, rate)
    args = request.make_args(values, on_resume=request.resumed(Telling(output, progress_mode, quiet=quiet).resumed))
    connect = lambda: _connect(args, values)  # noqa: E731 - devices are looked at first
    if audit:
        from blockdiff.cli.snapshot_metadata.auditing import audit_list

        target = target_device_path if delta else None
        return audit_list(
            args, connect, source_device_path, target, writer, options, progress, over=show_over, verbose=verbose
        )
    from blockdiff.cli.snapshot_metadata.applying import Applying

    with Applying(
        source_device_path,
        target_device_path or "",
        from_scratch=from_scratch,
        force=force,
        options=options,
        progress=progress,
    ) as applying:
        _connect(args, values)
        return _apply(args, applying, writer, quiet=quiet or output in ("json", "jsonl"), verbose=verbose)


def _check(audit: bool, over: bool, scratch: bool, delta: bool, target: str | None, start: int) -> None:
    if audit and scratch:
        raise click.UsageError("--audit writes nothing, and --from-scratch does: choose one")
    if over and not audit:
        raise click.UsageError("--over goes with --audit")
    if scratch and delta:
        raise click.UsageError("--from-scratch is for allocated blocks: it does not go with -p or -P")
    if audit and not delta and target:
        raise click.UsageError("--audit compares with zeroes where allocated blocks are asked for: leave out -tgt")
    if audit and start:
        raise click.UsageError("--audit judges the whole list: it does not go with --starting-offset")
    if not target and (delta or not audit):
        raise click.UsageError("Missing option '--target-device-path' / '-tgt'.")


def _connect(args: Args, values: dict[str, Any]) -> None:
    if request.needs_cluster(args):
        args.clients = request.clients(values, os.environ)


def _apply(args: Args, applying: Applying, writer: ReportWriter, *, quiet: bool, verbose: bool) -> int:
    from blockdiff.csi import get_snapshot_metadata

    args.emitter, args.progress = applying, applying.advance
    applying.show(writer)
    try:
        get_snapshot_metadata(args)
    except ContentsDoNotMatch:
        pass
    except (BlockdiffError, KeyboardInterrupt) as error:
        report = _report(applying, args)
        writer.trouble(report, error)
        if applying.applied_bytes and not quiet:
            click.echo(
                f"blockdiff: {report.target.url} was written to ({applying.applied_bytes:,} bytes) and is not as it "
                "was; restore it before the next check",
                err=True,
            )
        raise
    report = _report(applying, args)
    warn_of_sizes(report, args, applying.capacity)
    writer.end(report, _result(report, args.starting_offset, verbose))
    return 0 if report.identical else 1


def _report(applying: Applying, args: Args) -> VerifyReport:
    report = applying.report
    report.extra["snapshot_metadata"] = list_facts(args, applying, applying.mode, applying.applied_bytes)
    return report


def _result(report: VerifyReport, start: int, verbose: bool) -> list[str]:
    facts = report.extra["snapshot_metadata"]
    applied = f"{facts['applied_bytes']:,} bytes in {facts['listed_extents']:,} ranges"
    if report.identical:
        whole = f"identical, but the list begins at byte {start:,}" if start else "complete"
        verdict = f"{whole}: with the listed {applied} applied, all {report.length:,} bytes are identical"
    else:
        verdict = f"INCOMPLETE LIST: with the listed {applied} applied, {differing(report)}"
    return [
        verdict,
        f"the volume has {format_size(facts['volume_capacity_bytes'])}; {report.target.url} was written to",
        *how_read(report, verbose=verbose),
        *(f"warning: {text}" for text in report.warnings),
    ]
