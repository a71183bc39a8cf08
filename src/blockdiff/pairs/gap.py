"""Gaps in a schedule: ticks at which a snapshot was due, and none is there. Pure."""

from __future__ import annotations

import bisect
import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

EXACT = dt.timedelta(0)


class Gap(NamedTuple):
    """Ticks in a row without a snapshot: the first, the last, and how many."""

    first: dt.datetime
    last: dt.datetime
    ticks: int


def gaps(ticks: Iterable[dt.datetime], instants: Iterable[dt.datetime], *, late: dt.timedelta = EXACT) -> list[Gap]:
    """The ticks (ascending, as a rule gives them) that no snapshot is of, ticks in a row together.

    ``instants`` are those of the snapshots, in any order: of a tag the scheduled one, which is the tick itself. One
    that states when it was made may be up to ``late`` after its tick; each serves one tick, the latest before it.
    """
    have = sorted(set(instants))
    found: list[Gap] = []
    run: list[dt.datetime] = []
    ticks = list(ticks)
    for place, tick in enumerate(ticks):
        end = tick + late
        if place + 1 < len(ticks) and ticks[place + 1] <= end:
            served = _any(have, tick, ticks[place + 1], closed=False)
        else:
            served = _any(have, tick, end, closed=True)
        if not served:
            run.append(tick)
        elif run:
            found.append(Gap(run[0], run[-1], len(run)))
            run = []
    if run:
        found.append(Gap(run[0], run[-1], len(run)))
    return found


def _any(have: list[dt.datetime], begin: dt.datetime, end: dt.datetime, *, closed: bool) -> bool:
    place = bisect.bisect_left(have, begin)
    return place < len(have) and (have[place] <= end if closed else have[place] < end)
