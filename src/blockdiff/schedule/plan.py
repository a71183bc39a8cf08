"""One schedule: a destination, how many snapshots are kept there, and when they are taken.

Formats: snapper's Schedule (SoftIron HyperCloud), JSON and text both ways. Fields that are None are not set.
"""

from __future__ import annotations

import calendar
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule.calendar import Daily, Hourly, Minutely, Monthly, Weekly, YearDay, Yearly
from blockdiff.schedule.words import Destination, Option, Period, quoted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from blockdiff.schedule.calendar import Calendar

MONTHS = calendar.month_abbr
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")  # 0 is Sunday


class _Original(msgspec.Struct):
    """The JSON of one schedule. Keys that are not known are ignored, as the original does."""

    destination: str = "local"
    keep: int = 0
    minutely: float | None = None
    minute: int | None = None
    hour: int | None = None
    weekday: int | None = None
    day: int | None = None
    month: int | None = None
    yearday: int | None = None
    options: str = ""


class _Wire(_Original, forbid_unknown_fields=True):
    """The JSON of one schedule, with its time zone. Other keys are an error."""

    zone: str = ""


class _Range(NamedTuple):
    name: str
    least: int
    most: int


_RANGES = (
    _Range("minute", 0, 59),
    _Range("hour", 0, 23),
    _Range("weekday", 0, 6),
    _Range("day", 1, 31),
    _Range("month", 1, 12),
    _Range("yearday", 1, 366),
)


