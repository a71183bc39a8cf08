"""Snapper's rule: of each entry of a schedule the newest ``keep`` snapshots stay, told by their names.

What no entry manages is never touched: manual snapshots, names that are no tags, periods that are not in the schedule
any more. Each machine's snapshots are counted by themselves.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING

from blockdiff.retention.keep import KeepCount
from blockdiff.retention.verdict import Point, Policy, expired
from blockdiff.schedule import Destination, Period, Schedules, Type
from blockdiff.schedule.rule import Rule, next_tick
from blockdiff.tag import Tag, TagError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from blockdiff.retention.verdict import Verdict
    from blockdiff.schedule import Schedule


def expire(
    schedules: Iterable[Schedule],
    names: Iterable[str],
    now: dt.datetime,
    *,
    destination: Destination = Destination.LOCAL,
    protected: Collection[str] = (),
) -> list[Verdict]:
    """A verdict for each name, in the order given.

    ``protected`` names stay, such as the last base that incremental copies need. A snapshot that more than one entry
    manages stays as long as one of them keeps it. Times after ``now`` stay, and do not count: a clock was wrong.
    Raises InvalidInput for an entry that would keep nothing, and for a name that is given twice.
    """
    points = [point_of(name) for name in names]
    stay = {name: "protected" for name in protected if name in {point.name for point in points}}
    return expired(points, now, policies_of(schedules, destination), protected=stay)


def point_of(name: str) -> Point:
    """What a name says of a snapshot; of one that is no tag, nothing."""
    try:
        tag = Tag.parse(name)
    except TagError:
        return Point(name, None, foreign="its name is no tag")
    if tag.type is Type.MANUAL:
        return Point(name, tag.time, foreign="manual")
    return Point(name, tag.time, series=str(tag.vm))


def policies_of(schedules: Iterable[Schedule], destination: Destination = Destination.LOCAL) -> list[Policy]:
    """One policy for each entry of the destination, which covers the tags of its times."""
    return [_policy(one) for one in schedules if one.destination == destination]


def _policy(one: Schedule) -> Policy:
    known: dict[Schedule, bool] = {}

    def covers(point: Point) -> bool:
        if one.zone:
            return _ticked(one, point)
        taken = _schedule_of(point.name)
        if taken is None:
            return False
        if taken not in known:
            known[taken] = one.matches(taken)
        return known[taken]

    return Policy(KeepCount(one.keep), str(Schedules([one])), covers=covers)


def _ticked(one: Schedule, point: Point) -> bool:
    """Whether a name is of the entry's period, and of a time at which the clocks of the entry's own zone had it due."""
    taken = _schedule_of(point.name)
    if taken is None or point.time is None or one.period != taken.period:
        return False
    rule = Rule(one.calendar, one.place or dt.UTC)
    return one.period == Period.MINUTELY or next_tick(rule, point.time - dt.timedelta(minutes=1)) == point.time


@lru_cache(maxsize=1 << 17)  # each entry asks for each name
def _schedule_of(name: str) -> Schedule | None:
    try:
        return Tag.parse(name).schedule()
    except TagError:
        return None
