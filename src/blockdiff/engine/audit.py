"""Judges a list of changed blocks against the truth, reading only.

Every byte that differs must lie inside a listed extent. What differs outside is *under-reported*: a backup made from
the list has lost it. What is listed but equal is *over-reported*: safe, and a cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockdiff._fast import Aligner, Extents, Merge, combine_table
from blockdiff.engine.compare import Comparison
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.plan import plan_against_zero, plan_compare
from blockdiff.engine.stream import clip
from blockdiff.engine.verify import refuse_same, shared_ranges, span
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdiff.engine.checkpoint.keeper import Keeper
    from blockdiff.engine.checkpoint.keeping import Keeping
    from blockdiff.engine.device import Device
    from blockdiff.engine.progress import Progress

    Listed = Callable[[], Iterator[Extents]]
    """Gives the list anew each time it is called: it is walked more than once, in step with the devices."""

_FOUND = Kind.DATA
# what differs keeps its class where it is not listed; listed bytes become one of two marks
_JUDGE = combine_table(lambda differs, listed: differs if listed is None else Kind.OVER if differs is None else _FOUND)


@dataclass(slots=True)
class AuditTotals:
    """The sums of an audit, in bytes and extents.

    ``over_reported_bytes`` are listed and equal; ``unneeded_bytes`` is the part of them that the list's own granularity
    does not explain (no byte of the list's block differs).
    """

    listed_bytes: int = 0
    listed_extents: int = 0
    list_granularity: int = 0
    changed_bytes: int = 0
    under_reported_bytes: int = 0
    under_reported_extents: int = 0
    over_reported_bytes: int = 0
    unneeded_bytes: int = 0


class Audit:
    """One audit. Iterate it for batches of ascending ranges as they are found: kind OVER is over-reported, every other
    kind is the class of a difference that is under-reported. ``totals`` and ``report`` are final afterwards.

    ``base`` None judges a list of *allocated* blocks: all that is not zero in ``target`` must be listed.
    ``listed`` gives the checked list, once for every call; ``list_granularity`` is the largest power of two that its
    boundaries share (0: the list is empty). ``checkpoint``: what is settled is kept there, and not read again.
    """

    def __init__(
        self,
        base: Device | None,
        target: Device,
        listed: Listed,
        *,
        list_granularity: int = 0,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
        checkpoint: Keeping | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._options, self._listed = options or ReadOptions(), listed
        self._base, self._target = base, target
        self.totals = AuditTotals(list_granularity=list_granularity)
        self._run = self._comparison(progress)
        self.report = self._run.report

    def _comparison(self, progress: Progress | None) -> Comparison:
        g, base, target = self._options.granularity, self._base, self._target
        if base is None:
            start, end, method = 0, target.size, "content"
            keeper, at, granule = self._begin(end)
            plan = plan_against_zero(target, granule, end, granularity=g, mark=self._listed())
        else:
            refuse_same(base, target)
            start, end = span(0, None, base, target)
            keeper, at, granule = self._begin(end)
            method, shared = shared_ranges(base, target, granule, end)
            plan = plan_compare(base, target, granule, end, granularity=g, shared=shared, mark=self._listed())
        return Comparison(
            target if base is None else base,
            None if base is None else target,
            plan if granule == at else clip(plan, at, end),
            start=start,
            end=end,
            options=self._options,
            command="audit",
            method=method,
            progress=progress,
            keeper=keeper,
        )

    def _begin(self, end: int) -> tuple[Keeper | None, int, int]:
        """The keeper of the checkpoint, where it goes on, and the granule in which that is: a list may have cut it."""
        if self._checkpoint is None:
            return None, 0, 0
        base, target = self._base, self._target
        keeper = self._checkpoint.keeper(
            target if base is None else base,
            None if base is None else target,
            0,
            end,
            command="audit",
            only=_Again(self._listed),
            options=self._options,
            asked={"method": "content"},
        )
        return keeper, keeper.start, keeper.start - keeper.start % self._options.granularity

    def __iter__(self) -> Iterator[Extents]:
        totals, report = self.totals, self.report
        self._explained = _Explained(self._listed())
        for batch in Merge(self._differences(), self._counted(), _JUDGE):
            sums = batch.totals()
            totals.changed_bytes += sums.get(_FOUND, 0)
            totals.over_reported_bytes += sums.pop(Kind.OVER, 0)
            sums.pop(_FOUND, None)
            under = batch.only(*sums)
            totals.changed_bytes += under.total()
            totals.under_reported_bytes += under.total()
            totals.under_reported_extents += len(under)
            if len(shown := batch.only(*sums, Kind.OVER)):
                yield shown
        totals.unneeded_bytes = totals.listed_bytes - self._explained.bytes
        report.identical = (
            report.complete
            and not totals.changed_bytes
            and not len(report.unreadable)
            and (self._base is None or self._base.size == self._target.size)  # what only BASE has is in no list
        )

    @property
    def correct(self) -> bool:
        """Nothing is under-reported, and nothing was left unread."""
        return self.report.complete and not self.totals.under_reported_bytes and not len(self.report.unreadable)

    def _counted(self) -> Iterator[Extents]:
        for batch in self._listed():
            self.totals.listed_bytes += batch.total()
            self.totals.listed_extents += len(batch)
            yield batch

    def _differences(self) -> Iterator[Extents]:
        """All that differs; on the way, how much of the list its own blocks explain."""
        grain = max(self.totals.list_granularity, self._options.granularity)
        aligner, explained = Aligner(grain), self._explained
        for found in self._all_differences():
            explained.add(aligner.feed(found.with_kind(Kind.DATA)))
            yield found
        explained.add(aligner.finish())

    def _all_differences(self) -> Iterator[Extents]:
        yield from self._run
        if self._base is not None and self._target.size > self._base.size:
            yield Extents([(self._base.size, self._target.size - self._base.size, Kind.SIZE)])


class _Again:
    """The list, to be walked as often as wanted."""

    def __init__(self, listed: Listed) -> None:
        self._listed = listed

    def __iter__(self) -> Iterator[Extents]:
        return self._listed()


class _Explained:
    """Counts listed bytes in blocks that hold a difference, walking the list in step with the blocks."""

    def __init__(self, listed: Iterator[Extents]) -> None:
        self._listed, self._held = listed, Extents()
        self.bytes = 0

    def add(self, blocks: Extents) -> None:
        while len(blocks):
            self.bytes += blocks.intersect(self._held).total()
            if self._held.end >= blocks.end:
                return
            held = next(self._listed, None)
            if held is None:
                return
            self._held = held
