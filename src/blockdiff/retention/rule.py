"""The rules of a schedule, of any language, as policies: each keeps what was taken for it.

Which that is a point may say itself (``Point.rule``), else its time: a tick of the rule. What is no tick of any rule
belongs to nobody, as it would push out what does; unless all rules say the same of each snapshot by itself, or there
is one only, and it is known to be managed.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from blockdiff.retention.keep import KeepAge, KeepDays
from blockdiff.retention.verdict import Policy
from blockdiff.schedule.rule import next_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdiff.retention.verdict import Point
    from blockdiff.schedule.rule import Rule

_SECOND = dt.timedelta(seconds=1)


def policies_of_rules(rules: Sequence[Rule], strict: Callable[[Point], bool] = lambda _: False) -> list[Policy]:
    """A policy for each rule, in their order. ``strict`` says of which points the time must be a tick."""
    keeps = {rule.keep for rule in rules}
    alike = len(rules) == 1 or (len(keeps) == 1 and isinstance(next(iter(keeps)), KeepDays | KeepAge))
    known: dict[dt.datetime, list[bool]] = {}

    def belongs(point: Point) -> list[bool]:
        """To which of the rules."""
        if point.rule:
            return [rule.name == point.rule for rule in rules]
        if point.time is None:
            return [False for _ in rules]
        if point.time not in known:
            known[point.time] = [next_tick(rule, point.time - _SECOND) == point.time for rule in rules]
        found = known[point.time]
        return found if any(found) or strict(point) else [alike for _ in rules]

    def policy(number: int, rule: Rule) -> Policy:
        return Policy(rule.keep, rule.name, rule.zone, lambda point: belongs(point)[number])

    return [policy(number, rule) for number, rule in enumerate(rules)]
