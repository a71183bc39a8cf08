"""When something happens: the closed set of meanings that all languages of schedules are made of. Pure values.

    Minutely  Hourly  Daily  Weekly  Monthly  Yearly  YearDay  Steps      by the clocks of a zone
    Cron                                                                  five fields, by the clocks of a zone
    Every                                                                 an interval, by no clock

A tick is a whole minute of UTC (of ``Every``: a whole second). What comes on dates has one tick for each time that it
names: one that the clocks skip (daylight saving begins) becomes the instant at which they would have shown it without
the skip, one that they show twice is its first showing. What comes hourly goes by the minute hand, and has both of the
hours that are shown twice.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from blockdiff.errors import InvalidInput
from blockdiff.schedule import cron
from blockdiff.schedule.place import EPOCH, FIRST, LAST, LAST_DAY
from blockdiff.schedule.wall import Everyday, Skipped, Ticking, Timed, Wall, instant, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.place import Place

    Clock = tuple[Sequence[int], Sequence[int]]

_HOURS = range(24)
_ZERO = EPOCH.toordinal()
_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # the longest


@dataclass(frozen=True, slots=True)
class Minutely(Ticking):
    """A share (0 to 1) of all minutes, evenly spread, and the same ones for everybody; 0 is never."""

    share: float = 1.0
    ratio: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InvalidInput(f"invalid share {self.share}: accepted are 0 to 1")
        object.__setattr__(self, "ratio", _ratio(self.share))

    def following(self, after: int, place: Place) -> int | None:
        taken, _ = self.ratio
        return self._minute(self._number(after) + 1) if taken else None

    def count(self, since: int, until: int, place: Place) -> int:
        return max(0, self._number(until) - self._number(since))

    def latest(self, until: int, place: Place) -> int | None:
        taken, _ = self.ratio
        return self._minute(self._number(until)) if taken else None

    def _number(self, time: int) -> int:
        """Which of its minutes is the last one until a time: they are k / share, rounded up, for whole numbers k."""
        taken, total = self.ratio
        return time // 60 * taken // total

    def _minute(self, number: int) -> int | None:
        taken, total = self.ratio
        tick = -(-number * total // taken)
        return tick * 60 if FIRST <= tick <= LAST else None


@dataclass(frozen=True, slots=True)
class Hourly(Everyday):
    """At a minute of each hour."""

    minute: int = 0
    skipped: ClassVar[Skipped] = "never"

    def __post_init__(self) -> None:
        _check(minute=self.minute)

    @property
    def clock(self) -> Clock:
        return _HOURS, (self.minute,)


@dataclass(frozen=True, slots=True)
class Daily(Timed, Everyday):
    """Once on each date."""

    hour: int = 0
    minute: int = 0

    def __post_init__(self) -> None:
        _check(hour=self.hour, minute=self.minute)


@dataclass(frozen=True, slots=True)
class Weekly(Timed):
    """On one day of the week; 0 is Sunday."""

    weekday: int = 0
    hour: int = 0
    minute: int = 0

    def __post_init__(self) -> None:
        _check(weekday=self.weekday, hour=self.hour, minute=self.minute)

    def next_day(self, day: int) -> int | None:
        found = day + (self.weekday - day - 4) % 7  # day 0 was a Thursday
        return found if found <= LAST_DAY else None

    def days(self, begin: int, end: int) -> int:
        return (end - self.weekday + 10) // 7 - (begin - self.weekday + 10) // 7


@dataclass(frozen=True, slots=True)
class Monthly(Timed):
    """On one day of each month. ``short`` says what a month without that day has: none, or its last day."""

    day: int = 1
    hour: int = 0
    minute: int = 0
    short: Literal["skip", "last"] = "skip"

    def __post_init__(self) -> None:
        _check(day=self.day, hour=self.hour, minute=self.minute)
        if self.short not in ("skip", "last"):
            raise InvalidInput(f"invalid short {self.short!r}: accepted are skip and last")

    def next_day(self, day: int) -> int | None:
        if day > LAST_DAY:
            return None
        date = dt.date.fromordinal(day + _ZERO)
        year, month = date.year, date.month
        while year <= dt.MAXYEAR:
            length = calendar.monthrange(year, month)[1] if self.day > 28 else 28
            if self.day <= length or self.short == "last":
                found = dt.date(year, month, min(self.day, length)).toordinal() - _ZERO
                if found >= day:
                    return found
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None


@dataclass(frozen=True, slots=True)
class Yearly(Timed):
    """On one date of each year that has it: February 29 in leap years, February 30 never."""

    month: int = 1
    day: int = 1
    hour: int = 0
    minute: int = 0

    def __post_init__(self) -> None:
        _check(month=self.month, day=self.day, hour=self.hour, minute=self.minute)

    def next_day(self, day: int) -> int | None:
        if day > LAST_DAY or self.day > _LENGTHS[self.month]:
            return None
        leap = (self.month, self.day) == (2, 29)
        for year in range(dt.date.fromordinal(day + _ZERO).year, dt.MAXYEAR + 1):
            if leap and not calendar.isleap(year):
                continue
            found = dt.date(year, self.month, self.day).toordinal() - _ZERO
            if found >= day:
                return found
        return None


@dataclass(frozen=True, slots=True)
class YearDay(Timed):
    """On one day of each year, counted from 1; day 366 in leap years only."""

    yearday: int = 1
    hour: int = 0
    minute: int = 0

    def __post_init__(self) -> None:
        _check(yearday=self.yearday, hour=self.hour, minute=self.minute)

    def next_day(self, day: int) -> int | None:
        if day > LAST_DAY:
            return None
        for year in range(dt.date.fromordinal(day + _ZERO).year, dt.MAXYEAR + 1):
            if self.yearday == 366 and not calendar.isleap(year):
                continue
            found = dt.date(year, 1, 1).toordinal() - _ZERO + self.yearday - 1
            if found >= day:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Steps(Everyday):
    """At 00, 00 + ``hours``, ... of each day, at the same minute: SnapSentry's express."""

    hours: int
    minute: int = 0

    def __post_init__(self) -> None:
        _check(hours=self.hours, minute=self.minute)

    @property
    def clock(self) -> Clock:
        return _HOURS[:: self.hours], (self.minute,)


