"""``verify --metrics``: how it went, for Prometheus."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Name
from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.errors import BlockdiffError, InvalidInput, OutputError

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport
    from blockdiff.metrics.run import Past, Run

OPTIONS = (
    click.option(
        "--metrics",
        type=Name(),
        metavar="FILE",
        help="Write metrics for the textfile collector of Prometheus' node_exporter, which reads NAME.prom.",
    ),
)
PROVED = ("hole", "shared", "osd-checksum")  # reasons to skip that say equal
_INTERRUPTED = 130
_MAX_BYTES = 1 << 20


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect, if it was asked for."""
    path = given.pop("metrics")
    if path == "-":
        raise click.UsageError("--metrics - does not go: stdout has the report; name a file")
    return MetricsWriting(path) if path is not None else None


class MetricsWriting(Aspect):
    """Writes the file when the exit code is known, also that of a run which failed or did not begin."""

    option = "--metrics"
    manifests = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._began = time.monotonic()
        self._refused = self._done = False

    def prepare(self, job: Job) -> None:
        from blockdiff.cli.streams import say

        self._refused = True
        if os.path.exists(self._path) and any(_is_file(self._path, name) for name in job.names):
            raise InvalidInput(f"{self._path} is to be compared, and is not replaced by metrics")
        self._check()
        self._refused = False
        if not self._path.endswith(".prom"):
            say(f"warning: node_exporter reads only files whose names end in .prom, and not {self._path}")

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        """A file that cannot count on is told in the report, while it can still be changed."""
        doubt = self._past((report.source.url, report.target.url))[1]
        if doubt:
            report.warnings.append(doubt)
        return []

    def exit_code(self, report: VerifyReport, code: int) -> int:
        sys.stdout.flush()  # what cannot be said is no success
        self._write(_run(report, code, time.monotonic() - self._began))
        return code

    def failed(self, job: Job | None, report: VerifyReport | None, error: BaseException) -> None:
        if self._refused or self._done or isinstance(error, click.UsageError):
            return  # words that do not go together are no run
        from blockdiff.cli.streams import say

        code = _code(error)
        try:
            if report is not None:
                run = _run(report, code, time.monotonic() - self._began)
            else:
                self._check()
                run = self._unbegun(code)
            self._write(run)
        except BlockdiffError as trouble:
            say(f"blockdiff: error: there are no metrics either: {trouble}")

    def _unbegun(self, code: int) -> Run:
        """Nothing was read: what is known is that it failed, and of what, from the file or as it was typed."""
        from blockdiff.metrics.run import Run

        known = self._past(None)[0]
        source, target = (known.source, known.target) if known.target else _typed()
        return Run(source, target, code, time.time())

    def _write(self, run: Run) -> None:
        from blockdiff.engine.placing import place_file
        from blockdiff.metrics.run import is_ours, text

        self._done = True
        if not is_ours(self._read()):  # it came after the run had begun
            raise OutputError(f"{self._path} is no file of metrics of blockdiff any more, and is not replaced")
        before = self._past((run.source, run.target))[0]
        place_file(self._path, text(run, before), mode=0o644, replace=True)

    def _check(self) -> None:
        """Raises InvalidInput, OutputError where the file could not be written, or is not of ours."""
        from blockdiff.engine.placing import check_place
        from blockdiff.metrics.run import is_ours

        check_place(self._path, replace=True)
        if not is_ours(self._read()):
            raise InvalidInput(f"{self._path} is no file of metrics of blockdiff, and is not replaced")

    def _past(self, names: tuple[str, str] | None) -> tuple[Past, str]:
        """What earlier runs of the devices left, and what casts doubt on it in words."""
        from blockdiff.metrics.run import Past, past

        data = self._read()
        if not data:
            return Past(), ""
        try:
            found = past(data)
        except InvalidInput as error:
            return Past(), f"{self._path} was damaged ({error}): counts and the last success begin anew"
        shown = _shown(*names) if names is not None else (found.source, found.target)
        if (found.source, found.target) == shown:
            return found, ""
        return Past(), (
            f"{self._path} was about {found.source} and {found.target}: counts and the last success begin anew "
            "(each pair of devices needs a file of its own)"
        )

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                return file.read(_MAX_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise OutputError(f"cannot read {self._path}: {os.strerror(error.errno or 0)}") from error


def _run(report: VerifyReport, code: int, duration: float) -> Run:
    """What the report says, in numbers."""
    from blockdiff.metrics.run import Run

    settled = report.bytes_compared + sum(report.skipped.get(reason, 0) for reason in PROVED)
    settled += report.bytes_by_class.get("size", 0)
    earlier = report.extra.get("checkpoint", {}).get("bytes_not_read_again", 0)  # counted by the run that read them
    largest = max(report.source.size, report.target.size)
    source, target = _shown(report.source.url, report.target.url)
    ledger = report.extra.get("ledger", {})
    return Run(
        source,
        target,
        code,
        time.time(),
        identical=code == 0 and report.identical,
        settled=max(0, settled - earlier),
        mismatch=_mismatch(report),
        unverified=max(0, largest - settled),
        duration=duration,
        oldest=ledger.get("oldest_age_seconds"),
        never=ledger.get("never_bytes"),
        fallbacks=tuple(_fallbacks(report)),
    )


def _mismatch(report: VerifyReport) -> int:
    """Bytes that differ now: after a repair those that it left."""
    repair = report.extra.get("repair", {})
    if repair and not repair.get("planned"):
        return int(repair.get("remaining_bytes", report.differing_bytes))
    return report.differing_bytes


def _fallbacks(report: VerifyReport) -> list[str]:
    """In what way the run could not read as it would have liked to."""
    reasons = {
        "checksums-refused": "method_refusal" in report.extra,
        "checksums-partial": bool(report.extra.get("fallback_bytes")),
        "page-cache": bool(report.source.note or report.target.note),
    }
    return [reason for reason, holds in reasons.items() if holds]


def _is_file(path: str, name: str) -> bool:
    return os.path.exists(name) and os.path.samefile(path, name)


def _typed() -> tuple[str, str]:
    """The devices as they were typed; empty where they were not."""
    context = click.get_current_context(silent=True)
    names = context.params.get("devices", ()) if context is not None else ()
    return _shown(" + ".join(names[:-1]), names[-1] if names else "")


def _shown(*names: str) -> tuple[str, str]:
    """Names as labels, without credentials."""
    from blockdiff.locator import without_credentials

    one, other = (without_credentials(name) for name in names)
    return one.encode(errors="surrogateescape").decode(errors="backslashreplace"), other.encode(
        errors="surrogateescape"
    ).decode(errors="backslashreplace")


def _code(error: BaseException) -> int:
    """The exit code that an error ends with."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _INTERRUPTED
    if isinstance(error, click.ClickException):
        return InvalidInput.exit_code
    return error.exit_code if isinstance(error, BlockdiffError) else BlockdiffError.exit_code
