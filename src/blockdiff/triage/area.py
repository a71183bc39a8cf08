"""A stretch of both devices with differences in it, read at once and judged block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import BlockdiffError
from blockdiff.triage.evidence import BLOCK, Evidence, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdiff.triage.history import History
    from blockdiff.triage.reading import Reading

MOST_MATCHES = 8
_JOINED = {"stale", "dst-zero", "src-zero", "shifted", "unknown"}


class Found(NamedTuple):
    """A finding on ``[offset, offset + length)``; of a torn or flipped one ``block`` is where its block begins."""

    offset: int
    length: int
    evidence: Evidence
    block: int
    reason: str = ""


class Window:
    """The source around an area, read when it is first searched."""

    def __init__(self, source: Reading, start: int, end: int, reach: int, search: Search) -> None:
        self._source, self._search, self.reach = source, search, reach
        self._start = max(0, start - reach)
        self._end = end + reach
        self._data: bytes | None = None

    def near(self, offset: int, moved: bytes) -> Sequence[int]:
        """How much further in the source these bytes of the target stand, for each place within reach of ``offset``."""
        low, high = max(self._start, offset - self.reach), offset + self.reach + len(moved)
        if not self._search.may(high - low):
            return ()
        if self._data is None:
            self._data = self._read()
        found: list[int] = []
        at = self._data.find(moved, low - self._start, high - self._start)
        while at >= 0 and len(found) < MOST_MATCHES:
            found.append(at + self._start - offset)
            at = self._data.find(moved, at + 1, high - self._start)
        return found

    def _read(self) -> bytes:
        try:
            return self._source.read(self._start, self._end - self._start)
        except BlockdiffError:  # bytes nearby that cannot be read are not searched
            return b""


class Search:
    """How many bytes may still be searched for shifted blocks; ``refused`` counts the searches that were left out."""

    def __init__(self, budget: int) -> None:
        self._left, self.refused = budget, 0

    def may(self, count: int) -> bool:
        """Whether so many more may be."""
        if count > self._left:
            self.refused += 1
            return False
        self._left -= count
        return True


class Area:
    """Both devices and the histories between two places."""

    def __init__(
        self, source: Reading, target: Reading, histories: Sequence[History], start: int, end: int, window: Window
    ) -> None:
        self._start, self._histories, self._window = start, histories, window
        self._source, self._target = source.read(start, end - start), target.read(start, end - start)
        self._end = start + min(len(self._source), len(self._target))
        for history in histories:
            history.load(start, end)

    def judge(self, offset: int, end: int) -> list[Found]:
        """The findings on a differing range inside of the area; ascending, those that say the same joined."""
        blocks = list(self._blocks(offset, min(end, self._end)))
        if not blocks:
            return [Found(offset, end - offset, Evidence("equal-now"), offset)]
        blocks = _agreed(_agreed(blocks)[::-1])[::-1]
        joined: list[Found] = []
        for block in blocks:
            if joined and _says_the_same(joined[-1], block):
                last = joined.pop()
                block = last._replace(length=block.offset + block.length - last.offset)  # noqa: PLW2901
            joined.append(block)
        return joined

    def _blocks(self, offset: int, end: int) -> Iterator[Found]:
        for at in range(offset // BLOCK * BLOCK, end, BLOCK):
            start, stop = max(at, offset), min(at + BLOCK, end)
            evidence = self._block(at, min(BLOCK, self._end - at), (start - at, stop - at))
            if evidence is not None:
                yield Found(start, stop - start, evidence, at)

    def _block(self, at: int, length: int, part: tuple[int, int]) -> Evidence | None:
        low = at - self._start
        source, target = self._source[low : low + length], self._target[low : low + length]
        if source == target:
            return None
        return judge(
            source,
            target,
            old=[history.bytes_at(at, length) for history in self._histories],
            digested=[i for i, history in enumerate(self._histories) if history.holds(at, length)],
            part=part,
            near=lambda place, moved: self._window.near(at + place, moved),
        )


def _touch(one: Found, other: Found) -> bool:
    return one.offset + one.length == other.offset or other.offset + other.length == one.offset


def _says_the_same(one: Found, other: Found) -> bool:
    a, b = (e._replace(shifts=(0,) * min(len(e.shifts), 2)) for e in (one.evidence, other.evidence))
    return a == b and a.finding in _JOINED and _touch(one, other)


def _agreed(blocks: list[Found]) -> list[Found]:
    """A block whose bytes stand in several places goes by the one before, whose bytes stand in one of them only."""
    result: list[Found] = []
    for block in blocks:
        mine, before = block.evidence, result[-1].evidence if result else None
        certain = before is not None and before.finding == "shifted" and _touch(result[-1], block)
        if certain and before is not None and len(mine.shifts) > 1 and before.shift in mine.shifts:
            mine = Evidence("shifted", shift=before.shift, shifts=(before.shift,))
        result.append(block._replace(evidence=mine))
    return result
