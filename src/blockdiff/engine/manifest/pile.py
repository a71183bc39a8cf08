"""Bytes that are kept until they have a place: in memory, and in a nameless file when there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = 4 << 20
_STEP = 1 << 20


class Pile:
    """``add`` bytes, then iterate. OutputError where the nameless file takes no more."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._file: Any = None
        self.size = 0

    def add(self, data: bytes) -> None:
        """Puts bytes on top."""
        self._buffer += data
        self.size += len(data)
        if len(self._buffer) >= IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        from blockdiff.engine.output import Output
        from blockdiff.engine.scratch import scratch_file

        if self._file is None:
            self._file = scratch_file("blockdiff-manifest-")
        Output(self._file).write(self._buffer)
        self._buffer = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        if self._file is not None:
            self._file.seek(0)
            while data := self._file.read(_STEP):
                yield data
        if self._buffer:
            yield bytes(self._buffer)

    def close(self) -> None:
        """Gives the file back."""
        if self._file is not None:
            self._file.close()
