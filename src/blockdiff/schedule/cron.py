"""The five fields of cron, read by cronsim. Pure.

The rule is Debian cron's: if one of the two fields for days begins with ``*``, a date has to fit both, else one is
enough. Fields that no calendar fulfils, such as February 31, are no error: they are never due.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.schedule.place import EPOCH, LAST_DAY
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from cronsim import CronSim

_ZERO = EPOCH.toordinal()
_SEARCHED = 50 * 366  # days: February 29 on one day of the week is at most forty years away
_NAMES = ("minute", "hour", "day of the month", "month", "day of the week")


class Fields(NamedTuple):
    """What a cron text says. ``wild``: it goes by the hands of the clock, as its minute or its hour begins with *."""

    text: str
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    days: Days
    wild: bool


class Days:
    """The dates of a cron text; what was found once is known. ``every``: all dates."""

    __slots__ = ("_found", "_months", "_read", "every")

    def __init__(self, day: str, month: str, weekday: str) -> None:
        self._months = _field("* * * {} *", month, 3).months
        _field("* * {} * *", day, 2)
        # without the month, for which cronsim would refuse what is never
        self._read = _field(f"* * {day} * {{}}", weekday, 4)
        self.every = (day, month, weekday) == ("*", "*", "*")
        self._found: dict[int, int | None] = {}

    def from_day(self, day: int) -> int | None:
        """The first date from ``day`` on, in days since 1970."""
        if self.every:
            return day if day <= LAST_DAY else None
        if day not in self._found:
            if len(self._found) > 1000:
                self._found.clear()
            self._found[day] = self._search(day)
        return self._found[day]

    def _search(self, day: int) -> int | None:
        number, last = day, min(day + _SEARCHED, LAST_DAY)
        while number <= last:
            date = dt.date.fromordinal(number + _ZERO)
            if date.month not in self._months:
                number += 29 - min(date.day, 28)  # to the next month, or less
            elif self._read.match_day(date):
                return number
            else:
                number += 1
        return None


def read(text: str) -> Fields:
    """What a text of five fields says. Raises InvalidInput that names the field."""
    words = text.split()
    if len(words) != 5:
        raise InvalidInput(f"{quoted(text)} has {len(words)} fields: five are wanted, for {', '.join(_NAMES)}")
    minute, hour, day, month, weekday = words
    return Fields(
        " ".join(words),
        tuple(sorted(_field("* {} * * *", hour, 1).hours)),
        tuple(sorted(_field("{} * * * *", minute, 0).minutes)),
        _days(day.upper(), month.upper(), weekday.upper()),
        minute.startswith("*") or hour.startswith("*"),
    )


@lru_cache(10_000)
def _days(day: str, month: str, weekday: str) -> Days:
    return Days(day, month, weekday)


@lru_cache(10_000)
def _field(frame: str, word: str, number: int) -> CronSim:
    """Cronsim's reading of one word in a frame of others."""
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(frame.format(word), EPOCH)
    except (CronSimError, ValueError):
        raise InvalidInput(f"{quoted(word)} is no {_NAMES[number]} of cron") from None
