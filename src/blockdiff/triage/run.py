"""Triage of a verify's differences: reads them, their neighbourhood and their history, and says what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import BlockdiffError
from blockdiff.extent import Kind
from blockdiff.triage.area import Area, Found, Search, Window
from blockdiff.triage.evidence import BLOCK, Evidence
from blockdiff.triage.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device
    from blockdiff.engine.progress import Progress
    from blockdiff.triage.history import History

LIMIT = 10_000  # ranges, unless said otherwise
EXAMINED = 1 << 20  # bytes of a range that are looked at, from its begin
MOST_FINDINGS = 100_000
_AREA = 2 << 20
_NEAREST, _FARTHEST = 64 << 10, 1 << 20
_NEIGHBOURHOOD = 1 << 30  # bytes of source that are read around all ranges together, unless they are very many
_SEARCHED = 16 << 30
_UNREAD = {Kind.SIZE, Kind.SRC_HOLE, Kind.DST_HOLE}


class Result(NamedTuple):
    """``found``: ascending. ``reach``: how far around was searched. The others count what was not done."""

    found: list[Found]
    reach: int
    ranges: int
    examined_bytes: int
    left_ranges: int
    left_bytes: int
    unsearched_blocks: int


class Triage:
    """Looks at differences of ``source`` and ``target``; ``histories`` are older states of the target.

    ``limit`` is how many ranges are looked at; of the rest only the number is told.
    """

    def __init__(
        self,
        source: Device,
        target: Device,
        histories: Sequence[History] = (),
        *,
        limit: int = LIMIT,
        progress: Progress | None = None,
    ) -> None:
        self.source, self.target = Reading(source), Reading(target)
        self.histories, self._limit, self._progress = histories, limit, progress
        self._search = Search(_SEARCHED)
        self._found: list[Found] = []

    def run(self, batches: Iterable[Extents], count: int) -> Result:
        """Goes over ``count`` differing ranges, ascending. What cannot be read is a finding of its own."""
        reach = reach_for(min(count, self._limit))
        taken = examined = left = left_bytes = 0
        areas = _Areas()
        for extent in (e for batch in batches for e in batch):
            if taken >= self._limit or len(self._found) >= MOST_FINDINGS:
                left += 1
                left_bytes += extent.length
                continue
            taken += 1
            if extent.kind in _UNREAD:
                examined += extent.length
                for area in areas.take():
                    self._look(area, reach)
                self._found.append(_without_reading(extent.offset, extent.length, extent.kind))
                continue
            length = min(extent.length, EXAMINED)
            examined += length
            left_bytes += extent.length - length
            if area := areas.add(extent.offset, extent.offset + length):
                self._look(area, reach)
            self._advance(examined)
        for area in areas.take():
            self._look(area, reach)
        return Result(self._found, reach, taken, examined, left, left_bytes, self._search.refused)

    def _advance(self, done: int) -> None:
        if self._progress is not None:
            self._progress.advance(done)

    def _look(self, ranges: list[tuple[int, int]], reach: int) -> None:
        """Judges ranges that are near to each other; each alone where all together cannot be read."""
        try:
            self._found += self._judged(ranges, reach)
        except BlockdiffError as error:
            if len(ranges) > 1:
                for one in ranges:
                    self._look([one], reach)
                return
            start, end = ranges[0]
            self._found.append(Found(start, end - start, Evidence("unreadable"), start, str(error)))

    def _judged(self, ranges: list[tuple[int, int]], reach: int) -> list[Found]:
        start, end = ranges[0][0] // BLOCK * BLOCK, -(-ranges[-1][1] // BLOCK) * BLOCK
        window = Window(self.source, start, end, reach, self._search)
        area = Area(self.source, self.target, self.histories, start, end, window)
        return [found for low, high in ranges for found in area.judge(low, high)]


class _Areas:
    """Gathers ranges that are near enough to be read at once."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Takes one more; gives those before it, if they are far from it."""
        finished: list[tuple[int, int]] = []
        if self._held and (end - self._held[0][0] > _AREA or start - self._held[-1][1] > _NEAREST):
            finished, self._held = self._held, []
        self._held.append((start, end))
        return finished

    def take(self) -> Iterator[list[tuple[int, int]]]:
        """What is held."""
        if self._held:
            held, self._held = self._held, []
            yield held


def reach_for(ranges: int) -> int:
    """How many bytes before and after a block are searched for its bytes: less where there are many ranges."""
    reach = _FARTHEST
    while reach > _NEAREST and 2 * reach * ranges > _NEIGHBOURHOOD:
        reach //= 2
    return reach


def _without_reading(offset: int, length: int, kind: int) -> Found:
    return Found(offset, length, Evidence(Kind(kind).label), offset)
