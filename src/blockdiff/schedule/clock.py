"""The WHEN of one entry, by period: ``30``, ``3:15``, ``Tue``, ``15``, ``Feb``, ``032``, each perhaps with a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.schedule.plan import MONTHS, WEEKDAYS
from blockdiff.schedule.words import Period, integer, quoted

if TYPE_CHECKING:
    from blockdiff.schedule.plan import Schedule

    Fields = dict[str, int | float | None]

_CLOCK = "perhaps with /HH:MM"
ACCEPTED = {
    Period.MINUTELY: "a share of the minutes in percent, 0 to 100",
    Period.HOURLY: "a minute, 0 to 59",
    Period.DAILY: "an hour, 0 to 23, or HH:MM",
    Period.WEEKLY: f"0 to 6 or Sun to Sat, {_CLOCK}",
    Period.MONTHLY: f"a day, 1 to 31, {_CLOCK}",
    Period.YEARLY: f"Jan to Dec, Jan-1 to Dec-31, 01 to 12 for a month, 001 to 366 for a day, {_CLOCK}",
}

_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})", re.ASCII)
_DATE = re.compile(r"([A-Za-z]+)-([0-9]{1,2})", re.ASCII)


def read(period: Period, text: str, *, original: bool = False) -> Fields:
    """The fields that a text sets; an empty text is the period's default. Raises InvalidInput.

    ``original`` knows no times behind days, and takes no notice of what follows the first letters of a name.
    """
    if period == Period.MINUTELY:
        return {"minutely": min(max(integer(text), 0), 100) / 100 if text else 1.0}
    if period == Period.HOURLY:
        return {"minute": _number(text, "minute", 0, 59)}
    if period == Period.DAILY:
        return _time(text) if ":" in text and not original else {"hour": _number(text, "hour", 0, 23)}
    day, slash, time = (text, "", "") if original else text.partition("/")
    fields: Fields = _time(time) if slash else {}
    if period == Period.WEEKLY:
        return {"weekday": _weekday(day), **fields}
    if period == Period.MONTHLY:
        return {"day": _number(day, "day", 1, 31, default=1), **fields}
    return {**_yearly(day, original=original), **fields}


def write(one: Schedule) -> str:
    """The text that ``read`` gives the same fields for; empty for what is the default and not written."""
    match one.period:
        case Period.MINUTELY:
            return str(one.percent)  # also 0: without it a text means 100
        case Period.HOURLY:
            return str(one.minute) if one.minute else ""
        case Period.DAILY:
            return f"{one.hour:02}:{one.minute:02}" if one.minute else str(one.hour)
        case Period.WEEKLY:
            return WEEKDAYS[one.weekday or 0] + _time_text(one)
        case Period.MONTHLY:
            return f"{one.day}{_time_text(one)}"
        case Period.YEARLY:
            return _date_text(one) + _time_text(one)
    return ""


def _date_text(one: Schedule) -> str:
    if one.yearday:
        return f"{one.yearday:03}"
    return MONTHS[one.month or 1] + (f"-{one.day}" if one.day not in (None, 1) else "")


def _time_text(one: Schedule) -> str:
    return f"/{one.hour:02}:{one.minute:02}" if one.hour or one.minute else ""


def _time(text: str) -> Fields:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidInput(f"invalid time {quoted(text)}")
    hour, minute = int(match[1]), int(match[2])
    return {"hour": _inside(hour, "hour", 0, 23), "minute": _inside(minute, "minute", 0, 59)}


def _number(text: str, name: str, least: int, most: int, default: int = 0) -> int:
    """A number of which one leading zero may be there."""
    return _inside(integer(_stripped(text, 1)), name, least, most) if text else default


def _inside(value: int, name: str, least: int, most: int) -> int:
    if not least <= value <= most:
        raise InvalidInput(f"invalid {name} {value}")
    return value


def _stripped(text: str, zeros: int) -> str:
    while zeros and len(text) > 1 and text.startswith("0"):
        text, zeros = text[1:], zeros - 1
    return text


def _weekday(text: str) -> int:
    if not text:
        return 0
    try:
        value = integer(text)
    except InvalidInput:
        names = [name.lower() for name in WEEKDAYS]
        if text[:3].lower() not in names:
            raise InvalidInput(f"invalid weekday {quoted(text)}") from None
        return names.index(text[:3].lower())
    if not 0 <= value <= 6:
        raise InvalidInput(f"invalid day %!Weekday({value})")
    return value


def _yearly(text: str, *, original: bool) -> Fields:
    """A month by name or two characters, perhaps with a day, or a day of the year by three characters."""
    dated = None if original else _DATE.fullmatch(text)
    name, day = (dated[1], dated[2]) if dated else (text, "")
    names = [month.lower() for month in MONTHS]
    if not text:
        return {"month": 1}
    if len(name) >= 3 and name[:3].lower() in names[1:]:
        return {"month": names.index(name[:3].lower()), **({"day": _inside(int(day), "day", 1, 31)} if day else {})}
    return _numbered(text, original=original)


def _numbered(text: str, *, original: bool) -> Fields:
    shown = _stripped(text, 2)
    try:
        value = integer(text)
    except InvalidInput:
        raise InvalidInput(f"invalid day {quoted(shown)}") from None
    if len(text) not in (2, 3):
        raise InvalidInput(f"invalid day {quoted(shown)}")
    if value == 0 and original:
        return {"hour": None}
    if len(text) == 2:
        if not 1 <= value <= 12:
            raise InvalidInput(f"invalid month %!Month({value})")
        return {"month": value}
    return {"yearday": _inside(value, "yearday", 1, 366)}
