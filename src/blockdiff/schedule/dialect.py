"""snapper's text of schedules as one of the languages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput
from blockdiff.retention.keep import KeepCount, known_zone, zone_text
from blockdiff.schedule import plan
from blockdiff.schedule.calendar import Daily, Hourly, Minutely, Monthly, Weekly, YearDay, Yearly
from blockdiff.schedule.chronish import Schedules, entry_text, parse_schedules
from blockdiff.schedule.plan import Schedule
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.language import Context


@dataclass(frozen=True, slots=True)
class Chronish:
    """Schedules, and the zone of those that name none."""

    schedules: Schedules
    zone: dt.tzinfo = dt.UTC

    def __str__(self) -> str:
        return str(self.schedules)

    def to_json(self) -> bytes:
        """The JSON array."""
        return self.schedules.to_json()

    def rules(self) -> tuple[Rule, ...]:
        """One for each entry."""
        return tuple(_rule(one, self.zone) for one in self.schedules)


class _Snapper:
    name = "snapper"

    def parse(self, text: str, context: Context) -> Chronish:
        if context.json:
            return Chronish(Schedules.from_json(text, original=context.original), context.zone)
        return Chronish(parse_schedules(text, original=context.original), context.zone)

    def from_rules(self, rules: Sequence[Rule]) -> Chronish:
        return Chronish(Schedules(_schedule(rule) for rule in rules))


LANGUAGE = _Snapper()


def _rule(one: Schedule, zone: dt.tzinfo) -> Rule:
    name = str(one.to_dict()) if one.period is None else f"{one.period}:{entry_text(one)}"
    return Rule(one.calendar, one.place or zone, KeepCount(one.keep), one.destination, one.options, name)


def _schedule(rule: Rule) -> Schedule:
    if not isinstance(rule.keep, KeepCount):
        raise _unsayable(rule, "it says how many are kept, and nothing else")
    fields = _fields(rule) | {"zone": _zone(rule)}
    return Schedule.make(destination=rule.destination, keep=rule.keep.count, options=rule.options, **fields)


def _zone(rule: Rule) -> str:
    """The name of the zone; empty for UTC, which is meant where none is named."""
    try:
        if known_zone(rule.zone) is dt.UTC:
            return ""
        return plan.known_zone(zone_text(rule.zone))
    except InvalidInput as error:
        raise _unsayable(rule, str(error)) from None


def _fields(rule: Rule) -> dict[str, Any]:
    match rule.calendar:
        case Minutely(share) if share == round(share * 100) / 100:
            return {"minutely": share}
        case Hourly(minute):
            return {"minute": minute}
        case Daily(hour, minute):
            return {"hour": hour, "minute": minute}
        case Weekly(weekday, hour, minute):
            return {"weekday": weekday, "hour": hour, "minute": minute}
        case Monthly(day, hour, minute, short) if short == "skip" or day <= 28:
            return {"day": day, "hour": hour, "minute": minute}
        case Yearly(month, day, hour, minute):
            return {"month": month, "day": day, "hour": hour, "minute": minute}
        case YearDay(yearday, hour, minute):
            return {"yearday": yearday, "hour": hour, "minute": minute}
    raise _unsayable(rule, f"it has nothing for {rule.calendar}")


def _unsayable(rule: Rule, why: str) -> InvalidInput:
    return InvalidInput(f"snapper cannot say {quoted(rule.name or str(rule.calendar))}: {why}")
