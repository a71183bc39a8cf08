"""What of two devices would have to be read, and what needs no reading: from metadata alone, in whole units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.engine.sample import READS
from blockdiff.engine.spool import Spool
from blockdiff.engine.stream import align, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.verify import Outlook


class Survey:
    """``to_read``: the units that hold a byte to be read; ``skipped``: what the plan skips, with its reasons as kinds.

    ``bytes`` and ``skipped_bytes`` are their totals. Close it.
    """

    def __init__(self, sight: Outlook, unit: int) -> None:
        self.end, self.method, self._unit = sight.end, sight.method, unit
        self.to_read, self.skipped = Spool(), Spool()
        for batch in align(self._noted(sight.plan), unit, limit=sight.end):
            self.to_read.add(batch)
        self.bytes, self.skipped_bytes = self.to_read.total(), self.skipped.total()

    def _noted(self, plan: Iterable[Extents]) -> Iterator[Extents]:
        for batch in plan:
            part = batch.only(*READS)
            self.skipped.add(batch.subtract(part))
            yield part.with_kind(0)

    def known(self) -> Iterator[Extents]:
        """The units, as ranges, of which nothing has to be read."""
        return subtract((batch.with_kind(0) for batch in self.skipped), self.to_read)

    def close(self) -> None:
        """Forgets it."""
        self.to_read.close()
        self.skipped.close()
