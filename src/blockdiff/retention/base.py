"""What replicas need: the newest snapshot that a volume and a copy of it have in common stays, on both sides.

Without it the next copy would be a full one. ``pairs`` says which snapshots are the same; what it cannot prove may be
the same, and stays as well.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from blockdiff.retention.chain import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdiff.snapshot import Snapshot

_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


def common_bases(
    own: Sequence[Snapshot],
    replica: Sequence[Snapshot],
    now: dt.datetime,
    label: str = "the replica",
    *,
    states: Mapping[str, State] | None = None,
) -> dict[str, str]:
    """Names of ``own`` that must stay for a replica, each with the reason; empty if nothing is in common.

    The time of a tag is that of its name. Dates of creation do not count, as a copy has a date of its own. ``states``
    are those of ``own`` that are not complete: such a one is no base. Raises InvalidInput for what is listed twice.
    """
    from blockdiff.pairs import compare, tag_instant

    good = [one for one in own if (states or {}).get(one.name, State.COMPLETE) is State.COMPLETE]
    times = {one.name: tag_instant(one.name) or one.created for one in good}

    def order(one: Snapshot) -> tuple[dt.datetime, str]:
        return (times[one.name] or _NEVER).astimezone(dt.UTC), one.name

    found = compare(sorted(good, key=order), replica, dates=False)
    proven = [match.source for match in found.matches]
    maybe = [doubt.source for doubt in found.unproven]
    stay = {one.name: f"the newest in common with {label}" for one in _newest(proven, times, now)}
    least = max((order(one) for one in proven), default=(_NEVER, ""))
    for one in _newest(maybe, times, now):
        if times[one.name] is None or order(one) > least:
            stay.setdefault(one.name, f"{label} has one of that name: it may be the newest in common")
    return stay


def _newest(some: Sequence[Snapshot], times: Mapping[str, dt.datetime | None], now: dt.datetime) -> list[Snapshot]:
    """The last one, the last one whose time has come, and those without a time: each may be meant."""
    past = [one for one in some if (time := times[one.name]) is None or time <= now]
    return [*some[-1:], *past[-1:], *(one for one in some if times[one.name] is None)]
