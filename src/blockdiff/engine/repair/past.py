"""Reads a few ranges as the storage holds them, not as the page cache remembers them."""

from __future__ import annotations

import errno
import mmap
import os
from typing import Any

_REFUSED = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class Reading:
    """Reads of a device by O_DIRECT where that works: always with ``past_cache``, else of block devices only.

    A block device's own page cache may be out of date: file systems and other machines write past it.
    """

    def __init__(self, device: Any, *, past_cache: bool = False) -> None:
        self._device = device
        ask = getattr(device, "direct_fileno", None)
        wanted = past_cache or getattr(device, "is_block", False)
        self._fd: int | None = ask() if ask is not None and wanted else None
        self._align = device.offset_align if self._fd is not None else 1

    def read(self, offset: int, length: int) -> bytearray:
        """So many bytes. Raises ShortRead, DeviceError."""
        data = bytearray(length)
        if not length or not self._direct(data, offset):
            self._device.pread_into(data, offset)
        return data

    def _direct(self, data: bytearray, offset: int) -> bool:
        """False where the ordinary way has to do it, and to say what is wrong."""
        fd = self._fd  # another thread may give it up meanwhile
        if fd is None:
            return False
        start, end = offset - offset % self._align, offset + len(data)
        size = -(-(end - start) // self._align) * self._align
        with mmap.mmap(-1, size) as buffer, memoryview(buffer) as view:
            done = 0
            while start + done < end:
                try:
                    count = os.preadv(fd, [view[done:]], start + done)
                except OSError as error:
                    if error.errno in _REFUSED:
                        self._fd = None
                    return False
                if not count or (count % self._align and start + done + count < end):
                    return False
                done += count
            data[:] = view[offset - start : end - start]
        return True
