"""Reports on stdout: the differences as they are found, then the result. Nothing is kept in memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Template, format_extents
from blockdiff.engine.report import UNREADABLE_SIDES
from blockdiff.extent import Kind
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.engine.report import VerifyReport

FINDINGS = [kind for kind in Kind if kind >= Kind.DIFF_DATA]


def json_template() -> Template:
    """A difference as an item of a JSON list or a JSON line."""
    return Template(
        {k: (b'{"offset":', b',"length":', b',"class":"%s"}' % k.label.encode()) for k in FINDINGS}, separator=b","
    )


def line_template() -> Template:
    """A difference as a line of JSON."""
    return Template({k: (b'{"offset":', b',"length":', b',"class":"%s"}\n' % k.label.encode()) for k in FINDINGS})


def row_template() -> Template:
    """A difference as a row for people and for awk."""
    return Template({k: (b"", b" ", b"  %s\n" % k.label.encode()) for k in FINDINGS}, widths=(16, 14))


HEADER = b"          Offset         Length  Class\n"


def write(data: bytes) -> None:
    """To stdout, past its text layer."""
    sys.stdout.buffer.write(data)


class ReportWriter:
    """``differences`` is given batches, ``end`` the report; ``trouble`` ends a report that an error cut short.

    ``key`` names the list of ranges in JSON.
    """

    def __init__(self, progress: Any, *, key: str = "differences") -> None:
        self._progress, self._key = progress, key

    def differences(self, batch: Extents) -> None:
        self._progress.differing += batch.total()
        self._progress.pause()
        self._rows(batch)

    def _rows(self, batch: Extents) -> None:
        pass

    def end(self, report: VerifyReport, lines: list[str]) -> None:
        """``lines`` are the command's result for people."""

    def trouble(self, report: VerifyReport, error: BaseException) -> None:
        pass


class TableWriter(ReportWriter):
    """Rows, nothing else."""

    _template: Template | None = None

    def _rows(self, batch: Extents) -> None:
        if self._template is None:
            self._template = row_template()
            write(HEADER)
        format_extents(batch, self._template, write)
        sys.stdout.buffer.flush()


class HumanWriter(TableWriter):
    """Rows and a summary."""

    def end(self, report: VerifyReport, lines: list[str]) -> None:
        for extent in report.unreadable:
            side = UNREADABLE_SIDES[int(extent.kind)]
            write(f"{extent.offset:16} {extent.length:14}  unreadable ({side})\n".encode())
        for line in lines:
            write(line.encode(errors="surrogateescape") + b"\n")


class JsonWriter(ReportWriter):
    """One object. The list of ranges is written as it grows, so the result's other keys follow it."""

    _template: Template | None = None

    def _open(self, batch: Extents | None = None) -> None:
        if self._template is None:
            write(b'{"schema_version":1,"%s":[' % self._key.encode())
            self._template = json_template()
            if batch is not None:
                format_extents(batch, self._template, write)
        elif batch is not None:
            format_extents(batch, self._template, write, first=False)

    def _rows(self, batch: Extents) -> None:
        self._open(batch)

    def end(self, report: VerifyReport, lines: list[str]) -> None:
        self._close(report.summary_dict())

    def trouble(self, report: VerifyReport, error: BaseException) -> None:
        self._close(cut_short(report, error))

    def _close(self, rest: dict[str, Any]) -> None:
        self._open()
        rest.pop("schema_version")
        write(b"]," + encode(rest)[1:] + b"\n")


class JsonlWriter(ReportWriter):
    """A difference a line, as found; the report, without the list, is the last line."""

    _template: Template | None = None

    def _rows(self, batch: Extents) -> None:
        self._template = self._template or line_template()
        format_extents(batch, self._template, write)
        sys.stdout.buffer.flush()

    def end(self, report: VerifyReport, lines: list[str]) -> None:
        write(encode(report.summary_dict()) + b"\n")

    def trouble(self, report: VerifyReport, error: BaseException) -> None:
        write(encode(cut_short(report, error)) + b"\n")


class QuietWriter(ReportWriter):
    """The exit code says it."""


def cut_short(report: VerifyReport, error: BaseException) -> dict[str, Any]:
    """The report of a run that an error or Ctrl-C ended."""
    return {**report.summary_dict(), "identical": False, "complete": False, "error": str(error) or "interrupted"}


def make_writer(output: str, progress: Any, *, quiet: bool, key: str = "differences") -> ReportWriter:
    """The writer that ``-o`` asks for."""
    if quiet and output in ("human", "table"):
        return QuietWriter(progress)
    kinds = {"human": HumanWriter, "table": TableWriter, "json": JsonWriter, "jsonl": JsonlWriter}
    return kinds[output](progress, key=key)


def encode(value: Any) -> bytes:
    """JSON of plain values; names that are not UTF-8 are written with replacement characters."""
    import msgspec

    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(value).encode()


def how_read(report: VerifyReport, *, verbose: bool) -> list[str]:
    """How the bytes were come by: what was read, skipped and why, and how fast."""
    source, target = report.source, report.target
    skipped = ", ".join(f"{format_size(count)} ({reason})" for reason, count in report.skipped.items())
    lines = [
        f"read {format_size(report.bytes_read)} (source {source.read_path}, target {target.read_path})"
        + (f", skipped {skipped}" if skipped else "")
        + f", method {report.method}, in {report.elapsed_seconds:.2f} s"
        + (f": {format_size(report.bytes_per_second)}/s" if report.elapsed_seconds > 0 else "")
    ]
    lines += report.extra.get("fallback_reasons", [])
    if "method_refusal" in report.extra:
        lines.append(f"not by checksums: {report.extra['method_refusal']}")
    lines += [f"{side.url}: read through the page cache: {side.note}" for side in (source, target) if side.note]
    lines += [f"{side.url} is made of {', '.join(side.made_of)}" for side in (source, target) if side.made_of]
    if verbose:
        lines.append(f"granularity {report.granularity}, {report.workers} workers")
        for side in (source, target):
            paths = ", ".join(f"{path} {format_size(count)}" for path, count in side.bytes_by_path.items())
            lines.append(f"{side.url}: {side.size} bytes, read {paths or 'nothing'}")
    return lines


def differing(report: VerifyReport) -> str:
    """The sums of the differences, by class."""
    classes = ", ".join(f"{label} {format_size(count)}" for label, count in report.bytes_by_class.items())
    ranges = "1 range" if report.difference_count == 1 else f"{report.difference_count:,} ranges"
    return f"{ranges}, {report.differing_bytes:,} bytes differ ({classes})"
