"""openstorage's schedules as one of the languages.

Periods count from the context's anchor; without one from 1970-01-01 00:00 UTC. The texts have no time zone: hours and
days are those of the context's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.openstorage import sdk, text
from blockdiff.openstorage.interval import MINUTE, Interval
from blockdiff.retention.keep import KeepCount, known_zone
from blockdiff.schedule.calendar import Calendar, Daily, Every, Monthly, Weekly
from blockdiff.schedule.place import EPOCH
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.words import Destination, Option, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdiff.schedule.language import Context

_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """Intervals, and the names of policies that hold more of them. ``str()`` is the canonical text: YAML."""

    intervals: tuple[Interval, ...] = ()
    policies: tuple[str, ...] = ()
    zone: dt.tzinfo = field(default=dt.UTC, compare=False)
    anchor: dt.datetime = field(default=EPOCH, compare=False)

    def __post_init__(self) -> None:
        for name in self.policies:
            text.policy_name(name)

    def __str__(self) -> str:
        return text.write(self.intervals, self.policies)

    @property
    def items(self) -> str:
        """The short form, such as ``daily=12:00,7;policy=gold``. Raises InvalidInput for a part of a minute."""
        policies = [f"policy={','.join(self.policies)}"] if self.policies else []
        return ";".join([*(one.item for one in self.intervals), *policies])

    @property
    def summary(self) -> str:
        """The line that openstorage shows, such as ``policy=gold;daily @12:00, monthly 6@08:05``."""
        policies = f"policy={','.join(self.policies)}" if self.policies else ""
        intervals = ", ".join(map(str, self.intervals))
        return ";".join(part for part in (policies, intervals) if part)

    @property
    def snapshot_interval(self) -> int:
        """The minutes of a VolumeSpec's SnapshotInterval; 0 is off. Raises InvalidInput for what it cannot say."""
        if not self.intervals and not self.policies:
            return 0
        if len(self.intervals) != 1 or self.policies or self.intervals[0].period % MINUTE or self.intervals[0].retain:
            raise InvalidInput(
                f"{self.summary}: a SnapshotInterval is one period of whole minutes, and keeps no number"
            )
        if self.intervals[0].freq != "periodic":
            raise InvalidInput(f"{self.summary}: a SnapshotInterval is a period, and no time of day")
        return self.intervals[0].period // MINUTE

    def to_json(self) -> bytes:
        """The SDK's array of intervals. Raises InvalidInput for names of policies, which it has no place for."""
        if self.policies:
            raise InvalidInput(f"the JSON of intervals cannot name policies: {', '.join(self.policies)}")
        return sdk.write(self.intervals)

    def rules(self, policies: Mapping[str, IntervalSchedule] | None = None) -> tuple[Rule, ...]:
        """One for each interval; those of policies follow. Raises InvalidInput for a policy that is not given."""
        found = [self._rule(one) for one in self.intervals]
        for name in self.policies:
            policy = (policies or {}).get(name)
            if policy is None:
                raise InvalidInput(
                    f"what the policy {quoted(name)} says is not known here: only its name is in the text"
                )
            if policy.policies:
                raise InvalidInput(f"the policy {quoted(name)} names policies: it has intervals only")
            found += [self._rule(one) for one in policy.intervals]
        return tuple(found)

    def _rule(self, one: Interval) -> Rule:
        return Rule(self._calendar(one), self.zone, KeepCount(one.keep), name=str(one))

    def _calendar(self, one: Interval) -> Calendar:
        match one.freq:
            case "daily":
                return Daily(one.hour, one.minute)
            case "weekly":
                return Weekly(one.weekday, one.hour, one.minute)
            case "monthly":
                return Monthly(one.day, one.hour, one.minute)
        if one.period % _SECOND:
            raise InvalidInput(f"{one}: a period of whole seconds is wanted")
        return Every(one.period // _SECOND, self.anchor)


def of_snapshot_interval(minutes: int, *, anchor: dt.datetime = EPOCH) -> IntervalSchedule:
    """What a VolumeSpec's SnapshotInterval says; 0 is off. Raises InvalidInput."""
    if minutes < 0:
        raise InvalidInput(f"invalid SnapshotInterval {minutes}: minutes, or 0 for none")
    return IntervalSchedule((Interval("periodic", period=minutes * MINUTE),) if minutes else (), anchor=anchor)


class _OpenStorage:
    name = "openstorage"

    def parse(self, source: str, context: Context) -> IntervalSchedule:
        intervals, policies = (sdk.read(source), ()) if context.json else text.read(source)
        return IntervalSchedule(intervals, policies, context.zone, context.anchor or EPOCH)

    def from_rules(self, rules: Sequence[Rule]) -> IntervalSchedule:
        """Periods keep their anchor, which no text says; rules of different ones are refused."""
        intervals = tuple(map(_interval, rules))
        anchors = {rule.calendar.anchor for rule in rules if isinstance(rule.calendar, Every)}
        if len(anchors) > 1:
            raise InvalidInput("openstorage cannot say periods that begin at different times")
        return IntervalSchedule(intervals, anchor=anchors.pop() if anchors else EPOCH)


LANGUAGE = _OpenStorage()


def _interval(rule: Rule) -> Interval:
    if rule.destination is not Destination.LOCAL:
        raise _unsayable(rule, f"it has no destinations, and this goes to {rule.destination}")
    if rule.options:
        raise _unsayable(rule, f"it has no options, and this has {Option.text_of(rule.options)}")
    if not isinstance(rule.keep, KeepCount) or rule.keep.count < 1:
        raise _unsayable(rule, "it always keeps a number of 1 or more, and nothing else")
    try:
        if not isinstance(rule.calendar, Every) and known_zone(rule.zone) is not dt.UTC:
            raise InvalidInput(f"it names no time zone, and {rule.zone} is not UTC")
        return _timed(rule, rule.keep.count)
    except InvalidInput as error:
        raise _unsayable(rule, str(error)) from None


def _timed(rule: Rule, retain: int) -> Interval:
    match rule.calendar:
        case Daily(hour, minute):
            return Interval("daily", hour=hour, minute=minute, retain=retain)
        case Weekly(weekday, hour, minute):
            return Interval("weekly", weekday=weekday, hour=hour, minute=minute, retain=retain)
        case Monthly(day, hour, minute, short) if short == "skip" or day <= 28:
            return Interval("monthly", day=day, hour=hour, minute=minute, retain=retain)
        case Every(seconds, _):
            return Interval("periodic", period=seconds * _SECOND, retain=retain)
    raise InvalidInput(f"it has nothing for {rule.calendar}")


def _unsayable(rule: Rule, why: str) -> InvalidInput:
    return InvalidInput(f"openstorage cannot say {quoted(rule.name or str(rule.calendar))}: {why}")
