"""Other words for a calendar, which is due at the same times. Pure."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from blockdiff.schedule.calendar import (
    Calendar,
    Cron,
    Daily,
    Every,
    Hourly,
    Minutely,
    Monthly,
    Steps,
    Weekly,
    YearDay,
    Yearly,
)
from blockdiff.schedule.place import EPOCH, Piece, Place
from blockdiff.schedule.wall import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

_KNOWN = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
_SAMPLES = (dt.datetime(2023, 12, 28, tzinfo=dt.UTC), dt.datetime(2027, 6, 30, tzinfo=dt.UTC))
_HOUR, _DAY, _WEEK = 3600, 86400, 7 * 86400


def forms(calendar: Calendar, place: Place) -> list[Calendar]:
    """The calendar itself, and all others that are known to be due at the same times in a place."""
    found = [calendar]
    for one in found:
        for other in _forms(one, place.offset(0) if place.is_fixed else None):
            if other not in found and _agree(one, other, place):
                found.append(other)
    return found


@lru_cache(4096)
def _agree(one: Calendar, other: Calendar, place: Place) -> bool:
    """Whether two calendars are due at the same times, also where clocks are moved, as far as that is known."""
    if sample(one, place.zone) != sample(other, place.zone):
        return False
    tick, last = (seconds(time) // 60 for time in _KNOWN)
    while tick < last and not place.is_fixed:
        piece = place.piece(tick)
        if piece.before != piece.offset and _near(one, piece, place) != _near(other, piece, place):
            return False
        tick = piece.end
    return True


def sample(calendar: Calendar, zone: dt.tzinfo) -> tuple[tuple[dt.datetime, ...], ...]:
    """Some ticks of a calendar, to compare with those of another."""
    return tuple(tuple(islice(calendar.ticks(begin, zone), 12)) for begin in _SAMPLES)


def _near(calendar: Calendar, piece: Piece, place: Place) -> list[int]:
    """The ticks that a change of the clocks concerns."""
    moved = abs(piece.offset - piece.before)
    found, tick = [], calendar.following(piece.start * 60 - 1, place)
    while tick is not None and tick <= (piece.start + moved) * 60:
        found.append(tick)
        tick = calendar.following(tick, place)
    return found


def _forms(calendar: Calendar, offset: int | None) -> Iterator[Calendar]:
    """Candidates. ``offset`` (minutes) is that of clocks that are never moved, None if they are."""
    match calendar:
        case Cron():
            yield from _plain(calendar)
        case Minutely(_) if calendar.ratio[0] == 1:
            yield Every(60 * calendar.ratio[1])
        case Every(interval) if interval % 60 == 0 and calendar.begin % interval == 0 and interval < _WEEK:
            yield Minutely(60 / interval)
    yield from _dated(calendar)
    if offset is not None:
        yield from _by_no_clock(calendar, offset * 60)


def _dated(calendar: Calendar) -> Iterator[Calendar]:
    match calendar:
        case Monthly(day, hour, minute, short) if day <= 28:
            yield Monthly(day, hour, minute, "last" if short == "skip" else "skip")
        case Yearly(month, day, hour, minute) if (month, day) < (2, 29):
            yield YearDay(day + 31 * (month - 1), hour, minute)
        case YearDay(yearday, hour, minute) if yearday <= 59:
            yield Yearly(1 + (yearday > 31), yearday - 31 * (yearday > 31), hour, minute)
        case Steps(24, minute):
            yield Daily(0, minute)
        case Steps(1, minute):
            yield Hourly(minute)
        case Daily(0, minute):
            yield Steps(24, minute)
        case Hourly(minute):
            yield Steps(1, minute)


def _by_no_clock(calendar: Calendar, offset: int) -> Iterator[Calendar]:
    """Intervals for times of clocks that are never moved, and the other way. ``offset`` is in seconds."""
    match calendar:
        case Hourly(minute):
            yield _every(_HOUR, minute * 60 - offset)
        case Steps(hours, minute) if 24 % hours == 0:
            yield _every(hours * _HOUR, minute * 60 - offset)
        case Daily(hour, minute):
            yield _every(_DAY, hour * _HOUR + minute * 60 - offset)
        case Weekly(weekday, hour, minute):
            yield _every(_WEEK, (weekday - 4) * _DAY + hour * _HOUR + minute * 60 - offset)
        case Every(interval) if (calendar.begin + offset) % 60 == 0:
            yield from _of_interval(interval, (calendar.begin + offset) % interval)


def _of_interval(interval: int, begin: int) -> Iterator[Calendar]:
    """Times of clocks for an interval (seconds) that begins so long after midnight of a Thursday."""
    hour, minute = begin % _DAY // _HOUR, begin % _HOUR // 60
    if interval == _HOUR:
        yield Hourly(minute)
    elif interval == _DAY:
        yield Daily(hour, minute)
    elif interval == _WEEK:
        yield Weekly((begin // _DAY + 4) % 7, hour, minute)
    elif interval % _HOUR == 0 and _DAY % interval == 0 and begin < _HOUR:
        yield Steps(interval // _HOUR, minute)


def _every(seconds: int, begin: int) -> Every:
    return Every(seconds, EPOCH + dt.timedelta(seconds=begin % seconds))


def _plain(cron: Cron) -> Iterator[Calendar]:
    """What a cron text says in plainer words."""
    _, _, day, month, weekday = cron.text.split()
    hours, minutes = cron.fields.hours, cron.fields.minutes
    every = (month, weekday) == ("*", "*")
    if len(hours) == 24 and every and day == "*":
        yield from _cycles(minutes)
    if len(minutes) > 1:
        return
    hour, minute = hours[0], minutes[0]
    if every and day == "*" and len(hours) > 1 and hours == tuple(range(0, 24, hours[1])) and hour == 0:
        yield Steps(hours[1], minute)
    if len(hours) > 1:
        return
    if every and day == "*":
        yield Daily(hour, minute)
    elif every and day.isdigit():
        yield Monthly(int(day), hour, minute)
    elif (day, month) == ("*", "*") and weekday.isdigit():
        yield Weekly(int(weekday) % 7, hour, minute)
    elif weekday == "*" and day.isdigit() and month.isdigit():
        yield Yearly(int(month), int(day), hour, minute)


def _cycles(minutes: tuple[int, ...]) -> Iterator[Calendar]:
    """Minutes of each hour."""
    if len(minutes) == 1:
        yield Hourly(minutes[0])
    elif 60 % len(minutes) == 0 and minutes == tuple(range(0, 60, 60 // len(minutes))):
        yield Minutely(len(minutes) / 60)
