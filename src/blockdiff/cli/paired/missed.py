"""``blockdiff pairs --schedule``: ticks at which a snapshot of the source was due, and none is there."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput
from blockdiff.pairs.gap import gaps
from blockdiff.pairs.match import tag_instant
from blockdiff.retention.keep import KeepCount
from blockdiff.retention.text import zone_of
from blockdiff.schedule.language import Context, read
from blockdiff.schedule.words import Destination

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdiff.cli.paired.planning import Wish
    from blockdiff.schedule.rule import Rule
    from blockdiff.snapshot import Snapshot

LATE = dt.timedelta(minutes=15)  # that a snapshot which is no tag may be made after its tick
MOST = 1_000_000  # ticks that are looked at
_EARLIEST = dt.datetime(2, 1, 1, tzinfo=dt.UTC)


def missed(volumes: Mapping[str, Sequence[Snapshot]], wish: Wish) -> list[dict[str, Any]]:
    """Of each volume the ticks in a row that have no snapshot, up to now or ``wish.at``.

    The ticks are those since the oldest snapshot; of a rule that keeps a number only so many, the last ones: older
    snapshots may be gone. Rules of other destinations do not count.
    """
    now, rules = _time(wish.at), _rules(wish)
    found = []
    for volume, snapshots in volumes.items():
        taken = sorted(_instants(snapshots))
        due = sorted({tick for rule in rules for tick in _due(rule, taken[0], now)}) if taken else []
        served = {when for when, exact in taken if exact} | _late(due, taken)
        found += [
            {"volume": volume, "first": _text(gap.first), "last": _text(gap.last), "ticks": gap.ticks}
            for gap in gaps(due, served)
        ]
    return found


def _rules(wish: Wish) -> list[Rule]:
    context = Context(id=wish.id or "", zone=zone_of(wish.zone) if wish.zone else dt.UTC)
    every = read(wish.schedule or "", wish.language, context).rules()
    if found := [rule for rule in every if rule.destination == Destination.LOCAL]:
        return found
    raise InvalidInput(f"{wish.schedule!r} has no schedule of local snapshots")


def _instants(snapshots: Sequence[Snapshot]) -> list[tuple[dt.datetime, bool]]:
    """When each was taken, and whether that is the tick itself. Manual ones are for no tick."""
    found = []
    for snapshot in snapshots:
        tagged = tag_instant(snapshot.name)
        if tagged is not None and snapshot.name.startswith("auto-"):
            found.append((tagged, True))
        elif tagged is None and snapshot.created is not None:
            found.append((snapshot.created, False))
    return found


def _due(rule: Rule, oldest: tuple[dt.datetime, bool], now: dt.datetime) -> Sequence[dt.datetime]:
    """The ticks from the oldest snapshot on; of a rule that keeps a number no more than so many, the last ones.

    InvalidInput for more than anybody would look at.
    """
    when, exact = oldest
    after = max(when, _EARLIEST) - (dt.timedelta(seconds=1) if exact else LATE)
    keep, back = MOST, now - after
    if isinstance(rule.keep, KeepCount):
        keep, back = max(0, rule.keep.count), dt.timedelta(hours=1)
    found: list[dt.datetime] = []
    while len(found) < keep:
        begin = now - back if back < now - after else after
        found = list(islice(takewhile(lambda tick: tick <= now, rule.ticks(begin)), MOST + 1))
        if len(found) > MOST:
            raise InvalidInput(f"the schedule has more than {MOST:,} times from {_text(after)} to {_text(now)}")
        if begin == after:
            break
        back *= 2
    return found[max(0, len(found) - keep) :]


def _late(due: Sequence[dt.datetime], taken: Sequence[tuple[dt.datetime, bool]]) -> set[dt.datetime]:
    """The ticks that snapshots without a tag serve: the last one before each, if it is not too long ago."""
    served = set()
    for when, exact in taken:
        place = bisect_right(due, when)
        if not exact and place and when - due[place - 1] <= LATE:
            served.add(due[place - 1])
    return served


def _time(text: str | None) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        time = dt.datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is no time: write 2026-01-31T12:00") from None


def _text(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