_TOP = 1 << 63
_FIELDS = ("minutely", *(limits.name for limits in _RANGES))
_CLOCK = ("minute", "hour")
_USED = {
    Period.MINUTELY: ("minutely",),
    Period.HOURLY: ("minute",),
    Period.DAILY: _CLOCK,
    Period.WEEKLY: (*_CLOCK, "weekday"),
    Period.MONTHLY: (*_CLOCK, "day"),
    Period.YEARLY: (*_CLOCK, "day", "month", "yearday"),
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """``weekday`` counts from Sunday (0), ``month`` and ``day`` and ``yearday`` from 1; ``options`` is a bit mask.

    ``minutely`` is the share of minutes, 0 to 1. ``zone`` names the time zone that hours and days are meant in; without
    one it is that of whoever asks. ``make`` fills in what follows from other fields.
    """

    destination: Destination = Destination.LOCAL
    keep: int = 1
    minutely: float | None = None
    minute: int | None = None
    hour: int | None = None
    weekday: int | None = None
    day: int | None = None
    month: int | None = None
    yearday: int | None = None
    options: int = 0
    zone: str = ""

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """A normalised schedule."""
        return cls(**_filled(fields))

    def normalised(self) -> Self:
        """With the hour, minute and day that longer periods imply."""
        return replace(self, **_filled({name: getattr(self, name) for name in _FIELDS}))

    @property
    def period(self) -> Period | None:
        """How often; None if no time is set at all, which is never."""
        if self.yearday is not None or self.month is not None:
            return Period.YEARLY
        for value, period in (
            (self.day, Period.MONTHLY),
            (self.weekday, Period.WEEKLY),
            (self.hour, Period.DAILY),
            (self.minute, Period.HOURLY),
            (self.minutely, Period.MINUTELY),
        ):
            if value is not None:
                return period
        return None

    @property
    def when(self) -> int:
        """The number of the longest unit that is set; -1 if none is."""
        for value in (self.yearday, self.month, self.day, self.weekday, self.hour, self.minute):
            if value is not None:
                return value
        return -1 if self.minutely is None else self.percent

    @property
    def place(self) -> dt.tzinfo | None:
        """The time zone; None if there is no name of one."""
        from blockdiff.retention.text import zone_of

        return zone_of(self.zone) if self.zone else None

    @property
    def percent(self) -> int:
        """``minutely`` in percent. The original prints 52 for 0.53, a fault of its 32 bits."""
        return int((self.minutely or 0.0) * 100 + 1e-4)

    @property
    def calendar(self) -> Calendar:
        """When it is due, without the zone; never if no time is set at all. Raises InvalidInput for a month and a day
        of the year at once: the original takes a snapshot on both.
        """
        hour, minute = self.hour or 0, self.minute or 0
        match self.period:
            case Period.YEARLY:
                if self.yearday is not None:
                    if self.month is not None:
                        raise InvalidInput("a schedule with a month and a day of the year is due on two days: give one")
                    return YearDay(self.yearday, hour, minute)
                return Yearly(self.month or 1, self.day or 1, hour, minute)
            case Period.MONTHLY:
                return Monthly(self.day or 1, hour, minute)
            case Period.WEEKLY:
                return Weekly(self.weekday or 0, hour, minute)
            case Period.DAILY:
                return Daily(hour, minute)
            case Period.HOURLY:
                return Hourly(minute)
        return Minutely(self.minutely or 0.0)

    def is_time(self, now: dt.datetime, *, chance: Callable[[], float] = random.random) -> bool:
        """Whether a snapshot is due in this minute, by the fields of ``now`` as they are, or by the schedule's own time
        zone. ``chance`` gives a number in [0, 1) for minutely schedules.
        """
        if self.zone:
            if now.tzinfo is None:
                raise InvalidInput(f"the time {now.isoformat()} has no time zone")
            now = now.astimezone(self.place)
        clock = (self.hour, self.minute) == (now.hour, now.minute)
        match self.period:
            case Period.YEARLY:
                if self.yearday is not None and self.yearday == now.timetuple().tm_yday:
                    return clock
                return (self.month, self.day) == (now.month, now.day) and clock
            case Period.MONTHLY:
                return self.day == now.day and clock
            case Period.WEEKLY:
                return self.weekday == now.isoweekday() % 7 and clock
            case Period.DAILY:
                return clock
            case Period.HOURLY:
                return self.minute == now.minute
            case Period.MINUTELY:
                return self.minutely is not None and chance() <= self.minutely
        return False

    def matches(self, other: Schedule) -> bool:
        """Whether both are due at the same times, of time zones of one name; where to and how many does not matter.

        Yearly ones are compared by month, day and day of year; the original takes any two months for one.
        """
        if self.period is None or (self.period, self.zone) != (other.period, other.zone):
            return False
        return self.period == Period.MINUTELY or self._times == other._times

    @property
    def _times(self) -> tuple[int | None, ...]:
        return tuple(getattr(self, name) for name in _USED[self.period]) if self.period else ()

    def checked(self) -> Self:
        """Itself. Raises InvalidInput for a number that no calendar has, such as hour 24."""
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InvalidInput(f"invalid {name} {value}: accepted are {least} to {most}")
        if not -_TOP <= self.keep < _TOP:
            raise InvalidInput(f"invalid keep: accepted are {-_TOP} to {_TOP - 1}")
        if self.minutely is not None and not 0 <= self.minutely <= 1:
            raise InvalidInput(f"invalid minutely {self.minutely}: accepted are 0 to 1")
        if self.zone:
            known_zone(self.zone)
        return self

    def plain(self) -> Self:
        """Itself, if its text says all of it. Raises InvalidInput for parts of a percent, for a field that its period
        has no use for, and if no time is set: the original ignores these.
        """
        if self.period is None:
            raise InvalidInput(f"no time is set, so it is never due: accepted are {', '.join(_FIELDS)}")
        used = _USED[self.period]
        extra = [name for name in _FIELDS if getattr(self, name) is not None and name not in used]
        if self.yearday is not None and (self.month, self.day) != (None, None):
            extra.append("yearday")
        if extra:
            use = "month and day, or yearday" if self.period == Period.YEARLY else ", ".join(used)
            raise InvalidInput(f"invalid {extra[0]}: a {self.period} schedule has {use}")
        if self.minutely is None:
            return self
        if abs(self.minutely * 100 - self.percent) > 1e-4:
            raise InvalidInput(f"invalid minutely {self.minutely}: whole percents are wanted, such as 0.25")
        return replace(self, minutely=self.percent / 100)  # in 64 bits

    # ---- JSON ----

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, keys in the original's order, without those that are not set."""
        times = {name: getattr(self, name) for name in ("minute", "hour", "weekday", "day", "month")}
        share = int(self.minutely) if self.minutely in (0, 1) else self.minutely  # as Go writes it: 1, and not 1.0
        fields = {"destination": self.destination.text, "keep": self.keep, "minutely": share, **times}
        fields["yearday"] = self.yearday
        if self.options:
            fields["options"] = Option.text_of(self.options)
        if self.zone:
            fields["zone"] = self.zone
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_dict(cls, value: object, *, original: bool = False) -> Self:
        """A schedule of its JSON object, normalised and checked. A ``keep`` that is missing is 0, not 1.

        ``original`` ignores keys that are not known, the zone, and whether keys are upper case, as the original does.
        """
        if original and isinstance(value, dict):  # null changes nothing there
            value = {name.lower(): what for name, what in value.items() if what is not None}
        try:
            wire = msgspec.convert(value, _Original if original else _Wire)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"no schedule: {error}") from None
        fields: dict[str, Any] = {name: getattr(wire, name) for name in wire.__struct_fields__}
        fields["destination"] = Destination.parse(wire.destination)
        fields["options"] = int(Option.parse(wire.options)) if wire.options else 0
        found = cls.make(**fields).checked()
        return found if original else found.plain()


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, with those that follow from others."""
    get = fields.get
    if get("month") is not None and get("day") is None:
        fields["day"] = 1
    if any(get(name) is not None for name in ("yearday", "month", "day", "weekday")):
        fields["hour"] = get("hour") or 0
    if get("hour") is not None:
        fields["minute"] = get("minute") or 0
    return fields


def known_zone(name: str) -> str:
    """The name itself. Raises InvalidInput for one that is not known here, or that a text could not say."""
    from blockdiff.retention.text import zone_of

    try:
        if ":" in name:  # an offset, which old readers would take for a period
            raise InvalidInput
        zone_of(name)
    except InvalidInput:
        raise InvalidInput(f"no time zone {quoted(name)}: write UTC or one such as Europe/Berlin") from None
    return name
