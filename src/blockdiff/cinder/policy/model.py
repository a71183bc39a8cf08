"""The four kinds of policy, as values that are always valid: bad ones cannot be made.

Formats and defaults: SnapSentry (openstack-snapsentry-go), internal/policy.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from blockdiff.cinder.policy import value
from blockdiff.cinder.policy.key import key_of
from blockdiff.errors import InvalidInput
from blockdiff.retention import KeepCount, KeepDays
from blockdiff.schedule.calendar import Daily as DailyCalendar
from blockdiff.schedule.calendar import Monthly as MonthlyCalendar
from blockdiff.schedule.calendar import Steps
from blockdiff.schedule.calendar import Weekly as WeeklyCalendar

if TYPE_CHECKING:
    from collections.abc import Callable

MIDNIGHT = dt.time(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What all kinds have. ``retention`` is days if ``retention_type`` is ``time``, snapshots if it is ``count``.

    0 stands for the default of the kind. Raises InvalidInput with the key of the value that is wrong.
    """

    enabled: bool = True
    retention: int = 0
    retention_type: str = value.TIME
    timezone: str = "UTC"

    kind: ClassVar[str] = ""
    default: ClassVar[int] = 0

    def __post_init__(self) -> None:
        self._set("enabled", "enabled", _truth)
        self._set("retention", "retention-days", lambda days: value.retention(_whole(days), self.default))
        self._set("retention_type", "retention-type", value.retention_type)
        self._set("timezone", "timezone", value.zone_name)
        self._more()

    def _more(self) -> None:
        """Checks the fields that only this kind has."""

    def _set(self, field: str, suffix: str, check: Callable[[Any], object]) -> None:
        try:
            object.__setattr__(self, field, check(getattr(self, field)))
        except InvalidInput as error:
            raise InvalidInput(f"{key_of(self.kind, suffix)}: {error}") from None

    @property
    def zone(self) -> dt.tzinfo:
        """The time zone whose clocks count."""
        return value.zone(self.timezone)

    @property
    def keep(self) -> KeepDays | KeepCount:
        """How long its snapshots are kept."""
        return KeepDays(self.retention) if self.retention_type == value.TIME else KeepCount(self.retention)

    @property
    def texts(self) -> dict[str, str]:
        """The values as text, by what follows ``x-snapsentry-KIND-``."""
        return {
            "enabled": "true" if self.enabled else "false",
            "retention-days": str(self.retention),
            "retention-type": self.retention_type,
            "timezone": self.timezone,
            **self._texts,
        }

    @property
    def _texts(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Express(Base):
    """Every 6, 8 or 12 hours of the clock, from midnight."""

    interval: int = 0

    kind: ClassVar[str] = "express"
    default: ClassVar[int] = 1

    def _more(self) -> None:
        self._set("interval", "interval-hours", lambda hours: value.interval(_whole(hours)))

    @property
    def calendar(self) -> Steps:
        """When its windows begin."""
        return Steps(self.interval)

    @property
    def _texts(self) -> dict[str, str]:
        return {"interval-hours": str(self.interval)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed(Base):
    """A kind with a time of day; seconds are dropped."""

    start: dt.time = MIDNIGHT

    def _more(self) -> None:
        self._set("start", "start-time", _minute)

    @property
    def _texts(self) -> dict[str, str]:
        return {"start-time": f"{self.start:%H:%M}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily(_Timed):
    """Once a day."""

    kind: ClassVar[str] = "daily"
    default: ClassVar[int] = 2

    @property
    def calendar(self) -> DailyCalendar:
        """When its windows begin."""
        return DailyCalendar(self.start.hour, self.start.minute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly(_Timed):
    """Once a week, on ``weekday``, 0 is Sunday."""

    weekday: int = 0

    kind: ClassVar[str] = "weekly"
    default: ClassVar[int] = 7

    def _more(self) -> None:
        self._set("start", "start-time", _minute)
        self._set("weekday", "start-day-of-week", lambda day: value.weekday(str(_whole(day))))

    @property
    def calendar(self) -> WeeklyCalendar:
        """When its windows begin."""
        return WeeklyCalendar(self.weekday, self.start.hour, self.start.minute)

    @property
    def _texts(self) -> dict[str, str]:
        return {"start-time": f"{self.start:%H:%M}", "start-day-of-week": value.DAYS[self.weekday]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly(_Timed):
    """Once a month, on ``day``, 1 to 31, or on the last day of a month that is shorter."""

    day: int = 1

    kind: ClassVar[str] = "monthly"
    default: ClassVar[int] = 30

    def _more(self) -> None:
        self._set("start", "start-time", _minute)
        self._set("day", "start-day-of-month", lambda day: value.day_of_month(_whole(day)))

    @property
    def calendar(self) -> MonthlyCalendar:
        """When its windows begin."""
        return MonthlyCalendar(self.day, self.start.hour, self.start.minute, short="last")

    @property
    def _texts(self) -> dict[str, str]:
        return {"start-time": f"{self.start:%H:%M}", "start-day-of-month": str(self.day)}


Policy = Express | Daily | Weekly | Monthly
KINDS: dict[str, type[Policy]] = {one.kind: one for one in (Express, Daily, Weekly, Monthly)}


def _truth(given: object) -> bool:
    if not isinstance(given, bool):
        raise InvalidInput(f"invalid value {given!r}; must be true or false")
    return given


def _whole(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise InvalidInput(f"invalid number {given!r}; must be a whole number")
    return given


def _minute(given: object) -> dt.time:
    if not isinstance(given, dt.time) or given.tzinfo is not None:
        raise InvalidInput(f"invalid start time {given!r}; must be a time of day without a zone")
    return dt.time(given.hour, given.minute)
