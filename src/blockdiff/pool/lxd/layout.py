"""Times written by an example, as Go's ``time.Format`` does: ``2006-01-02 15:04:05.000 -0700 MST``.

The example is January 2 of 2006, 15:04:05, seven hours west of Greenwich; what is no part of it is text. The elements
are those of the documentation of Go's package ``time``.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# in the order in which Go tries them at each place; short names are none before a small letter: "Month", "Janet"
_ELEMENT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|_2(?!006)|__2|3|4|5|PM|pm"
    r"|[-Z]07(?:0000|:00:00|00|:00)?|[.,](?:0+|9+)(?![0-9])",
    re.ASCII,
)
_ZONE = re.compile(r"UTC[+-].*")


def write_time(time: dt.datetime, layout: str) -> str:
    """The text of a time with its zone, in a Go layout. Fractions have the six digits of microseconds, then zeros."""
    return _ELEMENT.sub(lambda match: _write(time, match[0]), layout)


def _write(time: dt.datetime, element: str) -> str:
    if element[0] in ".,":
        return _fraction(time, element)
    if element[0] in "-Z":
        return _offset(time, element)
    return _WRITERS[element](time)


def _twelve(time: dt.datetime) -> int:
    return time.hour % 12 or 12


def _fraction(time: dt.datetime, element: str) -> str:
    """``.000`` as many digits, ``.999`` as many at most, without zeros at the end; nine are the most there are."""
    shown = f"{time.microsecond:06}000"[: len(element) - 1]
    if element[1] == "0":
        return element[0] + shown
    shown = shown.rstrip("0")
    return element[0] + shown if shown else ""


def _offset(time: dt.datetime, element: str) -> str:
    offset = time.utcoffset() or dt.timedelta()
    if element[0] == "Z" and not offset:
        return "Z"
    seconds = abs(offset) // dt.timedelta(seconds=1)
    sign = "-" if offset <= -dt.timedelta(minutes=1) else "+"
    parts = [f"{seconds // 3600:02}", f"{seconds // 60 % 60:02}", f"{seconds % 60:02}"]
    digits = sum(char.isdigit() for char in element)
    return sign + (":" if ":" in element else "").join(parts[: digits // 2])


def _abbreviation(time: dt.datetime) -> str:
    """The zone's name, or its offset where it has none."""
    name = time.tzname()
    if name and not (isinstance(time.tzinfo, dt.timezone) and _ZONE.fullmatch(name)):
        return name
    return _offset(time, "-0700")


_WRITERS: dict[str, Callable[[dt.datetime], str]] = {
    "January": lambda time: _MONTHS[time.month - 1],
    "Jan": lambda time: _MONTHS[time.month - 1][:3],
    "Monday": lambda time: _DAYS[time.weekday()],
    "Mon": lambda time: _DAYS[time.weekday()][:3],
    "MST": _abbreviation,
    "01": lambda time: f"{time.month:02}",
    "02": lambda time: f"{time.day:02}",
    "03": lambda time: f"{_twelve(time):02}",
    "04": lambda time: f"{time.minute:02}",
    "05": lambda time: f"{time.second:02}",
    "06": lambda time: f"{time.year % 100:02}",
    "002": lambda time: f"{time.timetuple().tm_yday:03}",
    "15": lambda time: f"{time.hour:02}",
    "1": lambda time: str(time.month),
    "2006": lambda time: f"{time.year:04}",
    "2": lambda time: str(time.day),
    "_2": lambda time: f"{time.day:2}",
    "__2": lambda time: f"{time.timetuple().tm_yday:3}",
    "3": lambda time: str(_twelve(time)),
    "4": lambda time: str(time.minute),
    "5": lambda time: str(time.second),
    "PM": lambda time: "PM" if time.hour >= 12 else "AM",
    "pm": lambda time: "pm" if time.hour >= 12 else "am",
}
ELEMENTS = (*_WRITERS, *(f"{sign}07{rest}" for sign in "-Z" for rest in ("", "00", ":00", "0000", ":00:00")))
