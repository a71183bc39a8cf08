"""A time zone as numbers: what its clocks show at each minute of UTC. Pure.

Minutes and days count from 1970-01-01 00:00, of UTC (a *tick*) or of what the clocks show (a *wall* time). Offsets of
old times have seconds; a clock shows the minute that has begun, so ``wall = tick + offset`` in whole minutes.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import NamedTuple

HOUR, DAY = 60, 24 * 60
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FIRST_DAY, LAST_DAY = (date.toordinal() - EPOCH.toordinal() for date in (dt.date.min, dt.date.max))
FIRST, LAST = FIRST_DAY * DAY, LAST_DAY * DAY + DAY - 1  # the years 1 to 9999, as datetime has them

_BLOCK = 64 * DAY
_PROBE = 2 * DAY  # no zone has changed its clocks twice in less than 95 hours
_EDGE = 2 * DAY  # clocks move by a day at most, so a change has no effect on what comes later
_BLOCKS = 1 << 14  # that many blocks are kept for each zone; 60 for ten years


class Piece(NamedTuple):
    """Minutes of UTC (``start`` <= tick < ``end``) in which the clocks do not change.

    ``offset`` (minutes) is how far they are ahead, ``before`` how far they were until ``start``; the same as
    ``offset`` if they did not change there.
    """

    start: int
    end: int
    offset: int
    before: int


class Place:
    """The clocks of one zone."""

    __slots__ = ("_always", "_blocks", "zone")

    def __init__(self, zone: dt.tzinfo) -> None:
        self.zone = zone
        fixed = zone.utcoffset(None)
        offset = 0 if fixed is None else int(fixed.total_seconds() // 60)
        self._always = None if fixed is None else Piece(FIRST - _EDGE, LAST + _EDGE, offset, offset)
        self._blocks: dict[int, list[Piece]] = {}

    @property
    def is_fixed(self) -> bool:
        """Whether its clocks never change."""
        return self._always is not None

    def piece(self, tick: int) -> Piece:
        """The piece of time that a minute of UTC belongs to."""
        if self._always is not None:
            return self._always
        block = self._blocks.get(tick // _BLOCK)
        for piece in block or self._block(tick // _BLOCK):
            if tick < piece.end:
                return piece
        raise AssertionError(tick)

    def offset(self, tick: int) -> int:
        """How far the clocks are ahead of UTC, in minutes. At the ends of the calendar that of two days before."""
        inside = min(max(tick, FIRST + _EDGE), LAST - _EDGE)
        ahead = (EPOCH + dt.timedelta(minutes=inside)).astimezone(self.zone).utcoffset()
        return 0 if ahead is None else int(ahead.total_seconds() // 60)

    def _block(self, number: int) -> list[Piece]:
        """The pieces of a block; the first begins early, so that changes that still matter are seen."""
        start, end = number * _BLOCK - _EDGE, (number + 1) * _BLOCK
        begin, found = start, []
        offset = before = self.offset(start)
        for probe in range(start, end, _PROBE):
            later = self.offset(probe + _PROBE)
            if later != offset:
                change = self._change(probe, probe + _PROBE)
                found.append(Piece(begin, change, offset, before))
                begin, before, offset = change, offset, later
        found.append(Piece(begin, end, offset, before))
        if len(self._blocks) >= _BLOCKS:
            self._blocks.clear()
        self._blocks[number] = found
        return found

    def _change(self, low: int, high: int) -> int:
        """The first minute with another offset than at ``low``, which has to be after it and not after ``high``."""
        old = self.offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.offset(middle) == old else (low, middle)
        return high


@lru_cache(1024)
def place_of(zone: dt.tzinfo) -> Place:
    """The place of a zone, always the same one, so that what it has found out is kept."""
    return Place(zone)
