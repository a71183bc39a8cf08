"""Judges a list of blocks against volumes without writing to any."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff.cli.audit import fill, result
from blockdiff.cli.snapshot_metadata.spool import Spool
from blockdiff.cli.snapshot_metadata.telling import list_facts, warn_of_sizes
from blockdiff.csi.verifier import refuse_part
from blockdiff.engine.audit import Audit
from blockdiff.engine.registry import open_device
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.errors import BlockdiffError, InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.cli.reportwriter import ReportWriter
    from blockdiff.csi.args import Args
    from blockdiff.engine.options import ReadOptions


def audit_list(
    args: Args,
    connect: Callable[[], None],
    source: str,
    target: str | None,
    writer: ReportWriter,
    options: ReadOptions,
    progress: Any,
    *,
    over: bool,
    verbose: bool,
) -> int:
    """Asks for the list and judges it; gives the exit code.

    ``source`` is the volume restored from the snapshot, ``target`` that of the previous one (None: allocated blocks).
    """
    with ExitStack() as stack:
        new = open_device(source)
        stack.callback(new.close)
        old = None
        if target is not None:
            old = open_device(target)
            stack.callback(old.close)
        connect()
        spool = stack.enter_context(Spool(progress))
        try:
            _fetch(args, spool, progress)
            _refuse_other(new, spool)
        except (BlockdiffError, KeyboardInterrupt) as error:
            report = _nothing_compared(old, new, options.granularity)
            report.extra["snapshot_metadata"] = list_facts(args, spool, "audit")
            writer.trouble(report, error)
            raise
        run = Audit(old, new, spool, list_granularity=spool.granularity, options=options, progress=progress)
        warn_of_sizes(run.report, args, spool.capacity)
        run.report.extra["snapshot_metadata"] = list_facts(args, spool, "audit")
        _judge(run, writer, over=over)
        fill(run, "lister")
        writer.end(run.report, result(run, verbose))
    return 0 if run.correct else 1


def _fetch(args: Args, spool: Spool, progress: Any) -> None:
    from blockdiff.csi import get_snapshot_metadata

    args.emitter, args.progress = spool, lambda offset, _: progress.advance(offset)
    get_snapshot_metadata(args)


def _nothing_compared(old: Any, new: Any, granularity: int) -> VerifyReport:
    first = Side(new.url, new.size) if old is None else Side(old.url, old.size)
    second = Side("zeroes", new.size) if old is None else Side(new.url, new.size)
    return VerifyReport("audit", first, second, "content", granularity)


def _refuse_other(volume: Any, spool: Spool) -> None:
    """InvalidInput if the list is not of this volume."""
    refuse_part(volume, spool.capacity)
    if spool.end > volume.size:
        raise InvalidInput(
            f"the list names a range that ends at {spool.end}, and {volume.url} has {volume.size} bytes: "
            "is it the right volume?"
        )


def _judge(run: Audit, writer: ReportWriter, *, over: bool) -> None:
    try:
        for found in run:
            shown = found if over else found.only(*(kind for kind in found.totals() if kind != Kind.OVER))
            if len(shown):
                writer.differences(shown)
    except (BlockdiffError, KeyboardInterrupt) as error:
        writer.trouble(run.report, error)
        raise
