"""Digests of devices that only Python can read, such as diffs laid over an image: read here, and digested here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Cancelled, Sums, xxh64_pair
from blockdiff.errors import DeviceError

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device

PIECE = 1 << 20


class ReadSums:
    """The digests of a device by its ``pread_into``. Any number of threads may ask; each reads by a clone."""

    parents: set[int] = set()  # noqa: RUF012 - it has none, ever
    failed: dict[int, int] = {}  # noqa: RUF012
    objects = operations = 0

    def __init__(self, device: Device, chunk: int, seeds: tuple[int, int]) -> None:
        self._device, self._chunk, self._seeds = device, chunk, seeds
        self._lock, self._read, self._cancelled = threading.Lock(), 0, False

    def sums(self, want: Extents, bit: int, other: Sums | None) -> Sums:
        """The digests of the wanted ranges, as far as the other side can be compared; what cannot be read has none."""
        sums = Sums(want, bit, self._chunk)
        device, buffer, index = self._device.clone(), memoryview(bytearray(max(PIECE, self._chunk))), 0
        try:
            for extent in want:
                count = extent.length // self._chunk
                if int(extent.kind) & bit:
                    self._digest(device, buffer, extent.offset, range(index, index + count), sums, other)
                index += count
        finally:
            device.close()
        return sums

    def _digest(
        self, device: Device, buffer: memoryview, offset: int, chunks: range, sums: Sums, other: Sums | None
    ) -> None:
        step = len(buffer) // self._chunk
        for first in range(chunks.start, chunks.stop, step):
            part = range(first, min(first + step, chunks.stop))
            if other is not None and all(other.lengths[index] < 0 for index in part):
                continue
            if self._cancelled:
                raise Cancelled
            self._piece(device, buffer, offset + (first - chunks.start) * self._chunk, part, sums, other)

    def _piece(
        self, device: Device, buffer: memoryview, offset: int, chunks: range, sums: Sums, other: Sums | None
    ) -> None:
        size = self._chunk
        try:
            device.pread_into(buffer[: len(chunks) * size], offset)
        except DeviceError:
            if len(chunks) > 1:
                for number, index in enumerate(chunks):
                    self._piece(device, buffer, offset + number * size, range(index, index + 1), sums, other)
            return
        with self._lock:
            self._read += len(chunks) * size
        for number, index in enumerate(chunks):
            data: Any = buffer[number * size : (number + 1) * size]
            theirs = size if other is None else other.lengths[index]
            length = theirs if 0 <= theirs < size and bytes(data[theirs:]) == bytes(size - theirs) else size
            if length:
                sums.values[2 * index], sums.values[2 * index + 1] = xxh64_pair(data[:length], self._seeds)
            sums.lengths[index] = length

    def check(self) -> None:
        """Nothing of it can vanish unseen."""

    def close(self) -> None:
        """Nothing was opened."""

    def cancel(self) -> None:
        """Ends what is under way, soon."""
        self._cancelled = True

    def bytes_read(self) -> dict[str, int]:
        """Bytes read so far, by path."""
        return {"buffered": self._read} if self._read else {}
