"""``snapshots.expiry``: how long a snapshot is kept, such as ``1M 2H 3d 4w 5m 6y``.

Units are S, M and H for seconds, minutes and hours, d, w, m and y for days, weeks, months and years. Years, months and
days are added first, by the calendar, then the rest (docs/schedules/lxd.md).
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple, Self

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.pool.fault import fault
from blockdiff.retention import KeepAge, KeepDays, Retention, text_of
from blockdiff.schedule.civil import add_date
from blockdiff.schedule.spot import ScheduleError, Spot

_UNITS = {
    "S": "seconds", "M": "minutes", "H": "hours", "d": "days", "w": "weeks", "m": "months", "y": "years",
}  # fmt: skip
_LETTERS = "".join(_UNITS)
_PART = re.compile(rf"([0-9]{{1,99}})([{_LETTERS}])", re.ASCII)
_TOP = (1 << 63) - 1
_HINT = f"write numbers with {', '.join(_UNITS)}, one space between them, such as 1M 2H 3d 4w 5m 6y"


class ExpiryError(ScheduleError):
    """A text that is no expiry."""


class Expiry(NamedTuple):
    """How much is added to the time of a snapshot; if that is nothing, it expires at once. ``str()`` is the text."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The expiry of a text, None (never) for an empty one. Raises ExpiryError with the column.

        A unit is given once; after a zero it may be given again.
        """
        return cls.read(Spot.of(text))

    @classmethod
    def read(cls, spot: Spot) -> Self | None:
        """The same of a part of a text."""
        if not spot.text:
            return None
        found = dict.fromkeys(_UNITS.values(), 0)
        for part in spot.split(" "):
            match = _PART.fullmatch(part.text)
            if match is None or int(match[1]) > _TOP:
                raise fault(ExpiryError, part, f"Invalid expiry expression: {_HINT}")
            unit = _UNITS[match[2]]
            if found[unit]:
                raise fault(ExpiryError, part, f"Invalid expiry expression: {unit} are given twice")
            found[unit] = int(match[1])
        return cls(**found)

    def __str__(self) -> str:
        shown = (f"{value}{letter}" for letter, unit in _UNITS.items() if (value := getattr(self, unit)))
        return " ".join(shown) or "0S"

    def apply(self, ref: dt.datetime) -> dt.datetime:
        """When a snapshot made at ``ref`` expires. Years, months and days go by the clocks of its zone, the rest does
        not: a day may have 23 hours, ``24H`` has 24. Raises InvalidInput beyond the year 9999.
        """
        moved = add_date(ref, self.years, self.months, self.days + 7 * self.weeks)
        try:
            rest = dt.timedelta(hours=self.hours, minutes=self.minutes, seconds=self.seconds)
            return (moved.astimezone(dt.UTC) + rest).astimezone(ref.tzinfo) if rest else moved
        except OverflowError:
            raise InvalidInput(f"{self} after {ref.isoformat()} is beyond the year 9999") from None

    def keep(self, zone: dt.tzinfo | None = None) -> KeepAge:
        """The same as retention: until the time plus this, by the clocks of a zone."""
        return KeepAge(**self._asdict(), zone=zone)

    @classmethod
    def of(cls, keep: Retention) -> Self:
        """The expiry that says the same as retention. Raises InvalidInput if none does: LXD knows ages only."""
        if isinstance(keep, KeepDays):
            return cls(days=keep.days)
        if not isinstance(keep, KeepAge):
            raise InvalidInput(f"lxd cannot say {text_of(keep)}: it has an age only")
        return cls(*(getattr(keep, unit) for unit in cls._fields))

    def to_json(self) -> bytes:
        """The JSON object: all units, whole numbers."""
        return msgspec.json.encode(self._asdict())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The expiry of its JSON object; a unit that is missing is 0. Raises InvalidInput."""
        try:
            return cls(**msgspec.convert(msgspec.json.decode(text), _Wire).to_dict())
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
            raise InvalidInput(f"no expiry: {error}") from None


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0

    def to_dict(self) -> dict[str, int]:
        found = msgspec.structs.asdict(self)
        if any(not 0 <= value <= _TOP for value in found.values()):
            raise msgspec.ValidationError("each number is 0 or more, of 63 bits")
        return found
