"""The values of retention. What one says of a list of snapshots is in ``choice``.

``zone`` is the time zone whose days, weeks, months and years count; None is that of the schedule's rule, or of whoever
asks, and UTC where nobody says.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import TypeAlias

from blockdiff.errors import InvalidInput

ALL = (1 << 63) - 1
"""A count without a limit; its text is ``all``."""


@dataclass(frozen=True, slots=True)
class KeepCount:
    """The newest ``count`` (snapper's keep, openstorage's retain).

    Schedules may say 0 or less, so it can be held; to expire by it is refused.
    """

    count: int

    def __post_init__(self) -> None:
        _checked("count", self.count, least=-ALL)

    @property
    def keeps_something(self) -> bool:
        return self.count > 0


@dataclass(frozen=True, slots=True)
class KeepDays:
    """Each for ``days`` calendar days after its time: until the same time of day ``days`` later (SnapSentry)."""

    days: int
    zone: dt.tzinfo | None = None

    def __post_init__(self) -> None:
        _checked("days", self.days)
        object.__setattr__(self, "zone", known_zone(self.zone))

    @property
    def keeps_something(self) -> bool:
        return self.days > 0


@dataclass(frozen=True, slots=True)
class KeepAge:
    """Each until its time plus years, months, weeks and days of the calendar, then plus the rest (LXD's expiry).

    A day that the month does not have goes over into the next one: January 31 and one month is March 2 or 3.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0
    zone: dt.tzinfo | None = None

    def __post_init__(self) -> None:
        for name in AGE_UNITS:
            _checked(name, getattr(self, name))
        object.__setattr__(self, "zone", known_zone(self.zone))

    @property
    def keeps_something(self) -> bool:
        return any(getattr(self, name) for name in AGE_UNITS)


@dataclass(frozen=True, slots=True)
class GFS:
    """Grandfather-father-son: the newest ``last``, and the newest of each of the newest ``hourly`` hours, ``daily``
    days, ``weekly`` weeks (Monday to Sunday), ``monthly`` months and ``yearly`` years.

    Only hours, days and so on that have a snapshot count, so that gaps use nothing up. Each number counts by itself:
    one snapshot may be the newest of its day and of its month. ALL is no limit.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    zone: dt.tzinfo | None = None

    def __post_init__(self) -> None:
        for name in GFS_COUNTS:
            _checked(name, getattr(self, name))
        object.__setattr__(self, "zone", known_zone(self.zone))

    @property
    def keeps_something(self) -> bool:
        return any(getattr(self, name) for name in GFS_COUNTS)


_Single: TypeAlias = KeepCount | KeepDays | KeepAge | GFS
_KINDS = (KeepCount, KeepDays, KeepAge, GFS)


@dataclass(frozen=True, slots=True)
class KeepAny:
    """Kept while one of the ``members`` keeps it: two or more, at most one of each kind, all of one zone."""

    members: tuple[_Single, ...]

    def __post_init__(self) -> None:
        kinds = [_KINDS.index(type(member)) if type(member) in _KINDS else -1 for member in self.members]
        if -1 in kinds or len(set(kinds)) != len(kinds) or len(kinds) < 2:
            raise InvalidInput(
                "one count, days, age or grandfather-father-son each, and two of them or more are wanted"
            )
        if len({member.zone for member in self.members if not isinstance(member, KeepCount)}) > 1:
            raise InvalidInput("what is kept together has one time zone")
        ordered = sorted(self.members, key=lambda member: _KINDS.index(type(member)))
        object.__setattr__(self, "members", tuple(ordered))

    @property
    def keeps_something(self) -> bool:
        return any(member.keeps_something for member in self.members)


Retention: TypeAlias = KeepCount | KeepDays | KeepAge | GFS | KeepAny

AGE_UNITS = tuple(field.name for field in fields(KeepAge))[:-1]
GFS_COUNTS = tuple(field.name for field in fields(GFS))[:-1]


def _checked(name: str, value: object, least: int = 0) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"{name} is no whole number: {value!r}")
    if not least <= value <= ALL:
        raise InvalidInput(f"{name} {value} is out of range: {least} or more is wanted")


def known_zone(zone: dt.tzinfo | None) -> dt.tzinfo | None:
    """The zone, UTC always as the same value. Raises InvalidInput for one that has no name or offset to write."""
    if zone is None:
        return None
    if zone_text(zone) in ("UTC", "Etc/UTC"):
        return dt.UTC
    return zone


def zone_text(zone: dt.tzinfo) -> str:
    """``UTC``, ``Europe/Berlin`` or ``+05:30``. Raises InvalidInput."""
    key = getattr(zone, "key", None)
    if isinstance(key, str):
        return key
    if isinstance(zone, dt.timezone):
        offset = zone.utcoffset(None)
        minutes, rest = divmod(offset, dt.timedelta(minutes=1))
        if not rest:
            hour, minute = divmod(abs(minutes), 60)
            return f"{'-' if minutes < 0 else '+'}{hour:02}:{minute:02}" if minutes else "UTC"
    raise InvalidInput(f"the time zone {zone!r} has no name: a zoneinfo one, UTC or an offset of minutes is wanted")
