"""The metrics of a verify, and what is carried on from those of the run before it."""

from __future__ import annotations

import re
from typing import NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.metrics.exposition import Family, Sample, read, write

PREFIX = "blockdiff_verify_"
FALLBACKS = ("checksums-refused", "checksums-partial", "page-cache")
"""Why a run read more, or in another way, than it would have liked to; each is counted once a run."""
_BYTES, _FALLBACK, _SUCCESS = (
    f"{PREFIX}{name}" for name in ("bytes_total", "fallback_total", "last_success_timestamp_seconds")
)
_WRITTEN = ("bytes_total", "counter", "Bytes that were read and judged, or are known to be equal, of all runs.")

_BEGIN = f"# HELP {PREFIX}".encode()
_FOREIGN = re.compile(rb"^(?!" + PREFIX.encode() + rb")[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [0-9.eE+-]+$", re.MULTILINE)


class Run(NamedTuple):
    """A run that has ended. Times are seconds since 1970, bytes are bytes; None: not known, since it did not begin.

    ``settled``: read and judged, or known to be equal. ``mismatch``: found to differ. ``unverified``: bytes of the
    larger device of which this run can say nothing. ``oldest`` and ``never``: of a ledger,
    the age in seconds of what was verified longest ago, and the bytes that never were.
    """

    source: str
    target: str
    code: int
    ended: float
    identical: bool = False
    settled: int = 0
    mismatch: int | None = None
    unverified: int | None = None
    duration: float | None = None
    oldest: float | None = None
    never: int | None = None
    fallbacks: tuple[str, ...] = ()


class Past(NamedTuple):
    """What earlier runs left in the file: of which devices, and what counts on."""

    source: str = ""
    target: str = ""
    settled: float = 0.0
    success: float = 0.0
    fallbacks: dict[str, float] = {}  # noqa: RUF012 - never changed


def past(data: bytes) -> Past:
    """What a file of ours says. Raises InvalidInput where it is damaged, and where it is not ours (``is_ours``)."""
    try:
        found = read(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput(f"byte {error.start} is no UTF-8") from None
    sums, success = found.get(_BYTES, []), found.get(_SUCCESS, [])
    if len(sums) != 1 or len(success) != 1:
        raise InvalidInput("it lacks what counts on from run to run")
    labels = dict(sums[0].labels)
    if set(labels) != {"source", "target"} or dict(success[0].labels) != labels:
        raise InvalidInput("its labels are not source and target")
    fallbacks = {dict(sample.labels).get("reason", ""): sample.value for sample in found.get(_FALLBACK, [])}
    return Past(labels["source"], labels["target"], sums[0].value, success[0].value, fallbacks)


def is_ours(data: bytes) -> bool:
    """Whether a file, also a damaged one, is of metrics that we wrote, and of no others. An empty one is nobody's."""
    return not data or (data.startswith(_BEGIN) and _FOREIGN.search(data) is None)


def text(run: Run, before: Past) -> bytes:
    """The file after a run: what is known of it, and what counts on. A success is an exit code of 0."""
    labels = (("source", run.source), ("target", run.target))
    families = [_family(*_WRITTEN, labels, before.settled + run.settled)]
    for name, value, meaning in (
        ("mismatch_bytes", run.mismatch, "Bytes that the last run found to differ, and did not repair."),
        ("unverified_bytes", run.unverified, "Bytes of the larger device of which the last run can say nothing."),
        ("duration_seconds", run.duration, "How long the last run took."),
        ("oldest_unverified_age_seconds", run.oldest, "By the ledger: how long ago the oldest byte was verified."),
        ("never_verified_bytes", run.never, "By the ledger: bytes that were never verified."),
        ("identical", float(run.identical), "1 if the last run proved all that it was asked to compare identical."),
        ("exit_code", run.code, "Exit code of the last run: 0 identical or done, 1 different, 2 and more trouble."),
        ("last_run_timestamp_seconds", run.ended, "When the last run ended."),
        ("last_success_timestamp_seconds", run.ended if run.code == 0 else before.success,
         "When the last run ended that had exit code 0; 0 if none had."),
    ):  # fmt: skip
        families.append(_family(name, "gauge", meaning, labels, value))
    return write([*families, _fallbacks(run, before, labels)])


def _family(name: str, kind: str, meaning: str, labels: tuple[tuple[str, str], ...], value: float | None) -> Family:
    samples = () if value is None else (Sample(labels, value),)
    return Family(f"{PREFIX}{name}", kind, meaning, samples)


def _fallbacks(run: Run, before: Past, labels: tuple[tuple[str, str], ...]) -> Family:
    """Each reason that is known is there from the first run on, so that its first increase is seen."""
    samples = tuple(
        Sample((*labels, ("reason", reason)), before.fallbacks.get(reason, 0) + run.fallbacks.count(reason))
        for reason in FALLBACKS
    )
    return Family(_FALLBACK, "counter", "Runs that could not read as they would have liked to, by reason.", samples)
