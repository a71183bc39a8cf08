"""A device in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.errors import DeviceError, InvalidInput, ShortRead

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryDevice:
    """A writable device whose bytes are a bytearray; clones see the same bytes. It has no descriptor.

    ``known`` is what ``extents`` tells, within ``[0, size)``; nothing: all is data.
    """

    def __init__(self, data: bytes | bytearray | int, *, url: str = "memory:", known: Extents | None = None) -> None:
        self.data = bytearray(data) if not isinstance(data, bytearray) else data
        self.url, self.size, self.block_size = url, len(self.data), 512
        self._known, self._open = known, True

    def pread_into(self, buffer: Any, offset: int) -> None:
        """Fills the buffer or raises ShortRead."""
        self._check("read")
        with memoryview(buffer) as whole, whole.cast("B") as view, memoryview(self.data) as data:
            found = data[offset : offset + len(view)]
            if len(found) < len(view):
                missing = len(view) - len(found)
                raise ShortRead(
                    "the memory ends", url=self.url, action="read", offset=offset + len(found), length=missing
                )
            view[:] = found

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """What ``known`` says; all that it leaves out is data."""
        self._check("map")
        end = self.size if length is None else start + length
        if start < end:
            whole = Extents([(start, end - start)])
            yield whole if self._known is None else self._known.clip(start, end).union(whole)

    def clone(self) -> MemoryDevice:
        """Another handle on the same bytes."""
        self._check("open")
        return MemoryDevice(self.data, url=self.url, known=self._known)

    def fileno(self) -> int | None:
        """The kernel knows nothing of it."""
        return None

    def close(self) -> None:
        """Every later use is an error."""
        self._open = False

    def pwrite(self, data: Any, offset: int) -> None:
        """Writes inside the size."""
        self._check("write")
        with memoryview(data) as whole, whole.cast("B") as view:
            if offset < 0 or offset + len(view) > self.size:
                raise InvalidInput(f"writing [{offset}, {offset + len(view)}) leaves {self.url}")
            self.data[offset : offset + len(view)] = view

    def zero(self, offset: int, length: int, *, punch: bool = True) -> None:
        """Zeroes; there are no holes in memory, so ``punch`` changes nothing."""
        del punch
        self.pwrite(bytes(length), offset)

    def flush(self) -> None:
        """Nothing to wait for."""
        self._check("flush")

    def _check(self, action: str) -> None:
        if not self._open:
            raise DeviceError("it is closed", url=self.url, action=action)
