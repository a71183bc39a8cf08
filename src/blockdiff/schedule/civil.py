"""Calendar arithmetic on times with a zone: years, months and days by the date, the clock as the zone shows it."""

from __future__ import annotations

import datetime as dt

from blockdiff.errors import InvalidInput

_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097  # the Gregorian calendar repeats


def add_date(time: dt.datetime, years: int = 0, months: int = 0, days: int = 0) -> dt.datetime:
    """The time so many years, months and days later, or earlier, at the same time of day in its zone.

    A day that the month does not have runs over, as in Go's ``time.AddDate``: January 31 and a month is March 2 or 3.
    A time of day that the clocks skip becomes as much later, one that they show twice is its first showing; the time
    itself stays what it is if nothing is added. Raises InvalidInput for a time without a zone, and outside the years 1
    to 9999.
    """
    if time.tzinfo is None:
        raise InvalidInput(f"the time {time.isoformat()} has no time zone")
    year, month = divmod(time.year * 12 + time.month - 1 + years * 12 + months, 12)
    cycles, year = divmod(year - 1, _CYCLE_YEARS)
    first = dt.date(year + 1, month + 1, 1).toordinal() + cycles * _CYCLE_DAYS
    try:
        date = dt.date.fromordinal(first + time.day - 1 + days)
        if date == time.date():
            return time
        moved = dt.datetime.combine(date, time.time().replace(fold=0), time.tzinfo)
        return moved.astimezone(dt.UTC).astimezone(time.tzinfo)
    except (OverflowError, ValueError):
        added = f"{years} years, {months} months and {days} days"
        raise InvalidInput(f"{time.isoformat()} and {added} lies outside the years 1 to 9999") from None
