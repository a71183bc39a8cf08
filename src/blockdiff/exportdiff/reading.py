"""Reads the data of extents in order; of devices without a descriptor several pieces at once."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from blockdiff.exportdiff.form import MAX_RECORD
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device

    Part = tuple[int, int, memoryview | None]
    """Offset, length, and the data; None for zeroes. The data holds until the next part is asked for."""

DEPTH = 8  # pieces of 4 MiB in flight where each is a round trip to somewhere


class DataReader:
    """Reads a device for one consumer. ``close`` gives back the clones; the device itself stays open."""

    def __init__(self, device: Device, *, depth: int = DEPTH) -> None:
        self._device, self._depth = device, depth
        self._buffer = memoryview(bytearray(MAX_RECORD))
        self._pool: Any = None
        self._clones: list[Device] = []
        self._idle: SimpleQueue[tuple[Device, memoryview]] = SimpleQueue()

    def parts(self, extents: Extents) -> Iterator[Part]:
        """The extents in order: data in pieces of at most 4 MiB, cut where multiples of that are, zeroes whole."""
        pieces = _pieces(extents)
        if self._device.fileno() is not None or (len(extents) == 1 and extents.total() <= MAX_RECORD):
            return self._one_by_one(pieces)
        return self._at_once(pieces)

    def _one_by_one(self, pieces: Iterator[tuple[int, int, bool]]) -> Iterator[Part]:
        for offset, length, zero in pieces:
            view = None
            if not zero:
                view = self._buffer[:length]
                self._device.pread_into(view, offset)
            yield offset, length, view

    def _at_once(self, pieces: Iterator[tuple[int, int, bool]]) -> Iterator[Part]:
        self._start()
        waiting: deque[tuple[int, int, Any]] = deque()
        under_way = 0
        for offset, length, zero in pieces:
            if under_way == self._depth or len(waiting) > 1024:
                while waiting:
                    under_way -= waiting[0][2] is not None
                    yield from self._finish(*waiting.popleft())
                    if under_way < self._depth:
                        break
            under_way += not zero
            waiting.append((offset, length, None if zero else self._pool.submit(self._read, offset, length)))
        while waiting:
            yield from self._finish(*waiting.popleft())

    def _start(self) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._depth)
            for _ in range(self._depth):
                self._clones.append(self._device.clone())
                self._idle.put((self._clones[-1], memoryview(bytearray(MAX_RECORD))))

    def _read(self, offset: int, length: int) -> tuple[Device, memoryview]:
        device, buffer = self._idle.get()
        try:
            device.pread_into(buffer[:length], offset)
        except BaseException:
            self._idle.put((device, buffer))
            raise
        return device, buffer

    def _finish(self, offset: int, length: int, read: Any) -> Iterator[Part]:
        if read is None:
            yield offset, length, None
            return
        device, buffer = read.result()
        try:
            yield offset, length, buffer[:length]
        finally:
            self._idle.put((device, buffer))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for clone in self._clones:
            clone.close()


def _pieces(extents: Extents) -> Iterator[tuple[int, int, bool]]:
    for offset, length, kind in extents:
        if kind in (Kind.ZERO, Kind.HOLE):
            yield offset, length, True
            continue
        at, end = offset, offset + length
        while at < end:
            stop = min(end, (at // MAX_RECORD + 1) * MAX_RECORD)
            yield at, stop - at, False
            at = stop
