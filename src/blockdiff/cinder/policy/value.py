"""The values of metadata keys: each reader takes a text and gives a checked value, or raises InvalidInput in the words
of the original, with what is accepted.
"""

from __future__ import annotations

import datetime as dt
import re

from blockdiff.errors import InvalidInput
from blockdiff.schedule import words

TIME, COUNT = "time", "count"
INTERVALS = (6, 8, 12)
MOST = 1_000_000  # days, or snapshots: what a calendar of 9999 years can hold
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?", re.ASCII)
_NOT_ZONES = ("localtime", "posixrules", "posix/", "right/")  # differ by machine, or count leap seconds
_LONGEST = 80


def shown(text: str) -> str:
    """A text in single quotes, on one line and not too long."""
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return f"'{text}'" if text.isprintable() else f"'{text.encode('unicode_escape').decode()}'"


def boolean(text: str) -> bool:
    """``true``, ``1``, ``t`` and so on, as Go reads them; empty is false."""
    try:
        return words.boolean(text) if text else False
    except InvalidInput:
        raise InvalidInput(f"invalid value {shown(text)}; must be true or false (or 1, t, T, 0, f, F)") from None


def number(text: str, *, original: bool = False) -> int:
    """A whole number in decimal; empty is 0. ``original`` reads prefixes as Go does: 010 is 8, 0x10 is 16."""
    try:
        return words.integer(_prefixed(text) if original else text) if text else 0
    except InvalidInput:
        raise InvalidInput(f"invalid number {shown(text)}; must be a whole number in decimal digits") from None


def _prefixed(text: str) -> str:
    """The decimal text of a number with a prefix of its base."""
    octal = re.fullmatch(r"([+-]?)0(_?[0-7][0-7_]*)", text, re.ASCII)
    try:
        if not re.fullmatch(r"[+-]?[0-9A-Za-z_]{1,80}", text, re.ASCII):
            raise ValueError
        return str(int(f"{octal[1]}0o{octal[2]}" if octal else text, 0))
    except ValueError:
        raise InvalidInput(text) from None


def retention(value: int, default: int) -> int:
    """Days, or a count; 0 and less is the default."""
    if value > MOST:
        raise InvalidInput(f"invalid retention {value}; must be at most {MOST}")
    return value if value > 0 else default


def retention_type(text: str) -> str:
    """``time`` or ``count``; empty is time."""
    found = text.lower() or TIME
    if found not in (TIME, COUNT):
        raise InvalidInput(f"invalid retention type {shown(text)}; must be time or count")
    return found


def interval(value: int) -> int:
    """Hours; 0 and less is the default."""
    if value > 0 and value not in INTERVALS:
        raise InvalidInput(f"express interval must be 6, 8, or 12 hours; got {value}")
    return value if value > 0 else INTERVALS[0]


def day_of_month(value: int) -> int:
    """1 to 31: less is the first, more the 31st."""
    return min(max(value, 1), 31)


def start_time(text: str) -> dt.time:
    """``HH:MM`` or ``HH:MM:SS``, seconds are dropped; empty is midnight."""
    match = _CLOCK.fullmatch(text or "00:00")
    if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3] or 0) > 59:
        raise InvalidInput(f"invalid start time {shown(text)}; must be HH:MM or HH:MM:SS")
    return dt.time(int(match[1]), int(match[2]))


def weekday(text: str) -> int:
    """A day by name, by three letters, or by number, 0 is Sunday; empty is Sunday."""
    for day, name in enumerate(DAYS):
        if text in (name, name.title(), name[:3], name[:3].title(), str(day)):
            return day
    if not text:
        return 0
    raise InvalidInput(f"invalid day {shown(text)}; must be {', '.join(DAYS)}, three letters of it, or 0 to 6")


def zone(name: str) -> dt.tzinfo:
    """The time zone of an IANA name; empty is UTC."""
    if name in ("", "UTC"):
        return dt.UTC
    from zoneinfo import ZoneInfo

    try:
        if name.startswith(_NOT_ZONES):
            raise ValueError
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        bare = shown(name)[1:-1]
        raise InvalidInput(
            f"invalid timezone {shown(name)}: unknown time zone {bare}; must be one such as UTC or Europe/Berlin"
        ) from None


def zone_name(text: str) -> str:
    """The name of a time zone that exists; empty is UTC."""
    zone(text)
    return text or "UTC"
