"""Rules: what is due, what was missed, what comes."""

import datetime as dt
from itertools import islice, pairwise, product, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Schedule, parse_schedules
from blockdiff.schedule.calendar import Cron, Daily, Hourly, Minutely, Steps, Weekly, Yearly
from blockdiff.schedule.place import place_of
from blockdiff.schedule.rule import Due, Rule, due, due_at, next_tick, next_ticks, upcoming
from blockdiff.schedule.wall import seconds
from tests.schedule import minutes
from tests.schedule.strategies import ZONES, calendar_schedules, calendars

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = dt.timedelta(minutes=1)


def utc(*fields):
    return dt.datetime(*fields, tzinfo=dt.UTC)


def rules():
    return st.builds(Rule, calendars(), st.sampled_from(ZONES).map(ZoneInfo))


def test_due_once():
    hourly = Rule(Hourly(0))
    assert due(hourly, utc(2024, 1, 1, 0, 0), utc(2024, 1, 1, 0, 59)) == ((), 0)
    assert due(hourly, utc(2024, 1, 1, 0, 59), utc(2024, 1, 1, 1, 0)) == ((utc(2024, 1, 1, 1),), 0)
    assert due(hourly, utc(2024, 1, 1, 1, 0), utc(2024, 1, 1, 1, 0, 30)) == ((), 0)
    assert due(hourly, utc(2024, 1, 1), utc(2024, 1, 1, 5, 30)) == ((utc(2024, 1, 1, 5),), 4)
    assert due(hourly, utc(2024, 1, 1), utc(2024, 1, 1, 5, 30), catch_up=False) == ((), 5)
    assert due(hourly, utc(2024, 1, 1), utc(2024, 1, 1, 5, 0, 30), catch_up=False) == ((utc(2024, 1, 1, 5),), 4)
    assert due(hourly, utc(2024, 1, 2), utc(2024, 1, 1)) == ((), 0)  # the clock was put back


@given(rules(), st.booleans(), st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)),
       st.lists(st.floats(0.001, 90_000), min_size=1, max_size=30))  # fmt: skip
def test_no_tick_twice_and_none_forgotten(rule, catch_up, now, steps):
    """However a daemon's clock moves on, each tick is acted on or counted as missed, once."""
    begin = now = now.replace(tzinfo=dt.UTC)
    seen, total = [], 0
    for step in steps:
        later = now + dt.timedelta(seconds=step)
        found, missed = due(rule, now, later, catch_up=catch_up)
        assert list(due_at([rule], now, later, catch_up=catch_up)) == (
            [(rule, (found, missed))] if found or missed else []
        )
        seen += found
        total += len(found) + missed
        now = later
    every = list(takewhile(lambda tick: tick <= now, rule.ticks(begin)))
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(every)
    assert total == len(every)


@given(rules(), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2040, 1, 1)), st.floats(0, 30 * 86400))
def test_a_long_standstill(rule, since, seconds):
    """How many were missed is not found out by going through them."""
    since = since.replace(tzinfo=dt.UTC)
    until = since + dt.timedelta(seconds=seconds)
    every = list(takewhile(lambda tick: tick <= until, rule.ticks(since)))
    assert due(rule, since, until) == Due(tuple(every[-1:]), max(0, len(every) - 1))


def test_thousands_of_years():
    """Counted by other means than by the clock."""
    begin, end = utc(1, 1, 1), utc(9999, 12, 31, 23, 59)
    days = (end - begin).days
    assert due(Rule(Minutely(1)), begin, end) == ((end,), days * 1440 + 1438)
    two = (utc(1900, 1, 1) - utc(1700, 1, 1)).days * 24
    assert two - 1 <= due(Rule(Hourly(59), BERLIN), utc(1700, 1, 1), utc(1900, 1, 1)).missed + 1 <= two + 1
    assert due(Rule(Daily(23, 59)), begin, end) == ((end,), days)
    assert due(Rule(Weekly(0)), begin, end).missed == sum(1 for _ in range(6, days + 1, 7)) - 1
    assert due(Rule(Cron("*/30 * * * *")), begin, end).missed == days * 48 + 46
    epoch = utc(1970, 1, 1)
    assert due(Rule(Hourly(0)), utc(1969, 1, 1), epoch) == ((epoch,), 365 * 24 - 1)


