"""Which ranges a run looks at next: the oldest first, and known trouble before all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.engine.ledger.schema import CHANGED, DIFFERENT, EQUAL
from blockdiff.engine.spool import Spool
from blockdiff.engine.stream import intersect, subtract, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.ledger.store import Ledger
    from blockdiff.engine.ledger.survey import Survey


class Turn:
    """Hands out the ranges of a survey, each once. Close it."""

    def __init__(self, ledger: Ledger, survey: Survey) -> None:
        self._ledger, self._survey, self._unit = ledger, survey, ledger.unit
        self._tried = Spool()

    def trouble(self, limit: int) -> Spool:
        """What differed or changed, those first that were looked at longest ago: at most ``limit`` bytes, in units."""
        runs = self._ledger.generations(DIFFERENT, CHANGED)
        return self._take((self._ledger.ranges(DIFFERENT, CHANGED, run=run) for run in runs), limit)

    def oldest(self, limit: int) -> Spool:
        """What was never verified, then what was longest ago."""
        return self._take(self._by_age(), limit)

    def _by_age(self) -> Iterator[Iterable[Extents]]:
        yield subtract(self._survey.to_read, self._ledger.ranges(EQUAL, DIFFERENT, CHANGED))
        for run in self._ledger.generations(EQUAL, DIFFERENT, CHANGED):
            yield self._ledger.ranges(EQUAL, DIFFERENT, CHANGED, run=run)

    def _take(self, generations: Iterable[Iterable[Extents]], limit: int) -> Spool:
        """The first ``limit`` bytes, at least one unit, ascending; they are not handed out again."""
        taken, left = Spool(), max(limit, self._unit)
        for generation in generations:
            fresh = subtract(intersect(generation, self._survey.to_read), self._tried)
            part = Spool()
            left -= _fill(part, subtract(fresh, taken), left // self._unit * self._unit)
            taken = merged(taken, part)
            if left < self._unit:
                break
        self._tried = merged(self._tried, taken, keep=True)
        return taken

    def left(self) -> Iterator[Extents]:
        """What was not handed out."""
        return subtract(self._survey.to_read, self._tried)

    def close(self) -> None:
        """Forgets what was handed out."""
        self._tried.close()


def _fill(spool: Spool, stream: Iterable[Extents], limit: int) -> int:
    """Puts the first ``limit`` bytes of a stream into a spool; gives how many there were."""
    count = 0
    for batch in stream:
        size = batch.total()
        if count + size <= limit:
            spool.add(batch)
            count += size
            continue
        for extent in batch:
            length = min(extent.length, limit - count)
            if length <= 0:
                break
            spool.add(batch.clip(extent.offset, extent.offset + length))
            count += length
        break
    return count


def merged(one: Spool, other: Spool, *, keep: bool = False) -> Spool:
    """The ranges of both; the first is closed, and the second unless it is kept."""
    made = Spool()
    for batch in union(one, other):
        made.add(batch)
    one.close()
    if not keep:
        other.close()
    return made
