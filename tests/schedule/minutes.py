"""The oracle of calendars: every minute of some years is looked at. Independent of what it judges, and naive.

Only where a zone's clocks are at each minute is asked of ``zoneinfo``; dates come from NumPy.
"""

import datetime as dt
from functools import lru_cache

import numpy as np

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


def number(time):
    return int((time - EPOCH).total_seconds()) // 60


def offset(minute, zone):
    return int((EPOCH + dt.timedelta(minutes=int(minute))).astimezone(zone).utcoffset().total_seconds() // 60)


def shown(begin, end, zone):
    """What the clocks show at each minute of UTC: wall minutes since 1970."""
    hours = [offset(minute, zone) for minute in range(begin, end + 60, 60)]
    found = np.repeat(np.array(hours, dtype=np.int64), 60)[: end - begin]
    for index in range(len(hours) - 1):
        if hours[index] != hours[index + 1]:
            for at in range(index * 60, min(index * 60 + 60, end - begin)):
                found[at] = offset(begin + at, zone)
    return np.arange(begin, end, dtype=np.int64) + found


class Clock:
    """The fields of wall minutes, as arrays."""

    def __init__(self, walls):
        day, time = np.divmod(walls, 1440)
        date = day.astype("datetime64[D]")
        month = date.astype("datetime64[M]")
        year = date.astype("datetime64[Y]")
        self.hour, self.minute = (part.astype(np.int8) for part in np.divmod(time, 60))
        self.weekday = ((day + 4) % 7).astype(np.int8)
        self.day = (date - month).astype(np.int8) + 1
        self.length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int8)
        self.month = (month.astype(np.int64) % 12 + 1).astype(np.int8)
        self.yearday = (date - year).astype(np.int16) + 1


def field(text, least, most, names=()):
    """The numbers of one field of cron."""
    found = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        low, _, high = (f"{least}-{most}" if span == "*" else span).partition("-")
        low, high = (names.index(word) if word in names else word for word in (low, high))
        low, high = int(low), int(high or (most if step else low))
        found |= set(range(low, high + 1, int(step or 1)))
    return list(found)


def named(clock, calendar):
    """Which wall minutes a calendar names."""
    kind = type(calendar).__name__
    if kind == "Cron":
        return cron(clock, calendar.text)
    on_time = clock.minute == calendar.minute
    if kind == "Hourly":
        return on_time
    if kind == "Steps":
        return on_time & (clock.hour % calendar.hours == 0)
    on_time &= clock.hour == calendar.hour
    if kind == "Weekly":
        return on_time & (clock.weekday == calendar.weekday)
    if kind == "Monthly" and calendar.short == "last":
        return on_time & (clock.day == np.minimum(clock.length, calendar.day))
    if kind == "Monthly":
        return on_time & (clock.day == calendar.day)
    if kind == "Yearly":
        return on_time & (clock.month == calendar.month) & (clock.day == calendar.day)
    if kind == "YearDay":
        return on_time & (clock.yearday == calendar.yearday)
    assert kind == "Daily"
    return on_time


def among(numbers, accepted):
    table = np.zeros(64, dtype=bool)
    table[accepted] = True
    return table[numbers]


def cron(clock, text):
    minute, hour, day, month, weekday = text.split()
    dates = among(clock.day, field(day, 1, 31))
    days = among(clock.weekday, [one % 7 for one in field(weekday, 0, 7, DAYS)])
    either = not (day.startswith("*") or weekday.startswith("*"))
    fits = (dates | days) if either else (dates & days)
    fits &= among(clock.month, field(month, 1, 12))
    return fits & among(clock.hour, field(hour, 0, 23)) & among(clock.minute, field(minute, 0, 59))


def by_the_hands(calendar):
    kind = type(calendar).__name__
    return kind == "Hourly" or (kind == "Cron" and any(word[0] == "*" for word in calendar.text.split()[:2]))


@lru_cache(2)
class Time:
    """The minutes of UTC with ``begin`` <= minute < ``end``, as a zone shows them."""

    def __init__(self, begin, end, zone):
        self.begin, self.walls = begin, shown(begin, end, zone)
        self.reached = np.maximum.accumulate(self.walls)
        self.every = np.arange(self.walls.min(), self.walls.max() + 1)
        self.on_walls, self.on_every = Clock(self.walls), Clock(self.every)

    def ticks(self, calendar):
        if by_the_hands(calendar):
            return np.flatnonzero(named(self.on_walls, calendar)) + self.begin
        wanted = self.every[named(self.on_every, calendar)]
        # the first minute at which that time has been reached: it is shown then, or was skipped
        first = np.searchsorted(self.reached, wanted)
        if type(calendar).__name__ == "Cron":
            return np.unique(first) + self.begin
        before = np.maximum(first - 1, 0)
        late = np.where(self.walls[first] == wanted, first, before + wanted - self.walls[before])
        return np.unique(late) + self.begin


def ticks(calendar, after, until, zone):
    """The ticks later than ``after``, up to ``until``."""
    edge = 3 * 1440  # what the clocks skip, or show twice, may lie at the ends
    found = Time(number(after) - edge, number(until) + edge, zone).ticks(calendar)
    times = (EPOCH + dt.timedelta(minutes=int(one)) for one in found)
    return [time for time in times if after < time <= until]
