"""The ranges that diffs changed, found by offset, and their data, read from where it stands in the files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blockdiff._fast import Extents
from blockdiff.errors import DeviceError, ShortRead

if TYPE_CHECKING:
    from blockdiff.exportdiff.layer import Columns


class Ranges:
    """Disjoint ascending ranges, each zero or data in one of the files, in columns that clones share.

    The descriptors are its own.
    """

    def __init__(self, columns: Columns, files: list[int], names: list[str], extents: Extents | None = None) -> None:
        self._columns = columns
        self._offsets, self._lengths, self._zero, self._file, self._positions = columns
        self._files, self.names = files, names
        self.extents = extents or Extents.from_arrays(self._offsets, self._lengths, self._zero)

    def clone(self) -> Ranges:
        """The same with descriptors of its own."""
        return Ranges(self._columns, [os.dup(fd) for fd in self._files], self.names, self.extents)

    def close(self) -> None:
        """Closes the descriptors."""
        files, self._files = self._files, []
        for fd in files:
            os.close(fd)

    def first(self, offset: int) -> int:
        """The index of the first range that ends after ``offset``, or may."""
        return max(0, int(self._offsets.searchsorted(offset, "right")) - 1)

    def span(self, index: int) -> tuple[int, int] | None:
        """Where a range begins and ends; None past the last."""
        if index >= len(self._offsets):
            return None
        start = int(self._offsets[index])
        return start, start + int(self._lengths[index])

    def read(self, index: int, view: memoryview, skip: int) -> None:
        """Bytes of a range, beginning so many after its start."""
        if self._zero[index]:
            view[:] = bytes(len(view))
        else:
            self._read_file(view, int(self._file[index]), int(self._positions[index]) + skip)

    def _read_file(self, view: memoryview, number: int, position: int) -> None:
        done, url = 0, self.names[number]
        while done < len(view):
            at = position + done
            try:
                count = os.preadv(self._files[number], [view[done:]], at)
            except OSError as error:
                raise DeviceError("", url=url, action="read", offset=at, errno=error.errno) from error
            if not count:
                left = len(view) - done
                raise ShortRead("the file ends here", url=url, action="read", offset=at, length=left)
            done += count
