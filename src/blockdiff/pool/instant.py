"""Moments to the nanosecond, which ``datetime`` does not have: two creation dates are the same or they are not.

Text: RFC 3339 as Go writes it, such as ``2024-05-01T12:00:00.123456789+02:00``; written back in UTC.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple, Self

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import quoted

_TEXT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9})0*)?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_SECOND = 1_000_000_000
_DAY = 86400 * _SECOND
_EPOCH = dt.date(1970, 1, 1).toordinal()
_CYCLE = 146_097  # days in 400 years; Python has no year 0, Go does
_FIRST, _LAST = -(_EPOCH + 365) * _DAY, (dt.date.max.toordinal() - _EPOCH + 1) * _DAY


class Instant(NamedTuple):
    """``nanoseconds`` since 1970 in UTC, without leap seconds. Of the years 0 to 9999."""

    nanoseconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The instant of an RFC 3339 text. Raises InvalidInput, also for more digits than nanoseconds have."""
        match = _TEXT.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            seconds = _days(*map(int, match.group(1, 2, 3))) * 86400 + _clock(match[4], match[5], match[6])
            offset = _clock(match[9], match[10], "00") if match[8] else 0
        except ValueError:
            raise InvalidInput(f"invalid time {quoted(text)}: write 2006-01-02T15:04:05.999999999Z07:00") from None
        seconds += offset if match[8] == "-" else -offset
        return cls(seconds * _SECOND + int((match[7] or "").ljust(9, "0"))).checked()

    @classmethod
    def of(cls, time: dt.datetime | str | Instant) -> Self:
        """The instant of a text, or of a time with its zone. Raises InvalidInput."""
        if isinstance(time, Instant):
            return cls(time.nanoseconds)
        if isinstance(time, str):
            return cls.parse(time)
        if time.tzinfo is None:
            raise InvalidInput(f"the time {time.isoformat()} has no time zone")
        offset = time.utcoffset() or dt.timedelta()
        wall = time.replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return cls((wall - offset) // dt.timedelta(microseconds=1) * 1000).checked()

    def checked(self) -> Self:
        """Itself. Raises InvalidInput outside of the years 0 to 9999, which the text cannot say."""
        if not _FIRST <= self.nanoseconds < _LAST:
            raise InvalidInput("a time lies outside the years 0 to 9999")
        return self

    def __str__(self) -> str:
        days, rest = divmod(self.nanoseconds, _DAY)
        year, ordinal = (0, days + _EPOCH) if days + _EPOCH > 0 else (400, days + _EPOCH + _CYCLE)
        date = dt.date.fromordinal(ordinal)
        seconds, fraction = divmod(rest, _SECOND)
        shown = f".{fraction:09}".rstrip("0") if fraction else ""
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{date.year - year:04}-{date:%m-%d}T{clock}{shown}Z"


def _days(year: int, month: int, day: int) -> int:
    if year:
        return dt.date(year, month, day).toordinal() - _EPOCH
    return dt.date(400, month, day).toordinal() - _CYCLE - _EPOCH


def _clock(hour: str, minute: str, second: str) -> int:
    """Seconds of a time of day. Raises ValueError."""
    time = dt.time(int(hour), int(minute), int(second))
    return time.hour * 3600 + time.minute * 60 + time.second
