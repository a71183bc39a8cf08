"""Ticks of calendars that go by clocks: exact, and in bounded time over any distance. Pure numbers."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from bisect import bisect_left
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from blockdiff.errors import InvalidInput
from blockdiff.schedule.place import DAY, EPOCH, FIRST, FIRST_DAY, HOUR, LAST, LAST_DAY, Piece, Place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Skipped: TypeAlias = Literal["later", "at once", "never"]
"""What becomes of a time that the clocks skip: the instant as much later, the end of the gap, or nothing."""

_SECOND = dt.timedelta(seconds=1)


def seconds(time: dt.datetime) -> int:
    """Whole seconds since 1970, rounded down; of a time before the year 1 of UTC the last second before it.

    Raises InvalidInput for a time without a zone.
    """
    if time.utcoffset() is None:
        raise InvalidInput(f"the time {time.isoformat()} has no time zone")
    return max((time - EPOCH) // _SECOND, FIRST * 60 - 1)


def instant(number: int) -> dt.datetime:
    """The time in UTC of whole seconds since 1970."""
    return EPOCH + dt.timedelta(0, number)


class Ticking(ABC):
    """What all calendars can do. ``following`` is the one question that each of them answers."""

    __slots__ = ()

    @abstractmethod
    def following(self, after: int, place: Place) -> int | None:
        """The first tick later than ``after``, both in seconds since 1970; None if there is none until 9999."""

    @abstractmethod
    def count(self, since: int, until: int, place: Place) -> int:
        """How many ticks there are with ``since < tick <= until``."""

    @abstractmethod
    def latest(self, until: int, place: Place) -> int | None:
        """The last tick that is not later than ``until``, of a calendar that has one."""

    def ticks(self, after: dt.datetime, zone: dt.tzinfo = dt.UTC) -> Iterator[dt.datetime]:
        """All ticks later than ``after``, ascending, in UTC. Raises InvalidInput for a time without a zone."""
        return self._ticks(seconds(after), place_of(zone))

    def _ticks(self, after: int, place: Place) -> Iterator[dt.datetime]:
        tick = self.following(after, place)
        while tick is not None:
            yield instant(tick)
            tick = self.following(tick, place)


class Wall(Ticking):
    """At times of day, on some days: each of the hours with each of the minutes of ``clock``.

    Unless ``skipped`` is "never", a time has one tick on its date, also if the clocks skip it or show it twice.
    """

    __slots__ = ()
    skipped: ClassVar[Skipped] = "later"

    @property
    @abstractmethod
    def clock(self) -> tuple[Sequence[int], Sequence[int]]:
        """Hours and minutes of the day, ascending; neither is empty."""

    @abstractmethod
    def next_day(self, day: int) -> int | None:
        """The first date from ``day`` on (both in days since 1970); None if there is none until 9999."""

    def following(self, after: int, place: Place) -> int | None:
        tick = after // 60 + 1
        while tick <= LAST:
            piece = place.piece(tick)
            wall = self.next_wall(tick + piece.offset)
            if wall is None:
                return None
            found = wall - piece.offset
            if piece.before != piece.offset:
                found = self._near_change(piece, tick, found)
            if found < piece.end:
                return found * 60 if FIRST <= found <= LAST and found + piece.offset <= LAST else None
            # no leap over changes for the hands of the clock: they may go back to times before this one
            tick = piece.end if self.skipped == "never" else max(piece.end, wall - DAY)
        return None

    def count(self, since: int, until: int, place: Place) -> int:
        tick, stop, count = since // 60 + 1, min(until // 60, LAST) + 1, 0
        while tick < stop:
            piece = place.piece(tick)
            end = min(piece.end, stop)
            settled = min(end, piece.start + abs(piece.offset - piece.before))
            while tick < settled:  # one by one where the clocks were moved
                found = self.following(tick * 60 - 1, place)
                if found is None or found >= settled * 60:
                    break
                tick, count = found // 60 + 1, count + 1
            count += self._walls(max(tick, settled) + piece.offset, end + piece.offset)
            tick = end
        return count

    def latest(self, until: int, place: Place) -> int | None:
        span, found = HOUR * 60, None
        while found is None or found > until:
            if until - span < (FIRST - DAY) * 60:
                return None
            span *= 8
            found = self.following(until - span, place)
        while (later := self.following(found, place)) is not None and later <= until:
            found = later
        return found

    def _near_change(self, piece: Piece, tick: int, found: int) -> int:
        """The first tick from ``tick`` on in a piece at whose start the clocks are moved, without that ``found``."""
        start, _, offset, before = piece
        if offset < before:
            if self.skipped == "never" or found >= start + before - offset:
                return found
            wall = self.next_wall(max(tick + offset, start + before))  # what is shown again is over
            return LAST + 1 if wall is None else wall - offset
        if self.skipped == "later":
            wall = self.next_wall(tick + before)
            if wall is not None and wall < start + offset:
                return min(found, wall - before)
        if self.skipped == "at once" and tick == start:
            wall = self.next_wall(start + before)
            if wall is not None and wall < start + offset:
                return start
        return found

    def _walls(self, begin: int, end: int) -> int:
        """How many of its times there are from ``begin`` on and before ``end``."""
        first, last = divmod(max(begin, FIRST), DAY), divmod(min(end, LAST + 1), DAY)
        hours, minutes = self.clock
        whole = self.days(first[0], last[0]) * len(hours) * len(minutes)
        return whole - self._begun(*first) + self._begun(*last)

    def _begun(self, day: int, time: int) -> int:
        """How many of its times a day has before a time of day."""
        if self.next_day(day) != day:
            return 0
        hours, minutes = self.clock
        hour, past = divmod(time, HOUR)
        index = bisect_left(hours, hour)
        on_hour = index < len(hours) and hours[index] == hour
        return index * len(minutes) + (bisect_left(minutes, past) if on_hour else 0)

    def days(self, begin: int, end: int) -> int:
        """How many dates it has from ``begin`` on and before ``end``."""
        count, day = 0, self.next_day(begin)
        while day is not None and day < end:
            count, day = count + 1, self.next_day(day + 1)
        return count

    def next_wall(self, wall: int) -> int | None:
        """The first of its times from ``wall`` on (both in minutes of the clocks since 1970)."""
        day, minute = divmod(wall, DAY)
        found = self.next_day(max(day, FIRST_DAY))
        hours, minutes = self.clock
        if found == day:
            time = _next_time(hours, minutes, minute)
            if time >= 0:
                return day * DAY + time
            found = self.next_day(day + 1)
        return None if found is None else found * DAY + hours[0] * HOUR + minutes[0]


class Everyday(Wall):
    """On all dates."""

    __slots__ = ()

    def next_day(self, day: int) -> int | None:
        return day if day <= LAST_DAY else None

    def days(self, begin: int, end: int) -> int:
        return end - begin


class Timed(Wall):
    """At one time of day."""

    __slots__ = ()
    hour: int
    minute: int

    @property
    def clock(self) -> tuple[Sequence[int], Sequence[int]]:
        return (self.hour,), (self.minute,)

    def next_wall(self, wall: int) -> int | None:
        day, minute = divmod(wall, DAY)
        time = self.hour * HOUR + self.minute
        found = self.next_day(max(day, FIRST_DAY) if minute <= time else day + 1)
        return None if found is None else found * DAY + time


def _next_time(hours: Sequence[int], minutes: Sequence[int], time: int) -> int:
    """The first time of day from ``time`` on; -1 if there is none on this day."""
    hour, past = divmod(time, HOUR)
    index = bisect_left(hours, hour)
    if index < len(hours) and hours[index] == hour:
        left = bisect_left(minutes, past)
        if left < len(minutes):
            return hour * HOUR + minutes[left]
        index += 1
    return hours[index] * HOUR + minutes[0] if index < len(hours) else -1
