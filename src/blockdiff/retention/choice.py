"""Which times of one series a retention keeps, and why it keeps or does not keep each.

Times are instants in UTC that differ, none of them in the future. (Python compares times of one zone by
what the clock shows, which is wrong when it goes back.) What is kept depends on nothing but the set of times: what
is kept of some, and of what came later, is what is kept of all, so that it does not matter how often one tidies up.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.retention.keep import ALL, GFS, GFS_COUNTS, KeepAge, KeepAny, KeepCount, KeepDays
from blockdiff.retention.text import text_of
from blockdiff.schedule.civil import add_date

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from blockdiff.retention.keep import Retention


class Term(NamedTuple):
    """One number of a retention: what it keeps, each with its reason, and why it does not keep another time."""

    kept: dict[dt.datetime, str]
    refusal: Callable[[dt.datetime], str]


def terms(keep: Retention, times: Sequence[dt.datetime], now: dt.datetime, zone: dt.tzinfo) -> list[Term]:
    """The terms of a retention over ``times``, newest first; a time stays if one of the terms keeps it."""
    match keep:
        case KeepAny(members):
            return [term for member in members for term in terms(member, times, now, zone)]
        case KeepCount(count):
            return [_newest("count", count, times)]
        case KeepDays() | KeepAge():
            return [_until(keep, times, now, zone)]
        case GFS():
            return list(_periods(keep, times, keep.zone or zone))


def _newest(word: str, count: int, times: Sequence[dt.datetime]) -> Term:
    of = "" if count == ALL else f" of {count}"
    kept = {time: f"{word} {number}{of}" for number, time in enumerate(times[: max(count, 0)], 1)}
    return Term(kept, lambda _: f"{word}={count} are newer")


def until(keep: KeepDays | KeepAge, time: dt.datetime, zone: dt.tzinfo = dt.UTC) -> dt.datetime | None:
    """When a snapshot of this time expires, in UTC; None if that is later than the year 9998."""
    local = time.astimezone(keep.zone or zone)
    try:
        if isinstance(keep, KeepDays):
            date, rest = add_date(local, days=keep.days), dt.timedelta()
        else:
            date = add_date(local, keep.years, keep.months, keep.weeks * 7 + keep.days)
            rest = dt.timedelta(hours=keep.hours, minutes=keep.minutes, seconds=keep.seconds)
        end = date.astimezone(dt.UTC) + rest
    except (InvalidInput, OverflowError):
        return None
    return end if end.year < dt.MAXYEAR else None


def _until(keep: KeepDays | KeepAge, times: Sequence[dt.datetime], now: dt.datetime, zone: dt.tzinfo) -> Term:
    word = text_of(keep).partition(",")[0]
    ends = {time: until(keep, time, zone) for time in times}

    def shown(time: dt.datetime) -> str:
        end = ends[time]
        return end.astimezone(keep.zone or zone).isoformat(timespec="minutes") if end else "the end of time"

    kept = {time: f"{word} until {shown(time)}" for time, end in ends.items() if end is None or now < end}
    return Term(kept, lambda time: f"{word} ended {shown(time)}")


def _periods(keep: GFS, times: Sequence[dt.datetime], zone: dt.tzinfo) -> Iterator[Term]:
    if keep.last:
        yield _newest("last", keep.last, times)
    locals_ = [time.astimezone(zone) for time in times]
    for word in GFS_COUNTS[1:]:
        if count := getattr(keep, word):
            yield _period(word, count, dict(zip(times, locals_, strict=True)))


def _period(word: str, count: int, times: dict[dt.datetime, dt.datetime]) -> Term:
    """The newest of each of the newest ``count`` periods that have one. ``times`` has the local time of each."""
    key, label = PERIODS[word]
    winners: dict[Hashable, dt.datetime] = {}
    floor = dt.datetime.min.replace(tzinfo=dt.UTC)
    for time, local in times.items():
        if winners.setdefault(key(local), time) is time and len(winners) > count:
            floor = time - dt.timedelta(days=1)  # clocks that go back at midnight show one more day's end twice
            break
    chosen = list(winners.items())[:count]
    of = "" if count == ALL else f" of {count}"
    kept = {time: f"{word} {n}{of} ({label(times[time])})" for n, (_, time) in enumerate(chosen, 1)}
    periods, newer = {period for period, _ in chosen}, f"{word}={count} are newer"

    def refusal(time: dt.datetime) -> str:
        if time < floor or key(local := times[time]) not in periods:
            return newer
        return f"{word} has a newer one of {label(local)}"

    return Term(kept, refusal)


class Period(NamedTuple):
    """A kind of period: what is equal for local times of one of them only, and what it is called."""

    key: Callable[[dt.datetime], Hashable]
    label: Callable[[dt.datetime], str]


def _week(local: dt.datetime) -> str:
    year, week, _ = local.isocalendar()
    return f"{year:04}-W{week:02}"


def _hour(local: dt.datetime) -> str:
    return f"{local.date()}T{local.hour:02}{_offset(local)}"


def _offset(local: dt.datetime) -> str:
    """Of the hours that are shown twice when the clocks go back each is one."""
    return local.strftime("%z") if local.utcoffset() else "Z"


PERIODS = {
    "hourly": Period(lambda local: (local.toordinal(), local.hour, local.utcoffset()), _hour),
    "daily": Period(lambda local: local.toordinal(), lambda local: str(local.date())),
    "weekly": Period(lambda local: local.isocalendar()[:2], _week),
    "monthly": Period(lambda local: (local.year, local.month), lambda local: f"{local.year:04}-{local.month:02}"),
    "yearly": Period(lambda local: local.year, lambda local: f"{local.year:04}"),
}
"""Days are those of the zone, weeks go from Monday to Sunday (ISO 8601)."""
