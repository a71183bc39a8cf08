"""What a receipt says of a job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from blockdiff.cli.reportwriter import line_template

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.cli.verifying.roots import Roots
    from blockdiff.engine.report import VerifyReport
    from blockdiff.engine.spool import Spool

_SHOWN = ("", "--plot")  # aspects that change nothing but what is said


def predicate(
    job: Job, report: VerifyReport, error: BaseException | None, started: float, roots: Roots
) -> dict[str, Any]:
    """The predicate of the receipt: docs/receipts.md has its fields."""
    from importlib.metadata import version

    from blockdiff.receipt.facts import host, moment, result, side, told

    found = _found(job.spool)
    fields = told(report, error)
    if error is not None:  # the run may have ended between counting and keeping a batch
        fields |= {"difference_count": found["count"], "differing_bytes": found["bytes"]}
        fields["bytes_by_class"] = _by_class(job.spool)
    return {
        "tool": {"name": "blockdiff", "version": version("blockdiff")},
        "host": host(),
        "started": moment(started),
        "finished": moment(time.time()),
        "result": result(report, error),
        "options": _options(job),
        "source": side(job.source, *roots.told("source", error)),
        "target": side(job.target, *roots.told("target", error)),
        "differences": found,
        "report": fields,
    }


def _options(job: Job) -> dict[str, Any]:
    """How the comparison was asked for."""
    given = dict(job.comparing)
    reading, only = given.pop("options"), given.pop("only", None)
    plain = {name: value for name, value in given.items() if isinstance(value, str | int | float | None)}
    return {
        "granularity": reading.granularity,
        "read": reading.read,
        "workers": reading.workers,
        "rate": reading.rate,
        "keep_going": reading.keep_going,
        **plain,
        "listed": only is not None,
        "also": [aspect.option for aspect in job.aspects if aspect.option not in _SHOWN],
    }


def _found(spool: Spool | None) -> dict[str, Any]:
    """Count, bytes and digest of all differences, as the lines that -o jsonl prints."""
    from hashlib import sha256

    from blockdiff._fast import format_extents

    digest = sha256()
    template = line_template()
    for batch in spool or ():
        format_extents(batch, template, digest.update)
    count, total = (len(spool), spool.total()) if spool is not None else (0, 0)
    return {"count": count, "bytes": total, "sha256": digest.hexdigest()}


def _by_class(spool: Spool | None) -> dict[str, int]:
    from blockdiff.extent import Kind

    made: dict[str, int] = {}
    for batch in spool or ():
        for kind, total in batch.totals().items():
            made[Kind(kind).label] = made.get(Kind(kind).label, 0) + total
    return made
