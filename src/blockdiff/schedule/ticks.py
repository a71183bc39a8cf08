"""When a schedule is due: instants, from the calendar of a time zone. Pure: the time is an argument.

A tick is a whole minute, given in UTC. What comes daily or less often has one tick on each of its dates: a time that
the clocks skip (daylight saving begins) becomes the instant at which they would have shown it without the skip, one
that they show twice is its first showing. What comes hourly goes by the minute hand, and has both of the hours that
are shown twice.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import heapq
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import Period

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.schedule.plan import Schedule

MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
_YEARS = 9  # February 29 is at most eight years away


def next_tick(one: Schedule, after: dt.datetime, zone: dt.tzinfo = dt.UTC) -> dt.datetime | None:
    """The first tick later than ``after`` (with its zone); None if there is none, or none before the year 9999."""
    return next(ticks(one, after, zone), None)


def upcoming(
    schedules: Iterable[Schedule], after: dt.datetime, zone: dt.tzinfo = dt.UTC
) -> Iterator[tuple[dt.datetime, Schedule]]:
    """The ticks of all schedules in the order of time, each with its schedule; at one time in the order given."""

    def numbered(number: int, one: Schedule) -> Iterator[tuple[dt.datetime, int, Schedule]]:
        return ((tick, number, one) for tick in ticks(one, after, zone))

    merged = heapq.merge(*(numbered(number, one) for number, one in enumerate(schedules)), key=lambda item: item[:2])
    return ((tick, one) for tick, _, one in merged)


def due(
    one: Schedule, since: dt.datetime, until: dt.datetime, zone: dt.tzinfo = dt.UTC, *, catch_up: bool = True
) -> tuple[list[dt.datetime], int]:
    """The ticks to act on now, and how many were missed: ``since < tick <= until``.

    Of several only the last is acted on, and with ``catch_up`` false only one in the minute of ``until``: an hour of
    standstill does not take sixty snapshots of one state.
    """
    found, count = None, 0
    for tick in ticks(one, since, zone):
        if tick > until:
            break
        found, count = tick, count + 1
    if found is None or (not catch_up and until - found >= MINUTE):
        return [], count
    return [found], count - 1


def ticks(one: Schedule, after: dt.datetime, zone: dt.tzinfo = dt.UTC) -> Iterator[dt.datetime]:
    """All ticks later than ``after``, ascending. Raises InvalidInput for a time without a zone."""
    if after.tzinfo is None:
        raise InvalidInput(f"the time {after.isoformat()} has no time zone")
    if one.period is None:
        return iter(())
    now = after.astimezone(dt.UTC)
    if one.period > Period.HOURLY:
        return _daily(one, now, zone)
    return _minutely(one, now) if one.period == Period.MINUTELY else _hourly(one.minute or 0, now, zone)


def chosen(minute: dt.datetime, share: float) -> bool:
    """Whether a minute is one of a share (0 to 1) of all minutes: the same answer each time, and for everybody."""
    if share >= 1:
        return True
    number = int(minute.timestamp()) // 60
    digest = hashlib.blake2b(number.to_bytes(8, "big", signed=True), digest_size=7).digest()
    return int.from_bytes(digest, "big") < share * (1 << 56)


def _minutely(one: Schedule, after: dt.datetime) -> Iterator[dt.datetime]:
    share = one.minutely or 0.0
    tick = after.replace(second=0, microsecond=0)
    while share > 0:
        try:
            tick += MINUTE
        except OverflowError:
            return
        if chosen(tick, share):
            yield tick


def _hourly(minute: int, after: dt.datetime, zone: dt.tzinfo) -> Iterator[dt.datetime]:
    tick = after.replace(second=0, microsecond=0)
    try:
        while True:
            tick += MINUTE
            shown = tick.astimezone(zone).minute
            if shown != minute:
                # one less, and then step by step: the offset may change by half an hour on the way
                tick += MINUTE * ((minute - shown) % 60 - 1)
                continue
            yield tick
    except OverflowError:
        return


def _daily(one: Schedule, after: dt.datetime, zone: dt.tzinfo) -> Iterator[dt.datetime]:
    clock = dt.time(one.hour or 0, one.minute or 0)
    last = after
    try:
        # a day back: a tick that was skipped by the clocks may lie behind its date
        for date in _dates(one, after.astimezone(zone).date() - DAY):
            tick = dt.datetime.combine(date, clock, zone).astimezone(dt.UTC)
            if tick > last:
                yield tick
                last = tick
    except (OverflowError, ValueError):
        return


def _dates(one: Schedule, start: dt.date) -> Iterator[dt.date]:
    """The dates from ``start`` on."""
    match one.period:
        case Period.DAILY:
            return _every(start, 1)
        case Period.WEEKLY:
            return _every(start + DAY * (((one.weekday or 0) - start.isoweekday()) % 7), 7)
        case Period.MONTHLY:
            return _monthly(one.day or 1, start)
    return _yearly(one, start)


def _every(date: dt.date, days: int) -> Iterator[dt.date]:
    while True:
        yield date
        date += DAY * days


def _monthly(day: int, start: dt.date) -> Iterator[dt.date]:
    year, month = start.year, start.month
    while year <= dt.MAXYEAR:
        if day <= calendar.monthrange(year, month)[1] and (date := dt.date(year, month, day)) >= start:
            yield date
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def _yearly(one: Schedule, start: dt.date) -> Iterator[dt.date]:
    missed = 0
    for year in range(start.year, dt.MAXYEAR + 1):
        date = _in_year(one, year)
        missed = 0 if date else missed + 1
        if missed > _YEARS:  # February 30
            return
        if date and date >= start:
            yield date


def _in_year(one: Schedule, year: int) -> dt.date | None:
    if one.yearday is not None:
        if one.yearday > 365 + calendar.isleap(year):
            return None
        return dt.date(year, 1, 1) + DAY * (one.yearday - 1)
    month, day = one.month or 1, one.day or 1
    return dt.date(year, month, day) if day <= calendar.monthrange(year, month)[1] else None
