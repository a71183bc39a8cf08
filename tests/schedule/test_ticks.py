"""When schedules are due, against a naive walk over every minute."""

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Schedule, parse_schedules
from blockdiff.schedule.ticks import MINUTE, chosen, due, next_tick, ticks
from tests.schedule.strategies import calendar_schedules

BERLIN, HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")


def utc(*fields):
    return dt.datetime(*fields, tzinfo=dt.UTC)


def one(text):
    (found,) = parse_schedules(text)
    return found


def walk(schedule, after, until):
    """The oracle: is_time of every minute."""
    tick = after.replace(second=0, microsecond=0)
    found = []
    while (tick := tick + MINUTE) <= until:
        if schedule.is_time(tick):
            found.append(tick)
    return found


def listed(schedule, after, until, zone=dt.UTC):
    found = []
    for tick in ticks(schedule, after, zone):
        if tick > until:
            break
        found.append(tick)
    return found


EVERY = [
    "hourly:local=1@17", "daily:local=1@23:59", "daily:local=1", "weekly:local=1@Sun", "weekly:local=1@Sat/12:30",
    "monthly:local=1@1", "monthly:local=1@31/23:59", "yearly:local=1@Feb-29", "yearly:local=1@366",
    "yearly:local=1@001", "yearly:local=1@Dec-31/23:59",
]  # fmt: skip


@pytest.mark.parametrize("text", EVERY)
def test_against_every_minute_of_months(text):
    begin = utc(2023, 12, 30, 11, 7, 31)
    until = begin + dt.timedelta(days=65)
    assert listed(one(text), begin, until) == walk(one(text), begin, until)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("text", EVERY)
def test_against_every_minute_of_ten_years(text):
    begin, until = utc(2019, 6, 1), utc(2029, 6, 1)
    assert listed(one(text), begin, until) == walk(one(text), begin, until)


@given(calendar_schedules(), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC)))
def test_next_is_monotone_and_true(schedule, after):
    first = next_tick(schedule, after)
    if first is None:
        assert (schedule.month, schedule.day) in {(2, 30), (2, 31), (4, 31), (6, 31), (9, 31), (11, 31)}
        return
    assert first > after
    assert schedule.is_time(first)
    assert next_tick(schedule, first - MINUTE) == first
    second = next_tick(schedule, first)
    assert second > first
    assert next_tick(schedule, first + (second - first) / 2) == second


@given(calendar_schedules(), st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(BERLIN)))
def test_one_tick_a_date_in_a_zone_with_summer_time(schedule, after):
    found = []
    for tick in ticks(schedule, after, BERLIN):
        found.append(tick)
        if len(found) == 6:
            break
    assert all(a < b for a, b in pairwise(found))
    if schedule.hour is not None:
        dates = [tick.astimezone(BERLIN).date() for tick in found]
        assert len(set(dates)) == len(dates)


def test_the_clocks_go_forward():
    """2:30 does not exist on 2024-03-31: it is when the clocks would have shown it."""
    found = listed(one("daily:local=1@2:30"), utc(2024, 3, 30), utc(2024, 4, 2), BERLIN)
    assert found == [utc(2024, 3, 30, 1, 30), utc(2024, 3, 31, 1, 30), utc(2024, 4, 1, 0, 30)]


def test_the_clocks_go_back():
    """2:30 is shown twice on 2024-10-27: once is enough; hours are counted all."""
    found = listed(one("daily:local=1@2:30"), utc(2024, 10, 26), utc(2024, 10, 28, 12), BERLIN)
    assert found == [utc(2024, 10, 26, 0, 30), utc(2024, 10, 27, 0, 30), utc(2024, 10, 28, 1, 30)]
    hours = listed(one("hourly:local=1@30"), utc(2024, 10, 27), utc(2024, 10, 27, 5), BERLIN)
    assert hours == [utc(2024, 10, 27, hour, 30) for hour in range(5)]


def test_offsets_of_half_an_hour():
    """Lord Howe moves its clocks by thirty minutes."""
    found = listed(one("hourly:local=1@15"), utc(2024, 4, 6, 12), utc(2024, 4, 6, 18), HOWE)
    assert [tick.astimezone(HOWE).minute for tick in found] == [15] * len(found)
    assert found == [tick for tick in minutes(utc(2024, 4, 6, 12), utc(2024, 4, 6, 18)) if shown(tick) == 15]


def minutes(after, until):
    while (after := after + MINUTE) <= until:
        yield after


def shown(tick):
    return tick.astimezone(HOWE).minute


def test_a_share_of_the_minutes():
    tenth = one("minutely:local=1@10")
    found = listed(tenth, utc(2024, 1, 1), utc(2024, 1, 8))
    assert found == [tick for tick in minutes(utc(2024, 1, 1), utc(2024, 1, 8)) if chosen(tick, 0.1)]
    assert 900 < len(found) < 1120
    assert next_tick(one("minutely:local=1@0"), utc(2024, 1, 1)) is None
    assert next_tick(one("minutely:local=1"), utc(2024, 1, 1)) == utc(2024, 1, 1, 0, 1)


def test_due_once():
    hourly = one("hourly:local=1")
    assert due(hourly, utc(2024, 1, 1, 0, 0), utc(2024, 1, 1, 0, 59)) == ([], 0)
    assert due(hourly, utc(2024, 1, 1, 0, 59), utc(2024, 1, 1, 1, 0)) == ([utc(2024, 1, 1, 1)], 0)
    assert due(hourly, utc(2024, 1, 1, 1, 0), utc(2024, 1, 1, 1, 0, 30)) == ([], 0)
    assert due(hourly, utc(2024, 1, 1), utc(2024, 1, 1, 5, 30)) == ([utc(2024, 1, 1, 5)], 4)
    assert due(hourly, utc(2024, 1, 1), utc(2024, 1, 1, 5, 30), catch_up=False) == ([], 5)
    assert due(hourly, utc(2024, 1, 1), utc(2024, 1, 1, 5, 0, 30), catch_up=False) == ([utc(2024, 1, 1, 5)], 4)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_no_tick_twice_and_none_forgotten(steps):
    """However a daemon's clock moves on, each tick is acted on or counted as missed, once."""
    schedule, now, seen = one("hourly:local=1@30"), utc(2024, 3, 30), []
    total = 0
    for step in steps:
        later = now + dt.timedelta(minutes=step)
        found, missed = due(schedule, now, later)
        seen += found
        total += len(found) + missed
        now = later
    assert len(set(seen)) == len(seen)
    assert total == len(walk(schedule, utc(2024, 3, 30), now))


def test_the_end_of_time():
    last = dt.datetime.max.replace(tzinfo=dt.UTC)
    for text in [*EVERY, "minutely:local=1"]:
        assert next_tick(one(text), last) is None


def test_a_time_without_a_zone():
    with pytest.raises(InvalidInput, match="no time zone"):
        next_tick(Schedule.make(hour=1), dt.datetime(2024, 1, 1))
    assert next_tick(Schedule(), utc(2024, 1, 1)) is None
