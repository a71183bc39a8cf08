"""A list of blocks kept in a temporary file, because an audit walks it more than once."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, Self

from blockdiff.csi import wire
from blockdiff.engine.scratch import scratch_file
from blockdiff.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents
    from blockdiff.record import Record

_LENGTH = struct.Struct("<Q")


class Spool:
    """Takes the records of a stream; once it is done, each call gives the extents anew.

    ``granularity`` is the largest power of two that all boundaries share, except one at the capacity (0: no extents).
    The file has no name, so that nothing is left behind.
    """

    def __init__(self, progress: Any) -> None:
        self._file = scratch_file("blockdiff-metadata-")
        self._progress = progress
        self.records = self.ranges = self.bytes = self.capacity = self.granularity = self.end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(self, number: int, record: Record) -> None:
        """Keeps one record."""
        if number == 1:
            self.capacity = record.capacity
            self._progress.start("list", record.capacity)
        self.records = number
        extents = record.extents
        if not len(extents):
            return
        self.ranges += len(extents)
        self.bytes += extents.total()
        self.end = extents.end
        step = extents.granularity(limit=record.capacity or None)
        self.granularity = min(self.granularity or step, step)
        message = wire.encode(record)
        self._write(_LENGTH.pack(len(message)))
        self._write(message)

    def done(self, count: int) -> None:
        """The list is complete."""
        self._write(b"", flush=True)
        if count:
            self._progress.finish()

    def __call__(self) -> Iterator[Extents]:
        fd, at = self._file.fileno(), 0
        while head := os.pread(fd, _LENGTH.size, at):
            (length,) = _LENGTH.unpack(head)
            yield wire.decode(self._read(at + _LENGTH.size, length)).extents
            at += _LENGTH.size + length

    def _read(self, at: int, length: int) -> bytes:
        data = os.pread(self._file.fileno(), length, at)
        while len(data) < length:  # one read gives at most 2 GiB
            more = os.pread(self._file.fileno(), length - len(data), at + len(data))
            if not more:
                raise OutputError("the temporary file that holds the list was cut short")
            data += more
        return data

    def _write(self, data: bytes, *, flush: bool = False) -> None:
        try:
            self._file.write(data)
            if flush:
                self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot keep the list in a temporary file: {os.strerror(error.errno or 0)}") from error
