"""A stream of records that outlives the calls that bring it."""

from __future__ import annotations

import random
import time
from contextlib import closing
from typing import TYPE_CHECKING, Self

from blockdiff.csi.errors import CallError, StatusError
from blockdiff.csi.stream import clipped, tuples_after
from blockdiff.csi.tlscheck import is_of_connection
from blockdiff.csi.transient import advice, is_transient
from blockdiff.engine.source import ordered
from blockdiff.errors import OutOfOrder
from blockdiff.record import BlockMetadataType

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from blockdiff.csi.tlscheck import Finding
    from blockdiff.errors import BlockdiffError
    from blockdiff.record import Record

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds
_TOP = (1 << 63) - 1


def _no_other_token(*, used: bool) -> bool:  # noqa: ARG001
    return False


class ResumingStream:
    """Iterate it for records; where a call breaks, another one goes on at the end of the last range that came.

    ``attempt(start)`` is one call, from an offset in bytes, as a generator of records that raises StatusError. What
    comes is checked across the breaks: order, overlap, type and capacity (OutOfOrder). What begins before ``start`` is
    cut. Only the clean end of a call ends the stream.

    ``retries`` attempts in a row may bring nothing new, with growing pauses; 0 never tries again. ``renew(used=...)``
    is asked for another token when one was refused, ``explain()`` why there is no connection. ``on_resume(error,
    offset, attempt)`` is told of each break, ``resumes`` counts them. CallError when it is given up; it names ``call``.
    """

    def __init__(
        self,
        attempt: Callable[[int], Generator[Record]],
        *,
        call: str,
        start: int = 0,
        retries: int = 5,
        renew: Callable[..., bool] = _no_other_token,
        explain: Callable[[], Finding | None] = lambda: None,
        on_resume: Callable[[BlockdiffError, int, int], object] | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._attempt, self._call, self._retries = attempt, call, retries
        self._renew, self._explain, self._on_resume, self._pause = renew, explain, on_resume, pause
        self._first: Record | None = None
        self.resume_offset = start
        self.resumes = 0
        self._joined = self._all_attempts()
        self._records: Iterator[Record] = clipped(ordered(self._joined), start)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        return next(self._records)

    def close(self) -> None:
        """Cancels the call."""
        self._joined.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _all_attempts(self) -> Generator[Record]:
        failures = 0
        while True:
            before = self.resume_offset
            try:
                yield from self._one_attempt(before)
            except StatusError as status:
                if status.code == "OUT_OF_RANGE" and self._is_at_end(before):
                    return
                progressed = self.resume_offset > before
                failures = 1 if progressed else failures + 1
                error = self._judged(status, progressed=progressed, failures=failures)
            else:
                return
            self.resumes += 1
            if self._on_resume is not None:
                self._on_resume(error, self.resume_offset, failures)
            self._pause(pause_after(failures))

    def _is_at_end(self, offset: int) -> bool:
        """True when the call broke after the last range of the volume: there is nothing to go on with, servers say."""
        return self._first is not None and offset >= self._first.capacity > 0

    def _one_attempt(self, start: int) -> Generator[Record]:
        again = self._first is not None
        with closing(self._attempt(start)) as records:
            for record in ordered(records):
                new = self._after_break(record, start) if again else record
                self._first = self._first or new
                if len(new.extents):
                    self.resume_offset = max(self.resume_offset, new.extents.end)
                elif again:
                    continue
                yield new

    def _after_break(self, record: Record, start: int) -> Record:
        """What is new in a record; a range that begins before the break is cut there, if its length may change."""
        first = self._first
        if first is not None and (record.type, record.capacity) != (first.type, first.capacity):
            raise OutOfOrder(
                f"after the stream was taken up again at {start}, type and capacity are {record.type.name} and "
                f"{record.capacity}, before {first.type.name} and {first.capacity}: is it another volume?"
            )
        extents = tuples_after(record.extents, start)
        if record.type != BlockMetadataType.FIXED_LENGTH and len(extents) and extents.start < start:
            extents = extents.clip(start, _TOP)
        return record._replace(extents=extents)

    def _judged(self, status: StatusError, *, progressed: bool, failures: int) -> CallError:
        """The error to tell of and go on after; raises it if there is no going on."""
        transient, explained = is_transient(status, progressed=progressed), advice(status, self._call)
        if status.code == "UNAUTHENTICATED":
            transient = self._renew(used=progressed)
        connected = True
        if status.code == "UNAVAILABLE" and not progressed and is_of_connection(status.details):
            connected = False
            finding = self._explain()
            if finding is not None:
                explained, transient = finding.text, transient and not finding.permanent
        name = self._call if not connected and self._first is None else f"{self._call}.Recv"
        error = CallError(name, status, explained=explained, resume_offset=self.resume_offset, retryable=transient)
        if not transient or failures > self._retries or not self._retries:
            raise error from None
        return error


def pause_after(failures: int) -> float:
    """Seconds to wait after so many attempts in a row; spread, so that not all clients come back at once."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failures - 1)) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
