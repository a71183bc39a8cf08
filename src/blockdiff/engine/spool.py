"""Keeps the differences of a run for what is done with them afterwards, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from blockdiff._fast import Extents
from blockdiff.engine.scratch import scratch_file
from blockdiff.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = 1 << 20  # extents, 24 bytes each; more go into a nameless file
_BATCH = 65536
_ITEM = 24


class Spool:
    """Batches of ascending Extents, kept in order. Iterate it for them, as often as wanted; close it.

    ``bound``: extents that are kept in memory. Raises OutputError where the disk of temporary files is full.
    """

    def __init__(self, bound: int = IN_MEMORY) -> None:
        self._bound = bound
        self._held: list[Extents] = []
        self._held_count = self._count = self._total = 0
        self._file: BinaryIO | None = None

    def add(self, batch: Extents) -> None:
        """Keeps a batch, which begins where those before have ended, or later."""
        if not len(batch):
            return
        self._held.append(batch)
        self._held_count += len(batch)
        self._count += len(batch)
        self._total += batch.total()
        if self._held_count > self._bound:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = scratch_file("blockdiff-differences-")
            self._file.seek(0, 2)
            for batch in self._held:
                self._file.write(memoryview(batch).cast("B"))
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot keep the differences in a temporary file: {error.strerror or error}") from error
        self._held, self._held_count = [], 0

    def __len__(self) -> int:
        """Extents kept."""
        return self._count

    def total(self) -> int:
        """Bytes of all extents."""
        return self._total

    def __iter__(self) -> Iterator[Extents]:
        at = 0
        while self._file is not None:
            self._file.seek(at)
            data = self._file.read(_BATCH * _ITEM)
            if not data:
                break
            at += len(data)
            yield Extents.from_buffer(data)
        yield from list(self._held)

    def close(self) -> None:
        """Forgets everything."""
        if self._file is not None:
            self._file.close()
        self._file, self._held = None, []
