"""The plan as far as it was made and is not in the checkpoint yet, to be split at any moment."""

from __future__ import annotations

from blockdiff._fast import SEG_SKIP_DIGEST, SEG_SKIP_HOLE, SEG_SKIP_SHARED, Extents

MAX_HELD = 1 << 20  # extents
_MAX_BATCHES = 256
_MAX_OFFSET = (1 << 63) - 1
_UNREAD = (SEG_SKIP_HOLE, SEG_SKIP_SHARED)
_SKIPPED = (*_UNREAD, SEG_SKIP_DIGEST)


class Planned:
    """Takes batches of a plan, ascending or not: those in which nothing is read or digested may come before their turn.

    ``frontier``: all of the plan before it is here.
    """

    def __init__(self, start: int, *, ascending: bool) -> None:
        self.frontier, self.held = start, list[Extents]()
        self._ascending = ascending

    def add(self, batch: Extents) -> None:
        """Notes a batch."""
        if len(batch):
            self.held.append(batch)
            if self._ascending or any(kind & 7 not in _UNREAD for kind in batch.totals()):
                self.frontier = max(self.frontier, batch.end)

    @property
    def crowded(self) -> bool:
        """Whether it is time to split, to keep memory bounded."""
        return len(self.held) > _MAX_BATCHES or sum(map(len, self.held)) > MAX_HELD

    def split(self, reached: int) -> tuple[list[Extents], list[Extents]]:
        """What is before ``reached``, and what is not; nothing is changed."""
        before, behind = list[Extents](), list[Extents]()
        for batch in self.held:
            if batch.end <= reached:
                before.append(batch)
            elif batch.start >= reached:
                behind.append(batch)
            else:
                before.append(batch.clip(0, reached))
                behind.append(batch.clip(reached, _MAX_OFFSET))
        return before, behind


def to_be_read(plan: Extents) -> Extents:
    """The segments that somebody reads."""
    return plan.only(*(kind for kind in plan.totals() if kind & 7 not in _SKIPPED))
