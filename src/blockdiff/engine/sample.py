"""Chooses which ranges of two devices a sample compares, from metadata alone and in bounded memory.

The population is every block that holds a byte to be read: not what both sides know to be zeroes, not storage that
they share, and not what is compared in full. Blocks begin at multiples of the unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import SEG_MARK, SEG_SKIP_DIGEST, SEG_SKIP_HOLE, SEG_SKIP_SHARED, SET_TABLES, Extents, Merge
from blockdiff.engine.spool import Spool
from blockdiff.engine.stream import align, clip, intersect, subtract, total
from blockdiff.errors import InvalidInput
from blockdiff.sampling import choose

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff.engine.verify import Outlook

UNIT = 64 << 10
MAX_UNIT = 1 << 30
SKIPS = (SEG_SKIP_HOLE, SEG_SKIP_SHARED, SEG_SKIP_DIGEST)
READS = tuple(kind for kind in range(SEG_MARK) if kind not in SKIPS)


class Again:
    """A stream that can be iterated as often as wanted: each time it is made anew."""

    def __init__(self, make: Callable[[], Iterable[Extents]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Extents]:
        return iter(self._make())


def check_unit(unit: int, granularity: int) -> None:
    """InvalidInput for a unit that no sample can be made of."""
    if unit & (unit - 1) or not granularity <= unit <= MAX_UNIT:
        raise InvalidInput(
            f"a sample of blocks of {unit} bytes cannot be made: a power of two from the granularity ({granularity}) "
            "to 1G is wanted"
        )


def to_read(plan: Iterable[Extents]) -> Iterator[Extents]:
    """The ranges of a plan that will be read, joined."""
    return iter(Merge((batch.only(*READS) for batch in plan), (), SET_TABLES["union"]))


class Population:
    """The blocks to sample of. ``full`` are ranges that are compared anyway, grown outwards to whole blocks.

    ``blocks`` and ``bytes`` are those of the population; ``full_bytes`` are to be read in full, ``known_bytes`` need no
    reading. Close it.
    """

    def __init__(self, sight: Outlook, unit: int, full: Iterable[Extents] | None) -> None:
        self.start, self.end, self.unit = sight.start, sight.end, unit
        self._full = full
        self._spool = Spool()
        self.blocks = self.bytes = self.full_bytes = self.known_bytes = 0
        reading = self._noted(sight.plan)
        for batch in align(reading, unit, limit=self.end):
            self._spool.add(batch.clip(self.start, self.end).with_kind(0))
        for batch in self.rest():
            self.blocks += int(_block_counts(batch, unit).sum())
            self.bytes += batch.total()
        if full is not None:
            self.full_bytes = total(intersect(self.full(), self._spool))

    def _noted(self, plan: Iterable[Extents]) -> Iterator[Extents]:
        for batch in plan:
            part = batch.only(*READS)
            self.known_bytes += batch.total() - part.total()
            yield part.with_kind(0)

    def full(self) -> Iterator[Extents]:
        """What is compared in full."""
        listed = (batch.with_kind(0) for batch in clip(self._full or (), 0, self.end))
        return clip(align(listed, self.unit, limit=self.end), self.start, self.end)

    def rest(self) -> Iterator[Extents]:
        """The population."""
        return iter(self._spool) if self._full is None else subtract(self._spool, self.full())

    def sample(self, count: int, seed: str) -> Iterator[Extents]:
        """``count`` blocks of it, ascending."""
        return _picked(self.rest(), choose(self.blocks, count, seed), self.unit)

    def only(self, count: int, seed: str) -> Iterator[Extents]:
        """All but the blocks that the sample leaves out: also what need not be read, so that it is told of."""
        whole = [Extents([(self.start, self.end - self.start)])] if self.end > self.start else []
        return subtract(whole, subtract(self.rest(), self.sample(count, seed)))

    def close(self) -> None:
        """Forgets it."""
        self._spool.close()


def _block_counts(batch: Extents, unit: int) -> Any:
    """How many blocks each extent touches."""
    import numpy as np

    items = np.asarray(batch)
    return -(-(items["offset"] + items["length"]) // unit) - items["offset"] // unit


def _picked(rest: Iterable[Extents], chosen: Iterable[array[int]], unit: int) -> Iterator[Extents]:
    """The blocks of a population by their numbers in it, cut to the extents that they come from."""
    import numpy as np

    numbers, before = iter(chosen), 0
    waiting: Any = np.empty(0, np.int64)
    for batch in rest:
        counts = _block_counts(batch, unit)
        until = before + int(counts.sum())
        while not len(waiting) or waiting[-1] < until:
            more = next(numbers, None)
            if more is None:
                break
            waiting = np.concatenate((waiting, np.asarray(more)))
        split = int(np.searchsorted(waiting, until))
        here, waiting = waiting[:split] - before, waiting[split:]
        before = until
        if len(here):
            yield _cut(batch, counts, here, unit)


def _cut(batch: Extents, counts: Any, here: Any, unit: int) -> Extents:
    import numpy as np

    items, ends = np.asarray(batch), np.cumsum(counts)
    which = np.searchsorted(ends, here, side="right")
    offset, length = items["offset"][which], items["length"][which]
    first = (offset // unit + here - (ends - counts)[which]) * unit
    start, end = np.maximum(first, offset), np.minimum(first + unit, offset + length)
    return Extents.from_arrays(start, end - start).coalesce()


def touched_blocks(found: Iterable[Extents], unit: int) -> int:
    """Blocks in which there is at least a byte of these ranges."""
    return sum(int(_block_counts(batch, unit).sum()) for batch in align(found, unit))