@given(st.lists(rules(), max_size=8), st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)))
def test_upcoming_is_a_sorted_merge(several, after):
    after = after.replace(tzinfo=dt.UTC)
    found = list(islice(upcoming(several, after), 40))
    merged = sorted((tick, number) for number, rule in enumerate(several) for tick in islice(rule.ticks(after), 40))
    assert found == [(tick, several[number]) for tick, number in merged[:40]]


@given(st.lists(rules(), max_size=8), st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)))
def test_many_at_once_as_each_by_itself(several, after):
    after = after.replace(tzinfo=dt.UTC)
    assert list(next_ticks(several, after)) == [(rule, next_tick(rule, after)) for rule in several]


def walk(schedule, after, count):
    """The oracle of snapper's schedules: is_time of every minute."""
    tick = after.replace(second=0, microsecond=0)
    for _ in range(count):
        tick += MINUTE
        if schedule.is_time(tick):
            yield tick


EVERY = [
    "hourly:local=1@17", "daily:local=1@23:59", "daily:local=1", "weekly:local=1@Sun", "weekly:local=1@Sat/12:30",
    "monthly:local=1@1", "monthly:local=1@31/23:59", "yearly:local=1@Feb-29", "yearly:local=1@366",
    "yearly:local=1@001", "yearly:local=1@Dec-31/23:59",
]  # fmt: skip


@pytest.mark.parametrize("text", EVERY)
def test_calendars_of_schedules(text):
    (schedule,) = parse_schedules(text)
    begin, days = utc(2023, 12, 30, 11, 7, 31), 65
    until = begin + dt.timedelta(days=days)
    found = takewhile(lambda tick: tick <= until, schedule.calendar.ticks(begin))
    assert list(found) == list(walk(schedule, begin, days * 1440))


@given(calendar_schedules(), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)))
def test_next_is_the_time_of_a_schedule(schedule, after):
    rule, after = Rule(schedule.calendar), after.replace(tzinfo=dt.UTC)
    first = next_tick(rule, after)
    if first is None:
        assert (schedule.month, schedule.day) in {(2, 30), (2, 31), (4, 31), (6, 31), (9, 31), (11, 31)}
        return
    assert first > after
    assert schedule.is_time(first)
    found = [first, *islice(rule.ticks(first), 5)]
    assert all(earlier < later for earlier, later in pairwise(found))


def test_faults_and_never():
    for ask in (
        next_tick,
        lambda rule, time: list(upcoming([rule], time)),
        lambda rule, time: list(due_at([rule], time, time)),
    ):
        with pytest.raises(InvalidInput, match="no time zone"):
            ask(Rule(Daily(1)), dt.datetime(2024, 1, 1))
    for calendar in (Schedule().calendar, Yearly(2, 30), Cron("0 0 31 2 *"), Minutely(0)):
        assert next_tick(Rule(calendar, BERLIN), utc(2024, 1, 1)) is None
        assert due(Rule(calendar, BERLIN), utc(1, 1, 1), utc(9999, 1, 1)) == Due((), 0)


def test_a_time_that_is_shown_twice():
    """``fold`` says which of the two is meant."""
    rule = Rule(Hourly(30), BERLIN)
    twice = dt.datetime(2024, 10, 27, 2, 15, tzinfo=BERLIN)
    assert next_tick(rule, twice) == utc(2024, 10, 27, 0, 30)
    assert next_tick(rule, twice.replace(fold=1)) == utc(2024, 10, 27, 1, 30)
    assert due(rule, twice, twice.replace(fold=1)) == ((utc(2024, 10, 27, 0, 30),), 0)


