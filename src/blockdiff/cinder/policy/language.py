"""Policies as one of the languages of schedules."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from blockdiff.cinder.policy import text as text_
from blockdiff.cinder.policy import value
from blockdiff.cinder.policy.model import Daily, Express, Monthly, Weekly
from blockdiff.cinder.policy.reading import read_metadata
from blockdiff.cinder.policy.volume import Policies
from blockdiff.errors import InvalidInput
from blockdiff.retention import KeepCount, KeepDays
from blockdiff.retention.keep import known_zone
from blockdiff.schedule import calendar
from blockdiff.schedule.words import Destination, Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.cinder.policy.model import Policy
    from blockdiff.schedule.language import Context
    from blockdiff.schedule.rule import Rule


class _SnapSentry:
    name = "snapsentry"

    def parse(self, text: str, context: Context) -> Policies:
        """The policies in all of a volume's metadata; keys of others are not looked at."""
        as_json = context.json or text.lstrip().startswith("{")
        entries = text_.read_object(text) if as_json else text_.read_lines(text)
        found = read_metadata({key: one.value for key, one in entries.items()}, original=context.original)
        if found.faults:
            raise text_.refused(found.faults, entries)
        return found.policies

    def from_rules(self, rules: Sequence[Rule]) -> Policies:
        """The policies that say the same as the rules, of which there is at most one of a kind."""
        found: dict[str, Policy] = {}
        names: dict[str, str] = {}
        for rule in rules:
            one = _policy(rule)
            if one.kind in found:
                raise _unsayable(rule, f"it has one {one.kind} policy only, and {names[one.kind]} is another")
            found[one.kind], names[one.kind] = one, _named(rule)
        policies: dict[str, Any] = found
        return Policies(managed=True if found else None, **policies)


LANGUAGE = _SnapSentry()


def _policy(rule: Rule) -> Policy:
    if rule.destination != Destination.LOCAL:
        raise _unsayable(rule, f"it has no destinations, and {rule.destination} is not local")
    if rule.options:
        raise _unsayable(rule, f"it has no options, such as {Option.text_of(rule.options)}")
    fields: dict[str, Any] = {"timezone": _zone(rule), **_retention(rule)}
    try:
        return _kind(rule, fields)
    except InvalidInput as error:
        raise _unsayable(rule, str(error)) from None


def _kind(rule: Rule, fields: dict[str, Any]) -> Policy:
    match rule.calendar:
        case calendar.Steps(hours, 0) if hours in value.INTERVALS:
            return Express(interval=hours, **fields)
        case calendar.Steps(hours, minute):
            raise InvalidInput(f"express is every 6, 8, or 12 hours at :00, not every {hours} at :{minute:02}")
        case calendar.Daily(hour, minute):
            return Daily(start=dt.time(hour, minute), **fields)
        case calendar.Weekly(weekday, hour, minute):
            return Weekly(weekday=weekday, start=dt.time(hour, minute), **fields)
        case calendar.Monthly(day, hour, minute, short) if short == "last" or day <= 28:
            return Monthly(day=day, start=dt.time(hour, minute), **fields)
        case calendar.Monthly(day):
            raise InvalidInput(f"in a month without a day {day} it takes the last day, and this rule takes none")
    raise InvalidInput(f"it is express, daily, weekly or monthly, and this is {rule.calendar}")


def _zone(rule: Rule) -> str:
    name = "UTC" if rule.zone is dt.UTC else getattr(rule.zone, "key", None)
    try:
        if not name:
            raise InvalidInput(f"it takes time zones by name, and {rule.zone} has none")
        return value.zone_name(name)
    except InvalidInput as error:
        raise _unsayable(rule, str(error)) from None


def _retention(rule: Rule) -> dict[str, Any]:
    match rule.keep:
        case KeepDays(days, zone) if zone in (None, known_zone(rule.zone)):
            number, kind = days, value.TIME
        case KeepCount(count):
            number, kind = count, value.COUNT
        case _:
            raise _unsayable(rule, f"it keeps for days or a number of snapshots, not {rule.keep or 'without an end'}")
    if number < 1:
        raise _unsayable(rule, f"it keeps 1 or more, and {number} would be its default")
    return {"retention": number, "retention_type": kind}


def _named(rule: Rule) -> str:
    return value.shown(rule.name or str(rule.calendar))


def _unsayable(rule: Rule, why: str) -> InvalidInput:
    return InvalidInput(f"snapsentry cannot say {_named(rule)}: {why}")
