"""Windows: one snapshot is taken in each. One ends where the next begins, by the clocks of the policy's zone."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.cinder.policy.snapshot import instant

if TYPE_CHECKING:
    from blockdiff.cinder.policy.model import Policy

_REACH = {"express": 3, "daily": 4, "weekly": 10, "monthly": 34}
"""Days in which a window of the kind has begun, also where the clocks skip a whole day."""


class Window(NamedTuple):
    """``start`` <= ``validated`` < ``end``, as the clocks of the policy's zone show them; ``validated`` is now."""

    start: dt.datetime
    end: dt.datetime
    validated: dt.datetime

    def __contains__(self, time: object) -> bool:
        if not isinstance(time, dt.datetime):
            return False
        return self.start.astimezone(dt.UTC) <= instant(time) < self.end.astimezone(dt.UTC)


def window_of(policy: Policy, now: dt.datetime) -> Window:
    """The window that ``now`` (with its zone) lies in. Raises InvalidInput outside the years 2 to 9998."""
    zone = policy.zone
    time = instant(now)
    start = None
    for tick in policy.calendar.ticks(time - dt.timedelta(days=_REACH[policy.kind]), zone):
        if tick > time and start is not None:
            return Window(start.astimezone(zone), tick.astimezone(zone), time.astimezone(zone))
        start = tick
    raise AssertionError((policy, now))  # each kind has windows in all years
