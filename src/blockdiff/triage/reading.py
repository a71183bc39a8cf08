"""Reading a device for triage: a few bytes at a time, past the page cache where that may be out of date."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

from blockdiff.errors import DeviceError

if TYPE_CHECKING:
    from blockdiff.engine.device import Device


class Reading:
    """Bytes of a device. Block devices are read by O_DIRECT, as verify does: their page cache may be stale."""

    def __init__(self, device: Device) -> None:
        self.device, self.url, self.size = device, device.url, device.size
        kernel: Any = device
        fd = kernel.direct_fileno() if getattr(device, "is_block", False) and device.fileno() is not None else None
        self._direct = -1 if fd is None else fd
        self._align = kernel.offset_align if fd is not None else 1

    def read(self, offset: int, length: int) -> bytes:
        """The bytes, fewer where the device ends before. Raises DeviceError."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        if self._direct >= 0:
            found = self._read_direct(offset, length)
            if found is not None:
                return found
        buffer = bytearray(length)
        self.device.pread_into(buffer, offset)
        return bytes(buffer)

    def _read_direct(self, offset: int, length: int) -> bytes | None:
        """None where O_DIRECT gives less than it should, such as at an odd end."""
        start = offset // self._align * self._align
        end = min(-(-(offset + length) // self._align) * self._align, self.size)
        with mmap.mmap(-1, end - start) as pages, memoryview(pages) as view:
            try:
                done = os.preadv(self._direct, [view], start)
            except OSError as error:
                raise DeviceError(
                    url=self.url, action="read", offset=offset, length=length, errno=error.errno
                ) from error
            return bytes(view[offset - start : offset - start + length]) if done == end - start else None
