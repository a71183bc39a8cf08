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
from blockdiff.schedule import Destination, Period, Schedule, Schedules, Type
from blockdiff.schedule.rule import Rule, next_tick
from blockdiff.tag import Tag, TagError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from blockdiff.retention.verdict import Verdict


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


_SECOND = dt.timedelta(seconds=1)
NO_TAG = "its name is no tag"


@lru_cache(maxsize=1 << 17)  # each entry asks for each name
def tag_of(name: str) -> Tag | None:
    """The tag of a name; None if it is none."""
    try:
        return Tag.parse(name)
    except TagError:
        return None


def point_of(name: str) -> Point:
    """What a name says of a snapshot; of one that is no tag, nothing."""
    tag = tag_of(name)
    if tag is None:
        return Point(name, None, foreign=NO_TAG)
    if tag.type is Type.MANUAL:
        return Point(name, tag.time, foreign="manual")
    return Point(name, tag.time, series=str(tag.vm))


def policies_of(
    schedules: Iterable[Schedule], destination: Destination = Destination.LOCAL, zone: dt.tzinfo | None = None
) -> list[Policy]:
    """One policy for each entry of the destination, which covers the tags of its times.

    With a ``zone``, that of the entry or else the one given, a tag belongs to an entry if its instant is one of the
    entry's ticks there; without one if its digits are those of the entry, as in the original.
    """
    return [_policy(one, zone) for one in schedules if one.destination == destination]


def _policy(one: Schedule, zone: dt.tzinfo | None) -> Policy:
    known: dict[Schedule | dt.datetime, bool] = {}
    place = one.place or zone

    def covers(point: Point) -> bool:
        tag = tag_of(point.name)
        if tag is None or tag.period != one.period:
            return False
        if tag.period == Period.MINUTELY:
            return True
        if place is None:
            taken = tag.schedule()
            if taken not in known:
                known[taken] = one.matches(taken)
            return known[taken]
        assert point.time is not None  # it is a tag
        if point.time not in known:
            known[point.time] = next_tick(Rule(one.calendar, place), point.time - _SECOND) == point.time
        return known[point.time]

    return Policy(KeepCount(one.keep), str(Schedules([one])), place or dt.UTC, covers)
