"""A stream of records as an export-diff, with the data of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import SEG_MAP, judge_buffers
from blockdiff.engine.output import Output
from blockdiff.errors import InvalidInput, OutOfOrder
from blockdiff.exportdiff.form import Header
from blockdiff.exportdiff.reading import DataReader
from blockdiff.exportdiff.writer import Writer, checked_name, refuse_terminal
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.engine.device import Device
    from blockdiff.record import Record

GRANULARITY = 4096


class ExportDiffEmitter:
    """Writes the listed ranges of ``device`` as ``rbd diff v1``; blocks of zeroes become records of zeroes.

    ``from_name`` is the snapshot that the records are changes from (None: from nothing, they are all of the image),
    ``to_name`` the one that ``rbd import-diff`` makes afterwards (by default the one that the device is; "": none).
    Refuses to write to a terminal. A stream that ``done`` did not finish has no end: no reader takes it for whole.
    """

    def __init__(
        self, out: BinaryIO, device: Device, *, from_name: str | None = None, to_name: str | None = None
    ) -> None:
        refuse_terminal(out)
        if from_name == "":
            raise InvalidInput("the name of the base is empty: the changes would be taken for a whole image")
        if to_name is None:
            to_name = getattr(device, "snapshot", "")
        names = checked_name(from_name, "the name of the base"), checked_name(to_name, "the name of the target")
        self._out, self._device = Output(out), device
        self._header = Header(*names, device.size)
        self._writer: Writer | None = None
        self._reader = DataReader(device)

    @property
    def data_bytes(self) -> int:
        """Bytes of data written so far."""
        return self._writer.data_bytes if self._writer else 0

    @property
    def zero_bytes(self) -> int:
        """Bytes told to be zero so far."""
        return self._writer.zero_bytes if self._writer else 0

    def record(self, number: int, record: Record) -> None:
        """Writes the data of a record's extents."""
        writer = self._begun()
        if record.capacity not in (0, self._device.size):
            raise OutOfOrder(f"record {number} is of {record.capacity} bytes, the device of {self._device.size}")
        for offset, length, view in self._reader.parts(record.extents):
            if view is None:
                writer.zero(offset, length)
                continue
            for start, count, kind in judge_buffers(SEG_MAP, view, None, offset, granularity=GRANULARITY):
                if kind == Kind.ZERO:
                    writer.zero(start, count)
                else:
                    writer.data(start, view[start - offset : start - offset + count])

    def done(self, count: int) -> None:
        """Ends the stream: now it is whole."""
        self._begun().end()

    def close(self) -> None:
        """Gives back what reading needed; the device stays open."""
        self._reader.close()

    def _begun(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._out, self._header)
        return self._writer
