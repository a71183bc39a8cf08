"""A place in a stream: reads exactly what is asked for, and knows where it stands when something is wrong."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from blockdiff.errors import DeviceError, InvalidInput

if TYPE_CHECKING:
    from typing import BinaryIO

_SKIP = 1 << 20


class Cursor:
    """Reads a binary file forwards. ``position`` counts from where the file stood at first.

    InvalidInput names the file, the byte and what was expected there; DeviceError is an error of the system.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name, self.position = file, name, 0
        self._scratch: memoryview | None = None
        self._size = _size(file)

    def take(self, count: int, what: str) -> bytes:
        """Exactly so many bytes."""
        data = self._read(count)
        while len(data) < count:
            more = self._read(count - len(data))
            if not more:
                raise self.broken(f"the file ends at byte {self.position + len(data)} within {what}")
            data += more
        self.position += count
        return data

    def number(self, count: int, what: str) -> int:
        """An unsigned little-endian number of so many bytes."""
        return int.from_bytes(self.take(count, what), "little")

    def fill(self, view: memoryview, what: str) -> None:
        """Fills the whole buffer."""
        file: Any = self._file
        done = 0
        while done < len(view):
            try:
                count = file.readinto(view[done:])
            except OSError as error:
                raise self._failed(error) from error
            if not count:
                raise self.broken(f"the file ends at byte {self.position + done} within {what}")
            done += count
        self.position += done

    def skip(self, count: int, what: str) -> None:
        """Passes over so many bytes, which must be there."""
        if self._size is not None:
            if self.position + count > self._size:
                raise self.broken(f"the file ends at byte {self._size} within {what}")
            try:
                self._file.seek(count, os.SEEK_CUR)
            except OSError as error:
                raise self._failed(error) from error
            self.position += count
            return
        if self._scratch is None:
            self._scratch = memoryview(bytearray(_SKIP))
        while count > 0:
            step = min(count, _SKIP)
            self.fill(self._scratch[:step], what)
            count -= step

    def expect_end(self) -> None:
        """InvalidInput when anything follows."""
        if self._read(1):
            raise self.broken("the stream is complete, but more bytes follow")

    def broken(self, what: str, position: int | None = None) -> InvalidInput:
        """The error for what was found at a position (by default the current one)."""
        at = self.position if position is None else position
        return InvalidInput(f"{self.name}: byte {at}: {what}", file=self.name, position=at)

    def _read(self, count: int) -> bytes:
        try:
            return self._file.read(count) or b""
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> DeviceError:
        return DeviceError("", url=self.name, action="read", offset=self.position, errno=error.errno)


def _size(file: BinaryIO) -> int | None:
    """The bytes that follow, where that is known: then data can be skipped without being read."""
    try:
        status = os.fstat(file.fileno())
        return status.st_size - file.tell() if stat.S_ISREG(status.st_mode) else None
    except (OSError, ValueError, AttributeError):
        return None
