"""Which snapshots may be removed, and why each one stays or goes. Pure: nothing is removed here.

The rule is snapper's: of each entry of a schedule the newest ``keep`` snapshots stay. What no entry manages is never
touched: manual snapshots, names that are no tags, machines that are not asked about, periods that are not in the
schedule any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Destination, Schedules, Type
from blockdiff.tag import Tag, TagError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable

    from blockdiff.schedule import Schedule


class Verdict(NamedTuple):
    """What becomes of one snapshot: ``expired`` is true if it may be removed; ``reason`` is in words."""

    name: str
    expired: bool
    reason: str
    tag: Tag | None = None


def expire(
    schedules: Iterable[Schedule],
    names: Iterable[str],
    now: dt.datetime,
    *,
    destination: Destination = Destination.LOCAL,
    protected: Collection[str] = (),
) -> list[Verdict]:
    """A verdict for each name, in the order given; each machine's snapshots are counted by themselves.

    ``protected`` names stay, such as the last base that incremental copies need. A snapshot that more than one entry
    manages stays as long as one of them keeps it. Times after ``now`` stay, and do not count: a clock was wrong.
    Raises InvalidInput for an entry that would keep nothing, and for a name that is given twice.
    """
    entries = Schedules(one for one in schedules if one.destination == destination)
    for one in entries:
        if one.keep < 1:
            raise InvalidInput(f"{Schedules([one])} would remove every snapshot: keep 1 or more")
    tags = _tags(names)
    kept, managed = _kept(entries, [tag for tag in tags.values() if tag is not None], now)
    return [_verdict(name, tag, now, protected, kept, managed) for name, tag in tags.items()]


def _tags(names: Iterable[str]) -> dict[str, Tag | None]:
    found: dict[str, Tag | None] = {}
    for name in names:
        if name in found:
            raise InvalidInput(f"the snapshot {name!r} is named twice")
        try:
            found[name] = Tag.parse(name)
        except TagError:
            found[name] = None
    return found


def _kept(entries: Schedules, tags: list[Tag], now: dt.datetime) -> tuple[dict[Tag, str], dict[Tag, str]]:
    """What is kept, and what is managed at all, each with the entry that says so."""
    kept: dict[Tag, str] = {}
    managed: dict[Tag, str] = {}
    past = [tag for tag in tags if tag.type is Type.AUTO and tag.time is not None and tag.time <= now]
    for one in entries:
        text = str(Schedules([one]))
        for members in _by_machine(tag for tag in past if one.matches(tag.schedule())).values():
            # two names of one time, such as versions 2 and 3, are one snapshot to count
            times = sorted({tag.time for tag in members if tag.time}, reverse=True)[: one.keep]
            for tag in members:
                managed.setdefault(tag, text)
                if tag.time in times:
                    kept.setdefault(tag, text)
    return kept, managed


def _by_machine(tags: Iterable[Tag]) -> dict[int, list[Tag]]:
    found: dict[int, list[Tag]] = {}
    for tag in tags:
        found.setdefault(tag.vm, []).append(tag)
    return found


def _verdict(
    name: str,
    tag: Tag | None,
    now: dt.datetime,
    protected: Collection[str],
    kept: dict[Tag, str],
    managed: dict[Tag, str],
) -> Verdict:
    if tag is None:
        return Verdict(name, False, "its name is no tag: not managed")
    if tag.type is Type.MANUAL:
        return Verdict(name, False, "manual: not managed", tag)
    if name in protected:
        return Verdict(name, False, "protected", tag)
    if tag.time is not None and tag.time > now:
        return Verdict(name, False, "its time has not come: a clock was wrong", tag)
    if tag in kept:
        return Verdict(name, False, f"kept by {kept[tag]}", tag)
    if tag in managed:
        return Verdict(name, True, f"older than what {managed[tag]} keeps", tag)
    return Verdict(name, False, "no entry of the schedule is of its period and time: not managed", tag)
