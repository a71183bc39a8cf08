"""One verify of the command line, with all that it was asked to do besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.cli.reportwriter import differing, how_read
from blockdiff.engine.verify import Verification
from blockdiff.errors import BlockdiffError, DeviceError
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdiff._fast import Extents
    from blockdiff.cli.reportwriter import ReportWriter
    from blockdiff.cli.verifying.aspect import Aspect
    from blockdiff.engine.report import VerifyReport
    from blockdiff.engine.spool import Spool

UNREADABLE = DeviceError.exit_code


class Job:
    """Two open devices and how they are compared. Aspects may change ``comparing`` before anything is read.

    ``names``: as typed. ``comparing``: what the Verification is given. ``spool``: every difference, where an aspect
    wants them kept. ``limit``: rows that are written at most. ``compare`` makes what is run: a Verification, or what
    an aspect puts in its place, which is used like one.
    """

    def __init__(
        self,
        names: Sequence[str],
        source: Any,
        target: Any,
        comparing: dict[str, Any],
        aspects: Sequence[Aspect],
        *,
        writer: ReportWriter,
        progress: Any,
        limit: int | None = None,
        output: str = "human",
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        self.names, self.source, self.target = tuple(names), source, target
        self.comparing, self.aspects = comparing, aspects
        self.writer, self.progress, self.limit = writer, progress, limit
        self.output, self.quiet, self.verbose = output, quiet, verbose
        self.compare: Callable[..., Any] = Verification
        self.run: Any = None
        self.spool: Spool | None = None
        self._listed = 0

    @property
    def holds(self) -> bool:
        """Whether rows are written at the end only."""
        return any(aspect.holds for aspect in self.aspects)

    def execute(self) -> int:
        """Compares, does what else was asked for, writes the report; the exit code."""
        try:
            for aspect in self.aspects:
                aspect.prepare(self)
            self.run = self.compare(self.source, self.target, progress=self.progress, **self.comparing)
            self._stream()
            lines = [line for aspect in self.aspects for line in aspect.finish(self, self.run.report)]
            self._write_held()
        except (BlockdiffError, KeyboardInterrupt) as error:
            if self.run is not None:
                if not self._listed:  # what was found is told, also where it was to be looked at once more
                    self._write_held()
                for aspect in self.aspects:
                    aspect.cut_short(self.run.report)
                self.writer.trouble(self.run.report, error)
            raise
        self.writer.end(self.run.report, [*self._result(), *lines, *_warnings(self.run.report)])
        return self.exit_code()

    def _stream(self) -> None:
        """Hands the differences on as they come."""
        assert self.run is not None, "it was made"
        if any(aspect.keeps or aspect.holds for aspect in self.aspects):
            from blockdiff.engine.spool import Spool

            self.spool = Spool()
        for batch in self.run:
            if self.spool is not None:
                self.spool.add(batch)
            for aspect in self.aspects:
                aspect.found(batch)
            if not self.holds:
                self._write(batch)

    def _write(self, batch: Extents) -> None:
        shown = batch if self.limit is None else batch[: max(0, self.limit - self._listed)]
        self._listed += len(shown)
        if len(shown):
            self.writer.differences(shown)

    def _write_held(self) -> None:
        if self.holds and self.spool is not None:
            for batch in self.spool:
                self._write(batch)

    def exit_code(self) -> int:
        """0 identical, 1 different; trouble wins over both, and an aspect may know better."""
        assert self.run is not None, "it was made"
        code = exit_code(self.run.report)
        for aspect in self.aspects:
            code = aspect.exit_code(self.run.report, code)
        return code

    def _result(self) -> list[str]:
        assert self.run is not None, "it was made"
        report = self.run.report
        verdict = _verdict(report)
        for aspect in self.aspects:
            verdict = aspect.verdict(report, verdict)
        return [verdict, *how_read(report, verbose=self.verbose)]

    def close(self) -> None:
        """Forgets the differences."""
        if self.spool is not None:
            self.spool.close()


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


def _verdict(report: VerifyReport) -> str:
    if len(report.unreadable):
        found = f", and {differing(report)}" if report.difference_count else ""
        return f"UNREADABLE: {format_size(report.unreadable_bytes)} could not be read{found}"
    return _identical(report) if report.identical else f"different: {differing(report)}"


def _warnings(report: VerifyReport) -> list[str]:
    return [f"warning: {text}" for text in report.warnings]
