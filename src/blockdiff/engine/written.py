"""What a copy wrote, to be read back."""

from __future__ import annotations

from blockdiff._fast import Extents
from blockdiff.extent import Kind

MAX_WRITTEN = 250_000  # extents remembered for reading back; beyond, neighbours are joined over growing gaps


class Written:
    """The ranges that were written, in bounded memory: too many are joined over gaps, which only means reading more."""

    def __init__(self) -> None:
        self._extents = Extents()
        self._pending: list[Extents] = []
        self._count = 0
        self._gap = 0

    def add(self, batch: Extents) -> None:
        if not len(batch):
            return
        self._pending.append(batch.with_kind(Kind.DATA))
        self._count += len(batch)
        if self._count >= MAX_WRITTEN // 4:
            self._settle()

    def extents(self) -> Extents:
        self._settle()
        return self._extents

    def _settle(self) -> None:
        for batch in self._pending:
            self._extents = self._extents.union(batch)
        self._pending, self._count = [], 0
        while len(self._extents) > MAX_WRITTEN:
            self._gap = max(4096, self._gap * 2)
            self._extents = self._extents.coalesce(self._gap)
