"""Retention said a second time, slowly and in other words: what is kept is asked of each snapshot by itself."""

import datetime as dt
import itertools

from blockdiff.retention import ALL, GFS, KeepAge, KeepAny, KeepCount, KeepDays

FORMATS = {"hourly": "%Y-%m-%d %H %z", "daily": "%Y-%m-%d", "weekly": "%G week %V", "monthly": "%Y-%m", "yearly": "%Y"}


def keeps(keep, time, times, now, zone=dt.UTC):
    """Whether one of the ``times`` is kept; all are instants not later than ``now``."""
    if isinstance(keep, KeepAny):
        return any(keeps(member, time, times, now, zone) for member in keep.members)
    if isinstance(keep, KeepCount):
        return among_newest(keep.count, time, times)
    zone = keep.zone or zone
    if isinstance(keep, KeepDays):
        return now < later(time.astimezone(zone), days=keep.days)
    if isinstance(keep, KeepAge):
        moved = later(time.astimezone(zone), keep.years, keep.months, keep.weeks * 7 + keep.days)
        return now < moved + dt.timedelta(hours=keep.hours, minutes=keep.minutes, seconds=keep.seconds)
    assert isinstance(keep, GFS)
    return among_newest(keep.last, time, times) or any(
        newest_of_period(getattr(keep, word), time, times, lambda one, form=form: one.astimezone(zone).strftime(form))
        for word, form in FORMATS.items()
    )


def among_newest(count, time, times):
    return sum(other > time for other in set(times)) < count


def newest_of_period(count, time, times, name):
    if count == ALL:
        count = len(times)
    newest_first = sorted(times, reverse=True)
    periods = [label for label, _ in itertools.groupby(newest_first, key=name)]
    assert len(set(periods)) == len(periods)
    return name(time) in periods[:count] and all(name(other) != name(time) for other in times if other > time)


def later(local, years=0, months=0, days=0):
    """By one step after the other: whole months from the first, then days, then what the clock shows there."""
    year, month = local.year + years, local.month
    for _ in range(months):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    date = dt.date(year, month, 1) + dt.timedelta(days=local.day - 1) + dt.timedelta(days=days)
    if date == local.date():
        return local.astimezone(dt.UTC)
    return dt.datetime.combine(date, local.time().replace(fold=0), local.tzinfo).astimezone(dt.UTC)


def kept(keep, times, now, zone=dt.UTC):
    """The same for all times at once: of each period the last one that is written down stays."""
    if isinstance(keep, KeepAny):
        return set().union(*(kept(member, times, now, zone) for member in keep.members))
    oldest_first = sorted(times)
    if isinstance(keep, KeepCount):
        return set(oldest_first[-keep.count :])
    if isinstance(keep, KeepDays | KeepAge):
        return {time for time in oldest_first if keeps(keep, time, times, now, zone)}
    found = set(oldest_first[len(oldest_first) - min(keep.last, len(oldest_first)) :])
    for word, form in FORMATS.items():
        book = {time.astimezone(keep.zone or zone).strftime(form): time for time in oldest_first}
        count = min(getattr(keep, word), len(book))
        found |= set(sorted(book.values())[len(book) - count :])
    return found