# calendars, and a time of day for which a change of the clocks matters
ODD = [
    ("Europe/Berlin", utc(2024, 3, 31, 1)), ("Europe/Berlin", utc(2024, 10, 27, 1)), ("Europe/Oslo", utc(1893, 3, 31)),
    ("Australia/Lord_Howe", utc(2024, 4, 6, 15)), ("Pacific/Apia", utc(2011, 12, 30, 10)),
    ("Africa/Casablanca", utc(2024, 3, 10, 2)), ("Africa/Monrovia", utc(1972, 1, 7)),
    ("Africa/El_Aaiun", utc(2012, 7, 20, 2)), ("America/Anchorage", utc(1867, 10, 19, 0)),
    ("America/Boa_Vista", utc(2000, 10, 8, 4)), ("America/Boa_Vista", utc(2000, 10, 15, 3)),  # and back in a week
    ("Africa/Freetown", utc(1939, 9, 1, 1)), ("Africa/Freetown", utc(1939, 9, 5, 1)),
    ("Antarctica/Casey", utc(2010, 3, 4, 15)), ("Antarctica/Casey", utc(2009, 10, 17, 18)),
    ("Antarctica/Troll", utc(2024, 3, 31, 1)), ("Europe/Warsaw", utc(1944, 10, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), ODD)
def test_counts_around_a_change_of_the_clocks(name, change):
    """Each answer is that of the minutes: the next, the last, and how many there are between any two times."""
    zone, place = ZoneInfo(name), place_of(ZoneInfo(name))
    begin, end = change - dt.timedelta(days=2), change + dt.timedelta(days=2)
    shown = {(change + MINUTE * n).astimezone(zone).strftime("%H %M") for n in (-31, -1, 0, 1, 29, 60, 61)}
    timed = [Daily(*map(int, text.split())) for text in sorted(shown)]
    hands = [
        Hourly(0),
        Hourly(30),
        Cron("15 */2 * * *"),
        Cron("0,30 1-3 * * *"),
        Steps(2),
        Steps(1, 30),
        Daily(2),
        Daily(0),
    ]
    for calendar in [*timed, *hands]:
        ticks = minutes.ticks(calendar, begin, end, zone)
        assert ticks
        for cut in [change + MINUTE * n for n in (-90, -60, -30, -1, 0, 1, 30, 31, 59, 60, 61, 1440)] + ticks:
            first, second = [t for t in ticks if t <= cut], [t for t in ticks if t > cut]
            for since, until, some in ((begin, cut, first), (cut, end, second)):
                found = due(Rule(calendar, zone), since, until)
                assert found == Due(tuple(some[-1:]), max(0, len(some) - 1)), (calendar, since, until)
                assert calendar.count(seconds(since), seconds(until), place) == len(some), (calendar, since, until)
            assert not first or calendar.latest(seconds(cut), place) == seconds(first[-1]), (calendar, cut)
            assert not second or calendar.following(seconds(cut), place) == seconds(second[0]), (calendar, cut)


def test_two_ticks_of_which_the_last_is_now():
    assert due(Rule(Hourly(0)), utc(2024, 1, 1), utc(2024, 1, 1, 2)) == Due((utc(2024, 1, 1, 2),), 1)
    assert due(Rule(Hourly(0)), utc(2024, 1, 1), utc(2024, 1, 1, 1, 1), catch_up=False) == Due((), 1)


@pytest.mark.parametrize("weekday", range(7))
def test_weeks_are_counted_by_their_days(weekday):
    rule, begin = Rule(Weekly(weekday, 12)), utc(2023, 12, 27)
    for first, last in product(range(9), range(9, 25)):
        since, until = begin + dt.timedelta(days=first), begin + dt.timedelta(days=last)
        ticks = [t for t in (since + dt.timedelta(days=n, hours=12) for n in range(last - first))
                 if t.isoweekday() % 7 == weekday]  # fmt: skip
        assert due(rule, since, until) == Due(tuple(ticks[-1:]), max(0, len(ticks) - 1))


def test_leap_days_on_a_day_of_the_week_are_far_away():
    leap_days = [utc(year, 2, 29) for year in range(2000, 2400, 4) if year % 100 or year == 2000]
    sundays = [day for day in leap_days if day.isoweekday() == 7]
    assert max(later - earlier for earlier, later in pairwise(sundays)).days > 39 * 365
    assert list(islice(Cron("0 0 29 2 */7").ticks(utc(2000, 1, 1)), len(sundays))) == sundays


class Moved(dt.tzinfo):
    """Clocks that are put forward an hour once. ``change`` is in UTC."""

    def __init__(self, change):
        self.change = change

    def utcoffset(self, time):
        return None if time is None else dt.timedelta(hours=time.replace(tzinfo=dt.UTC) >= self.change)

    def dst(self, time):
        return dt.timedelta(0)

    def fromutc(self, time):
        return time + dt.timedelta(hours=time.replace(tzinfo=dt.UTC) >= self.change)


@pytest.mark.parametrize("day", range(64))
def test_a_change_before_any_midnight(day):
    """What is known of a zone is kept in pieces: a change just before one concerns it."""
    midnight = utc(2024, 1, 1) + dt.timedelta(days=day)
    change = midnight - 10 * MINUTE
    skipped = change.replace(minute=50) + 30 * MINUTE  # 0:20 by the clocks of before
    rule = Rule(Daily(skipped.hour, skipped.minute), Moved(change))
    assert next_tick(rule, midnight) == skipped
