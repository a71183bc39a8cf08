"""Writes data to a device; where each request is a round trip to somewhere, several at once."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from blockdiff._fast import SEG_MAP, judge_buffers
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from blockdiff.engine.device import WritableDevice

PIECE = 1 << 20
FAR_PIECE, FAR_DEPTH = 4 << 20, 8  # an object of RBD, and 32 MiB of buffers
MAX_WAITING = 256
SPARSE = 64 << 10  # blocks of zeroes in data that are worth a hole


class DataWriter:
    """``buffer`` gives memory to fill, ``write`` sends what was filled, ``settle`` waits until all is written.

    What is under way must not overlap. ``copied`` and ``zeroed`` are bytes, final after ``settle``.
    """

    def __init__(self, device: WritableDevice) -> None:
        self._device = device
        self._far = getattr(device, "driver", None) is not None
        self.piece = FAR_PIECE if self._far else PIECE
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._missing = FAR_DEPTH if self._far else 1
        self._under_way: deque[Any] = deque()
        self._pool: Any = None
        self.copied = self.zeroed = 0

    def buffer(self, offset: int, length: int) -> memoryview:
        """Memory for the first part of ``[offset, offset + length)``, cut where a piece ends."""
        while self._under_way and (self._under_way[0].done() or (self._free.empty() and not self._missing)):
            self._collect()
        if self._free.empty() and self._missing:
            self._missing -= 1
            self._free.put(memoryview(bytearray(self.piece)))
        return self._free.get()[: min(length, self.piece - offset % self.piece)]

    def write(self, view: memoryview, offset: int) -> None:
        """Writes what ``buffer`` gave; whole blocks of zeroes in it become holes."""
        if not self._far:
            self._count(*self._put(self._device, view, offset))
            return
        self._submit(self._put, self._device, view, offset)

    def zero(self, offset: int, length: int) -> None:
        """Makes a range read as zeroes."""
        if self._far:
            self._submit(self._zero, offset, length)
        else:
            self._count(*self._zero(offset, length))

    def settle(self) -> None:
        """Returns when all is written; the first error is raised."""
        while self._under_way:
            self._collect()

    def close(self) -> None:
        """Lets nothing new begin, and waits for what has begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _submit(self, *call: Any) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(FAR_DEPTH)
        while len(self._under_way) >= MAX_WAITING:
            self._collect()
        self._under_way.append(self._pool.submit(*call))

    def _zero(self, offset: int, length: int) -> tuple[int, int]:
        self._device.zero(offset, length)
        return 0, length

    def _collect(self) -> None:
        self._count(*self._under_way.popleft().result())

    def _count(self, copied: int, zeroed: int) -> None:
        self.copied += copied
        self.zeroed += zeroed

    def _put(self, device: WritableDevice, view: memoryview, offset: int) -> tuple[int, int]:
        copied = zeroed = 0
        try:
            for start, length, kind in judge_buffers(SEG_MAP, view, None, offset, granularity=SPARSE):
                if kind == Kind.ZERO:
                    device.zero(start, length)
                    zeroed += length
                else:
                    device.pwrite(view[start - offset : start - offset + length], start)
                    copied += length
        finally:
            self._free.put(memoryview(view.obj))
        return copied, zeroed
