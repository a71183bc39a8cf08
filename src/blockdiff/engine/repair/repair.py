"""Writes to a device what differs from another, the old bytes into an undo journal first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff._fast import Extents
from blockdiff.engine.progress import NoProgress, RateLimit
from blockdiff.engine.repair.judging import Judge
from blockdiff.engine.repair.layout import (
    FIRST,
    NEW_ZERO,
    OLD_HOLE,
    OLD_UNKNOWN,
    OLD_ZERO,
    REPAIRED,
    Entry,
    digest_sectors,
    sectors,
)
from blockdiff.engine.repair.past import Reading
from blockdiff.engine.repair.pieces import Pieces, block_of, pieces
from blockdiff.engine.repair.team import Team
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.repair.journal import Journal

_OVERHEAD = 256  # bytes of a journal for each batch and each beginning


class Plan(NamedTuple):
    """What a repair would do: so many ranges and bytes, and a journal of at most so many bytes."""

    ranges: int
    bytes: int
    journal_bytes: int


class Repair:
    """Makes ``target`` equal to ``source`` where they differ.

    ``differences`` (an iterable of batches that can be read several times) says where; ``unreadable`` are ranges of the
    target that cannot be read and are written all the same, without undo. ``written`` and ``zeroed`` count bytes of the
    target; ``lost`` those of them that cannot be restored. Both must have the size that they had when compared.
    Raises InvalidInput, DeviceError: an error of the journal comes before anything is written that it does not hold.
    """

    def __init__(
        self,
        source: Device,
        target: WritableDevice,
        differences: Iterable[Extents],
        *,
        unreadable: Extents | None = None,
        rate: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self._source, self._target, self._differences = source, target, differences
        self.unreadable = self._writable_blindly(unreadable) if unreadable is not None else Extents()
        self._progress = progress or NoProgress()
        self._limit = RateLimit(rate) if rate else None
        self._sources: Reading | None = None
        self._targets: Reading | None = None
        self.written = self.zeroed = self.lost = 0

    def plan(self) -> Plan:
        """Counts. Nothing is read but the list of differences."""
        ranges = count = journal = end = 0
        for part in self._batches():
            ranges += len(part.wanted) - (part.wanted.start == end > 0)  # one that a batch has cut
            end = part.wanted.end
            count += part.wanted.total()
            journal += _OVERHEAD + sum(16 + 8 * sectors(length) + length for _, length, _ in part.whole)
        blind = sum(16 + 8 * sectors(length) for _, length, _ in self.unreadable)
        total = FIRST + 2 * _OVERHEAD + len(self._source.url) + journal + blind if ranges or blind else 0
        return Plan(ranges + len(self.unreadable), count + self.unreadable.total(), total)

    def run(self, journal: Journal, **facts: Any) -> None:
        """Repairs; when it returns, the target's storage has all of it. ``facts`` go into the journal."""
        plan = self.plan()
        forget: Callable[[], None] = getattr(self._target, "drop_cache", lambda: None)
        forget()
        self._sources, self._targets = Reading(self._source), Reading(self._target)
        self._refuse_strange(journal)
        about = {"source": self._source.url, "ranges": plan.ranges, "bytes": plan.bytes, "started": int(time.time())}
        journal.begin({**about, **facts}, reserve=plan.journal_bytes)
        self._progress.start("repair", plan.bytes)
        try:
            with Team(self._source, self._target) as team:
                for part in self._batches():
                    self._repair(journal, part, team)
                if len(self.unreadable):
                    journal.begin({**about, **facts, "without_undo": True})
                    for part in pieces([self.unreadable.with_kind(Kind.DIFF_DATA)], self._target):
                        self._repair(journal, part, team, blind=True)
            self._target.flush()
            journal.mark(REPAIRED)
            journal.finish()
        finally:
            self._progress.finish()

    # ---- inside ----

    def _batches(self) -> Iterator[Pieces]:
        return pieces(iter(self._differences), self._target)

    def _writable_blindly(self, unreadable: Extents) -> Extents:
        """Of ranges that cannot be read, those that are whole blocks: what is beside them must not be guessed."""
        block, size = block_of(self._target), self._target.size
        return Extents(
            (e.offset, e.length) for e in unreadable if not e.offset % block and (not e.end % block or e.end == size)
        )

    def _refuse_strange(self, journal: Journal) -> None:
        """A journal that goes on must not forget what others wrote since: its first old bytes are what comes back."""
        if journal.contents is None or not journal.contents.batches:
            return
        judge = Judge(journal.contents)
        assert self._targets is not None
        for part in self._batches():
            for offset, length, _ in part.whole:
                if not judge.covers(offset, offset + length):
                    continue
                strange = judge.strange(offset, self._targets.read(offset, length))
                if len(strange):
                    raise InvalidInput(
                        f"{self._target.url} was changed at offset {strange.start} since {journal.name} was "
                        "written: name a new journal, or none, to keep the bytes that are there now"
                    )

    def _repair(self, journal: Journal, part: Pieces, team: Team, *, blind: bool = False) -> None:
        """One batch: read both, journal, write."""
        whole = part.wanted.total() == part.whole.total()
        found = team.map(
            lambda e: self._change(e.offset, e.length, None if whole else part.wanted, blind), [*part.whole]
        )
        changes = [change for change in found if change is not None]
        if changes:
            journal.add([entry for entry, _, _ in changes])
        for entry, hole in team.map(self._write, changes):
            self.zeroed += entry.length if hole else 0
            self.written += 0 if hole else entry.length
            self.lost += entry.length if entry.flags & OLD_UNKNOWN else 0
        self._progress.advance(self.written + self.zeroed)
        if self._limit is not None:
            self._limit.spend(part.wanted.total())

    def _change(
        self, offset: int, length: int, wanted: Extents | None, blind: bool
    ) -> tuple[Entry, bytearray, bool] | None:
        """What becomes of a piece: entry, new bytes, whether they are a hole; None where nothing differs."""
        assert self._sources is not None
        assert self._targets is not None
        try:
            old = self._targets.read(offset, length)
            blind = False  # what could not be read before can be now
        except DeviceError:
            if not blind:
                raise
            old = bytearray()
        if wanted is None:
            new = self._sources.read(offset, length)
        else:
            new = bytearray(old)
            for start, count, _ in wanted.clip(offset, offset + length):
                new[start - offset : start - offset + count] = self._sources.read(start, count)
        if new == old:
            return None
        zeroes = bytes(length)
        flags = OLD_UNKNOWN if blind else 0
        if old == zeroes:
            flags |= OLD_ZERO | (OLD_HOLE if _is_hole(self._target, offset, length) else 0)
        if new == zeroes:
            flags |= NEW_ZERO
        digests = b"" if flags & NEW_ZERO else digest_sectors(new)
        hole = bool(flags & NEW_ZERO) and _is_hole(self._source, offset, length)
        return Entry(offset, length, flags, digests, b"" if flags & OLD_ZERO else bytes(old)), new, hole

    def _write(self, change: tuple[Entry, bytearray, bool]) -> tuple[Entry, bool]:
        entry, new, hole = change
        if hole:
            self._target.zero(entry.offset, entry.length)
        else:
            self._target.pwrite(new, entry.offset)
        return entry, hole


def _is_hole(device: Device, offset: int, length: int) -> bool:
    """Whether the device says that all of it reads as zeroes, so that no storage need be spent on it."""
    return all(not len(batch.only(Kind.DATA)) for batch in device.extents(offset, length))
