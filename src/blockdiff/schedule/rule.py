"""Rules: when, in which zone, how many or how long, and where to. What all languages of schedules come down to.

Pure: the time is always an argument, and has a zone.
"""

from __future__ import annotations

import datetime as dt
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.schedule.place import Place, place_of
from blockdiff.schedule.wall import instant, seconds
from blockdiff.schedule.words import Destination

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.retention import Retention
    from blockdiff.schedule.calendar import Calendar


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to do. ``keep`` is None where its language says nothing of it; ``options`` is a mask of ``Option``.

    ``name`` is how its language calls it, such as ``daily:local=7@3`` or ``weekly``.
    """

    calendar: Calendar
    zone: dt.tzinfo = dt.UTC
    keep: Retention | None = None
    destination: Destination = Destination.LOCAL
    options: int = 0
    name: str = ""

    def ticks(self, after: dt.datetime) -> Iterator[dt.datetime]:
        """All ticks later than ``after``, ascending, in UTC."""
        return self.calendar.ticks(after, self.zone)


class Due(NamedTuple):
    """``ticks`` to act on now, and how many others were ``missed`` because nobody asked in time."""

    ticks: tuple[dt.datetime, ...]
    missed: int


NOTHING = Due((), 0)


def next_tick(rule: Rule, after: dt.datetime) -> dt.datetime | None:
    """The first tick later than ``after``; None if there is none until the year 9999."""
    found = rule.calendar.following(seconds(after), place_of(rule.zone))
    return None if found is None else instant(found)


def due(rule: Rule, since: dt.datetime, until: dt.datetime, *, catch_up: bool = True) -> Due:
    """What is due of the ticks with ``since < tick <= until``: asked on from ``until`` the next time, each counts once.

    Of several only the last is acted on, and with ``catch_up`` false only one in the minute that ends with ``until``:
    an hour of standstill does not take sixty snapshots of one state. The others are missed.
    """
    return _due(rule.calendar, place_of(rule.zone), seconds(since), seconds(until), catch_up)


def due_at(
    rules: Iterable[Rule], since: dt.datetime, until: dt.datetime, *, catch_up: bool = True
) -> Iterator[tuple[Rule, Due]]:
    """The rules that have ticks with ``since < tick <= until``, in the order given, each with what ``due`` says."""
    begin, end = seconds(since), seconds(until)
    known: dict[dt.tzinfo, dict[Calendar, Due]] = {}
    for rule in rules:
        of_zone = known.get(rule.zone)
        if of_zone is None:
            of_zone = known[rule.zone] = {}
        found = of_zone.get(rule.calendar)
        if found is None:
            found = of_zone[rule.calendar] = _due(rule.calendar, place_of(rule.zone), begin, end, catch_up)
        if found is not NOTHING:
            yield rule, found


def next_ticks(rules: Iterable[Rule], after: dt.datetime) -> Iterator[tuple[Rule, dt.datetime | None]]:
    """Each rule with its first tick later than ``after``, None if there is none, in the order given."""
    return ((rule, None if tick is None else instant(tick)) for rule, tick in _firsts(rules, seconds(after)))


def upcoming(rules: Iterable[Rule], after: dt.datetime) -> Iterator[tuple[dt.datetime, Rule]]:
    """The ticks of all rules later than ``after`` in the order of time; at one time in the order of the rules."""
    queue = [
        (tick, number, rule) for number, (rule, tick) in enumerate(_firsts(rules, seconds(after))) if tick is not None
    ]
    heapq.heapify(queue)
    while queue:
        tick, number, rule = queue[0]
        yield instant(tick), rule
        later = rule.calendar.following(tick, place_of(rule.zone))
        if later is None:
            heapq.heappop(queue)
        else:
            heapq.heapreplace(queue, (later, number, rule))


def _firsts(rules: Iterable[Rule], after: int) -> Iterator[tuple[Rule, int | None]]:
    known: dict[dt.tzinfo, dict[Calendar, int | None]] = {}
    for rule in rules:
        of_zone = known.get(rule.zone)
        if of_zone is None:
            of_zone = known[rule.zone] = {}
        found = of_zone.get(rule.calendar, -1)
        if found == -1:
            found = of_zone[rule.calendar] = rule.calendar.following(after, place_of(rule.zone))
        yield rule, found


def _due(calendar: Calendar, place: Place, since: int, until: int, catch_up: bool) -> Due:
    found = calendar.following(since, place)
    if found is None or found > until:
        return NOTHING
    later, count = calendar.following(found, place), 1
    if later is not None and later <= until:
        last, count = calendar.latest(until, place), calendar.count(since, until, place)
        found = later if last is None else last
    return Due((instant(found),), count - 1) if catch_up or until - found < 60 else Due((), count)
