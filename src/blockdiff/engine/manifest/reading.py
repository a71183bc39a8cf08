"""Readers that digest: the native one, this module's for devices without a descriptor, and one that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import SEG_SKIP_HOLE, Cancelled, Extents, ReadFailed, digest_buffer
from blockdiff.engine.reader import CHUNK, is_native, make_reader, refuse_read
from blockdiff.errors import DeviceError, ShortRead

if TYPE_CHECKING:
    from blockdiff._fast import Digester
    from blockdiff.engine.device import Device
    from blockdiff.engine.manifest.algorithm import Hasher
    from blockdiff.engine.options import ReadOptions

    Digested = tuple[Extents, bytes]
    """Extents of data and zero, and a digest for each of their blocks."""


def make_digest_reader(device: Device, hasher: Hasher, options: ReadOptions, workers: int, end: int) -> Any:
    """A reader for one worker, whose ``run(task)`` gives ``(Digested, unreadable)``. ``end``: of the last block.

    The options' granularity is the block size.
    """
    reader: Any
    if is_native(device):
        plain = options.copy(keep_going=False)
        reader = make_reader(device, None, plain, workers, digester=hasher.digester(end))
    else:
        if options.read in ("direct", "mmap"):
            refuse_read(options.read, device)
        reader = _BufferDigests(device.clone(), hasher.digester(end), hasher.block_size)
    return _Going(reader, hasher) if options.keep_going else reader


class _BufferDigests:
    """Reads a device that has no descriptor into a buffer, chunk by chunk. The device is its own."""

    def __init__(self, device: Device, digester: Digester, block: int) -> None:
        self._device, self._digester, self._block = device, digester, block
        self._chunk = max(CHUNK, block)
        self._buffer = bytearray(self._chunk)
        self._cancelled = False
        self.compared = 0

    def cancel(self) -> None:
        self._cancelled = True

    def bytes_read(self, side: int) -> dict[str, int]:
        return {} if side or not self.compared else {"buffered": self.compared}

    def direct_errno(self, _side: int) -> int:
        return 0

    def close(self) -> None:
        self._device.close()

    def run(self, task: Extents) -> tuple[Digested, Extents]:
        kinds: list[tuple[int, int, int]] = []
        parts: list[bytes] = []
        for offset, length, _ in task:
            for at in range(offset, offset + length, self._chunk):
                found, digests = self._digest(at, min(self._chunk, offset + length - at))
                kinds += [(e.offset, e.length, int(e.kind)) for e in found]
                parts.append(digests)
        return (Extents(kinds), b"".join(parts)), Extents()

    def _digest(self, offset: int, length: int) -> Digested:
        if self._cancelled:
            raise Cancelled
        view = memoryview(self._buffer)[:length]
        try:
            self._device.pread_into(view, offset)
        except ShortRead as error:
            raise ReadFailed(0, offset, length, 0, False) from error
        self.compared += length
        return digest_buffer(self._digester, view, offset, self._block)


class _Going:
    """Goes on after a block that cannot be read: it has no digest, and is told as unreadable."""

    def __init__(self, reader: Any, hasher: Hasher) -> None:
        self._reader, self._hasher = reader, hasher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def run(self, task: Extents) -> tuple[Digested, Extents]:
        try:
            found: tuple[Digested, Extents] = self._reader.run(task)
        except (ReadFailed, DeviceError):
            return self._singly(task)
        return found

    def _singly(self, task: Extents) -> tuple[Digested, Extents]:
        block, kinds, parts, bad = self._hasher.block_size, [], [], []
        for offset, length, kind in task:
            if int(kind) & 7 == SEG_SKIP_HOLE:
                continue
            for at in range(offset, offset + length, block):
                size = min(block, offset + length - at)
                try:
                    (found, digest), _ = self._reader.run(Extents([(at, size, int(kind))]))
                except (ReadFailed, DeviceError) as error:
                    if isinstance(error, ReadFailed) and not error.errno:
                        raise  # the device ended early: nothing can be said about the rest
                    found, digest = Extents([(at, size)]), bytes(self._hasher.size)
                    bad.append((at, size, 1))
                kinds += [(e.offset, e.length, int(e.kind)) for e in found]
                parts.append(digest)
        return (Extents(kinds), b"".join(parts)), Extents(bad)
