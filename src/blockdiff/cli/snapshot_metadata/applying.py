"""Checks a list of blocks by applying it to a target, as the original's verifier does."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from blockdiff.csi.verifier import VerifierEmitter, refuse_part
from blockdiff.engine.registry import open_device
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.errors import InvalidInput
from blockdiff.locator import parse_locator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.cli.reportwriter import ReportWriter
    from blockdiff.engine.options import ReadOptions
    from blockdiff.record import Record

ZERO_STEP = 1 << 30  # bytes between two steps of the progress


class Applying:
    """An emitter that writes listed ranges to the target and at the end compares the two devices.

    With ``from_scratch`` the target is made all zero first, and made where it is missing: a file. Nothing is written
    before the first record has come and been checked. Raises InvalidInput, DeviceBusy, DeviceError, and
    ContentsDoNotMatch by ``done``; ``report`` is what was found, or how far it came.
    """

    def __init__(
        self, source: str, target: str, *, from_scratch: bool, force: bool, options: ReadOptions, progress: Any
    ) -> None:
        self._scratch, self._options, self._progress = from_scratch, options, progress
        self._force, self._name = force, target
        self._writer: ReportWriter | None = None
        self._verifier: VerifierEmitter | None = None
        self._target: Any = None
        self._started = False
        self.records = self.ranges = self.bytes = self.capacity = 0
        with ExitStack() as stack:
            self._source: Any = open_device(source)
            stack.callback(self._source.close)
            if not (from_scratch and _missing(target)):
                stack.callback(self._open_target().close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, writer: ReportWriter) -> None:
        """Differences go to this writer as they are found."""
        self._writer = writer

    @property
    def mode(self) -> str:
        """How the list is checked."""
        return "from-scratch" if self._scratch else "apply"

    @property
    def applied_bytes(self) -> int:
        """Bytes of the list written so far."""
        return 0 if self._verifier is None else self._verifier.applied_bytes

    @property
    def report(self) -> VerifyReport:
        """The comparison's, or one that says that nothing was compared."""
        report = None if self._verifier is None else self._verifier.report
        if report is None:
            target = self._target
            sides = (
                Side(self._source.url, self._source.size),
                Side(self._name if target is None else target.url, 0 if target is None else target.size),
            )
            report = VerifyReport("verify", *sides, "content", self._options.granularity)
        return report

    def record(self, number: int, record: Record) -> None:
        """Checks and applies one record."""
        if number == 1:
            self._first(record)
        self.records = number
        self.ranges += len(record.extents)
        self.bytes += record.extents.total()
        if self._verifier is not None:
            self._verifier.record(number, record)

    def advance(self, offset: int, _capacity: int) -> None:
        """The list has come to this byte of the volume."""
        self._progress.advance(offset)

    def done(self, count: int) -> None:
        """Compares the devices."""
        if not count:
            self._begin()
        if self._started:
            self._progress.finish()
        if self._verifier is not None:
            self._verifier.done(count)

    def _first(self, record: Record) -> None:
        self.capacity = record.capacity
        refuse_part(self._source, record.capacity)
        if self._scratch:
            for device in (self._source, self._target):
                if device is not None and record.extents.end > device.size:
                    raise InvalidInput(
                        f"the list names a range that ends at {record.extents.end}, and {device.url} has {device.size} "
                        "bytes: is it the right volume?"
                    )
        self._begin()
        self._progress.start("apply", record.capacity)
        self._started = True

    def _begin(self) -> None:
        """The first write, if any, is here: all is known to be right."""
        if self._target is None:
            self._stack.callback(self._open_target().close)
        elif self._scratch:
            self._zero()
        show = None if self._writer is None else self._writer.differences
        self._verifier = VerifierEmitter(
            self._source, self._target, options=self._options, progress=self._progress, on_differences=show
        )
        self._stack.callback(self._verifier.close)

    def _open_target(self) -> Any:
        size = {"create_size": self._source.size} if self._scratch else {}
        self._target = open_device(self._name, writable=True, force=self._force, **size)
        try:
            refuse_same(self._source, self._target)
        except BaseException:
            self._target.close()
            raise
        return self._target

    def _zero(self) -> None:
        target = self._target
        if not getattr(target, "is_block", True) and target.size != self._source.size:
            target.resize(self._source.size)
        self._progress.start("zero", target.size)
        for start, length in _steps(target.size):
            target.zero(start, length)
            self._progress.advance(start + length)
        self._progress.finish()


def refuse_same(source: Any, target: Any) -> None:
    """DeviceBusy when writing the target would change the source."""
    refuse = getattr(target, "refuse_if_same", None)
    if refuse is not None:
        refuse(source)


def _steps(size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(ZERO_STEP, size - start)) for start in range(0, size, ZERO_STEP))


def _missing(name: str) -> bool:
    locator = parse_locator(name)
    return locator.scheme == "file" and not os.path.lexists(locator.rest)
