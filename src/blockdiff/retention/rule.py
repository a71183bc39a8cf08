"""The rules of a schedule, of any language, as policies: each keeps what was taken for it.

Which that is a point may say itself (``Point.rule``), else its time: a tick of the rule; and of a tag its period, too.
What is no tick of any rule belongs to nobody, as it would push out what does; unless there is one rule only, or all
rules say the same of each snapshot by itself, and it is no tag but known to be managed.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from blockdiff.retention.keep import KeepAge, KeepDays
from blockdiff.retention.verdict import Policy
from blockdiff.schedule import calendar
from blockdiff.schedule.rule import next_tick
from blockdiff.schedule.words import Period

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdiff.retention.verdict import Point
    from blockdiff.schedule.rule import Rule

    PeriodOf = Callable[[Point], Period | None]

_SECOND = dt.timedelta(seconds=1)
_PERIODS = {
    calendar.Minutely: Period.MINUTELY,
    calendar.Hourly: Period.HOURLY,
    calendar.Daily: Period.DAILY,
    calendar.Weekly: Period.WEEKLY,
    calendar.Monthly: Period.MONTHLY,
    calendar.Yearly: Period.YEARLY,
    calendar.YearDay: Period.YEARLY,
}  # others, such as cron's, take snapshots of any period


def policies_of_rules(rules: Sequence[Rule], period_of: PeriodOf = lambda _: None) -> list[Policy]:
    """A policy for each rule, in their order. ``period_of`` gives that of a point which is a tag, else None."""
    keeps = {rule.keep for rule in rules}
    alike = len(rules) == 1 or (len(keeps) == 1 and isinstance(next(iter(keeps)), KeepDays | KeepAge))
    known: dict[tuple[dt.datetime, Period | None], list[bool]] = {}

    def belongs(point: Point) -> list[bool]:
        """To which of the rules."""
        if point.rule:
            return [rule.name == point.rule for rule in rules]
        if point.time is None:
            return [False for _ in rules]
        period = period_of(point)
        key = point.time, period
        if key not in known:
            known[key] = [_is_tick(rule, point.time, period) for rule in rules]
        found = known[key]
        return found if any(found) or period is not None else [alike for _ in rules]

    def policy(number: int, rule: Rule) -> Policy:
        return Policy(rule.keep, rule.name, rule.zone, lambda point: belongs(point)[number])

    return [policy(number, rule) for number, rule in enumerate(rules)]


def _is_tick(rule: Rule, time: dt.datetime, period: Period | None) -> bool:
    if period is not None and _PERIODS.get(type(rule.calendar), period) != period:
        return False
    return next_tick(rule, time - _SECOND) == time
