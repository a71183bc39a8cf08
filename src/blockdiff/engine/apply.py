"""Copies listed ranges from one device to another as the list comes, many small ones at a time.

``Copy`` is given a whole list; this is for who is handed one batch after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from blockdiff import _fast
from blockdiff._fast import SEG_COPY, Extents, ReadFailed
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.reader import make_reader, translate
from blockdiff.engine.stream import concatenate
from blockdiff.engine.verify import refuse_same
from blockdiff.engine.workers import INLINE

if TYPE_CHECKING:
    from blockdiff.engine.device import Device, WritableDevice

MAX_EXTENTS = 65536  # held back at most, 1.5 MiB; so that a batch of a few does not cost a call each
MAX_BYTES = 32 << 20


class Application:
    """Makes ranges of ``target`` equal to those of ``source``. Memory is bounded whatever is listed.

    Ranges are written in the order in which they come, but not at once: ``finish()`` writes what is held back and
    returns when all is on stable storage; an error may belong to any range added before. Both devices must reach to the
    end of every range. Raises InvalidInput (both are one device), DeviceError (where).
    """

    def __init__(self, source: Device, target: WritableDevice) -> None:
        refuse_same(source, target)
        self._source, self._target = source, target
        self._reader: Any = None
        self._held: list[Extents] = []
        self._count = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def applied_bytes(self) -> int:
        """Bytes written so far."""
        return self._reader.written if self._reader is not None else 0

    def add(self, extents: Extents) -> None:
        """Takes ranges; their kinds do not matter."""
        if not len(extents):
            return
        if self._held and extents.start < self._held[-1].end:
            self._write()
        self._held.append(extents)
        self._count += len(extents)
        self._bytes += extents.total()
        if self._count >= MAX_EXTENTS or self._bytes >= MAX_BYTES:
            self._write()

    def finish(self) -> None:
        """Writes what is held back and makes all durable."""
        self._write()
        self._target.flush()

    def close(self) -> None:
        """Gives the buffers back. What was held back is not written."""
        self._held.clear()
        if self._reader is not None:
            self._reader.close()

    def _write(self) -> None:
        held, self._held = self._held, []
        self._count = self._bytes = 0
        if not held:
            return
        if self._reader is None:
            self._reader = make_reader(self._source, None, ReadOptions(), 1, writer=self._target)
        plan = concatenate(held).with_kind(SEG_COPY)  # also joins neighbours
        try:
            for task in _fast.split_plan(plan, INLINE):
                self._reader.run(task)
        except ReadFailed as error:
            raise translate(error, self._source, self._target) from error