@dataclass(frozen=True, slots=True)
class Cron(Wall):
    """Five fields, as cronsim and Debian's cron read them.

    With a ``*`` at the start of the minute or the hour it goes by the hands of the clock, as ``Hourly`` does. Else a
    time that the clocks skip is due at the end of the gap, once for all times in it.
    """

    text: str
    fields: cron.Fields = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", cron.read(self.text))
        object.__setattr__(self, "text", self.fields.text)

    @property
    def skipped(self) -> Skipped:  # type: ignore[override]
        return "never" if self.fields.wild else "at once"

    @property
    def clock(self) -> Clock:
        return self.fields.hours, self.fields.minutes

    def next_day(self, day: int) -> int | None:
        return self.fields.days.from_day(day)

    def days(self, begin: int, end: int) -> int:
        return end - begin if self.fields.days.every else Wall.days(self, begin, end)


@dataclass(frozen=True, slots=True)
class Every(Ticking):
    """Each ``seconds``, by no clock: ``anchor`` and all times that are a multiple of the interval before or after it.

    The anchor is kept in whole seconds of UTC.
    """

    seconds: int
    anchor: dt.datetime = EPOCH
    begin: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seconds < 1:
            raise InvalidInput(f"invalid interval {self.seconds}: 1 second or more is wanted")
        object.__setattr__(self, "begin", max(seconds(self.anchor), FIRST * 60))
        object.__setattr__(self, "anchor", instant(self.begin))

    def following(self, after: int, place: Place) -> int | None:
        tick = after + self.seconds - (after - self.begin) % self.seconds
        return tick if FIRST * 60 <= tick < (LAST + 1) * 60 else None

    def count(self, since: int, until: int, place: Place) -> int:
        return max(0, (until - self.begin) // self.seconds - (since - self.begin) // self.seconds)

    def latest(self, until: int, place: Place) -> int | None:
        tick = until - (until - self.begin) % self.seconds
        return tick if tick >= FIRST * 60 else None


Calendar: TypeAlias = Minutely | Hourly | Daily | Weekly | Monthly | Yearly | YearDay | Steps | Cron | Every

_RANGES = {
    "minute": (0, 59),
    "hour": (0, 23),
    "hours": (1, 24),
    "weekday": (0, 6),
    "day": (1, 31),
    "month": (1, 12),
    "yearday": (1, 366),
}


def _check(**fields: int) -> None:
    for name, value in fields.items():
        least, most = _RANGES[name]
        if not least <= value <= most:
            raise InvalidInput(f"invalid {name} {value}: accepted are {least} to {most}")


@lru_cache(1024)
def _ratio(share: float) -> tuple[int, int]:
    """The share as a fraction: of what was meant by a float such as 0.1, if that is plain."""
    plain = Fraction(share).limit_denominator(1_000_000)
    return (plain if float(plain) == share else Fraction(share)).as_integer_ratio()
