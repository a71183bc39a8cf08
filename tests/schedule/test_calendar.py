"""When calendars are due, against a look at every minute."""

import datetime as dt
from fractions import Fraction
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.schedule.calendar import (
    Cron,
    Daily,
    Every,
    Hourly,
    Minutely,
    Monthly,
    Steps,
    Weekly,
    YearDay,
    Yearly,
)
from tests.schedule import minutes
from tests.schedule.strategies import ZONES, calendars

BERLIN, HOWE, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")
MINUTE = dt.timedelta(minutes=1)


def utc(*fields):
    return dt.datetime(*fields, tzinfo=dt.UTC)


def listed(calendar, after, until, zone=dt.UTC):
    return list(takewhile(lambda tick: tick <= until, calendar.ticks(after, zone)))


KINDS = [
    Hourly(17), Hourly(0), Daily(23, 59), Daily(0, 0), Daily(2, 30), Daily(2, 0), Daily(0, 30), Weekly(0, 0, 0),
    Weekly(6, 23, 59), Weekly(0, 2, 15), Weekly(5, 12, 30), Monthly(1), Monthly(31, 23, 59), Monthly(30, 2, 30, "last"),
    Monthly(31, 0, 0, "last"), Yearly(2, 29), Yearly(3, 31, 2, 30), Yearly(12, 30, 5), Yearly(2, 30), YearDay(366, 12),
    YearDay(1), YearDay(364, 5, 5), Steps(6), Steps(8, 30), Steps(1, 45), Steps(5), Cron("30 2 * * *"),
    Cron("* 2 * * *"),    Cron("0,30 1-3 * * *"), Cron("*/20 0,2 * * 0"), Cron("15 */3 1-7 * 1"), Cron("0 0 1,31 * 5"),
    Cron("5/25 23 */2 3,10 sun"),
    Cron("0 0 31 2 *"), Cron("0 5 30 12 fri"), Cron("59 23 31 12 *"), Cron("0 0 29 2 *"),
]  # fmt: skip
NAMES = [repr(one).replace(" ", "") for one in KINDS]
# the years in which the clocks of the zone did something odd
YEARS = [
    pytest.param(
        zone,
        2011 if zone in ("Pacific/Apia", "America/Sao_Paulo") else 2024,
        marks=[pytest.mark.slow] if zone in ("Asia/Kathmandu", "America/Sao_Paulo", "America/New_York") else [],
        id=zone,
    )
    for zone in ZONES
]


@pytest.mark.parametrize(("name", "year"), YEARS)
def test_every_minute_of_a_year(name, year):
    zone, begin, until = ZoneInfo(name), utc(year - 1, 12, 30, 11, 7), utc(year + 1, 1, 2)
    for calendar in KINDS:
        assert listed(calendar, begin, until, zone) == minutes.ticks(calendar, begin, until, zone), calendar


@pytest.mark.slow
@pytest.mark.parametrize("name", ZONES)
def test_every_minute_of_ten_years(name):
    zone, begin, until = ZoneInfo(name), utc(2008, 6, 1), utc(2018, 6, 1)
    for calendar in KINDS:
        assert listed(calendar, begin, until, zone) == minutes.ticks(calendar, begin, until, zone), calendar


@given(calendars(), st.sampled_from(ZONES), st.datetimes(dt.datetime(1850, 1, 1), dt.datetime(2200, 1, 1)))
def test_each_question_has_one_answer(calendar, name, after):
    """Whenever one asks, the next tick is the first of those that come."""
    zone, after = ZoneInfo(name), after.replace(tzinfo=dt.UTC)
    found = list(islice(calendar.ticks(after, zone), 5))
    assert all(earlier < later for earlier, later in pairwise([after, *found]))
    assert all(tick.second == tick.microsecond == 0 for tick in found)
    for index, tick in enumerate(found[:-1]):
        assert next(calendar.ticks(tick, zone)) == found[index + 1]
        assert next(calendar.ticks(tick - dt.timedelta(microseconds=1), zone)) == tick
        between = tick + (found[index + 1] - tick) / 2
        assert next(calendar.ticks(between, zone)) == found[index + 1]


@given(calendars(), st.sampled_from(ZONES), st.datetimes(dt.datetime(1890, 1, 1), dt.datetime(2100, 1, 1)))
def test_some_days_of_any_year(calendar, name, begin):
    zone, begin = ZoneInfo(name), begin.replace(tzinfo=dt.UTC, second=0, microsecond=0)
    until = begin + dt.timedelta(days=3)
    if not isinstance(calendar, Minutely | Every):
        assert listed(calendar, begin, until, zone) == minutes.ticks(calendar, begin, until, zone)


@pytest.mark.parametrize("text", ["0 12 * * *", "*/7 3-5 * * *", "0 0 L * *", "5 4 LW * *", "0 0 * * 5L",
    "0 0 * * mon#3", "1 2 3 4 *", "0 0 13 * fri", "30 2 * * *", "59 23 28-31 * 1-5"])  # fmt: skip
@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/New_York"])
def test_cron_against_cronsim(text, name):
    begin = utc(2023, 1, 1)
    theirs = CronSim(text, begin.astimezone(ZoneInfo(name)))
    assert list(islice(Cron(text).ticks(begin, ZoneInfo(name)), 300)) == list(islice(theirs, 300))


def test_the_clocks_go_forward():
    """2:30 does not exist on 2024-03-31: it is when the clocks would have shown it; cron takes the end of the gap."""
    after, until = utc(2024, 3, 30), utc(2024, 4, 1, 1)
    assert listed(Daily(2, 30), after, until, BERLIN) == [
        utc(2024, 3, 30, 1, 30), utc(2024, 3, 31, 1, 30), utc(2024, 4, 1, 0, 30)]  # fmt: skip
    assert listed(Cron("10,30 2 * * *"), utc(2024, 3, 30, 12), utc(2024, 3, 31, 12), BERLIN) == [utc(2024, 3, 31, 1)]


def test_the_clocks_go_back():
    """2:30 is shown twice on 2024-10-27: once is enough; hours are counted all."""
    found = listed(Daily(2, 30), utc(2024, 10, 26), utc(2024, 10, 28, 12), BERLIN)
    assert found == [utc(2024, 10, 26, 0, 30), utc(2024, 10, 27, 0, 30), utc(2024, 10, 28, 1, 30)]
    hours = listed(Hourly(30), utc(2024, 10, 27), utc(2024, 10, 27, 5), BERLIN)
    assert hours == [utc(2024, 10, 27, hour, 30) for hour in range(5)]


def test_a_day_that_was_left_out():
    """Samoa had no 2011-12-30: its five o'clock is that of the next day."""
    assert listed(Daily(5), utc(2011, 12, 29), utc(2012, 1, 1), APIA) == [
        utc(2011, 12, 29, 15), utc(2011, 12, 30, 15), utc(2011, 12, 31, 15)]  # fmt: skip


def test_a_share_of_the_minutes():
    begin = utc(2024, 1, 1)
    for percent in range(101):
        share = Fraction(percent, 100)
        wanted = [n for n in range(minutes.number(begin) + 1, minutes.number(begin) + 301) if n * share % 1 < share]
        found = listed(Minutely(percent / 100), begin, begin + MINUTE * 300)
        assert [minutes.number(tick) for tick in found] == wanted
        assert len(found) == percent * 3
    assert list(Minutely(0).ticks(begin)) == []
    assert list(Minutely(1e-300).ticks(begin)) == []
    assert next(Minutely(1e-7).ticks(begin)) > begin


def test_an_interval():
    anchor = dt.datetime(2024, 1, 1, 0, 0, 7, 500, tzinfo=BERLIN)
    every = Every(90, anchor)
    assert every.anchor == utc(2023, 12, 31, 23, 0, 7)
    first = utc(2023, 12, 31, 23, 0, 7)
    assert list(islice(every.ticks(first, HOWE), 2)) == [first + MINUTE * 1.5, first + MINUTE * 3]
    assert next(every.ticks(first - MINUTE * 3.1)) == first - MINUTE * 3
    with pytest.raises(InvalidInput, match="no time zone"):
        Every(60, dt.datetime(2024, 1, 1))


@pytest.mark.parametrize("name", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_the_ends_of_time(name):
    zone = ZoneInfo(name)
    last, first = dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.min.replace(tzinfo=dt.UTC)
    for calendar in [*KINDS, Minutely(), Every(60)]:
        assert list(calendar.ticks(last, zone)) == []
        for tick in [*islice(calendar.ticks(first, zone), 2), *calendar.ticks(last - 2 * dt.timedelta(days=1), zone)]:
            assert tick.astimezone(dt.UTC if isinstance(calendar, Minutely | Every) else zone)
        next(calendar.ticks(dt.datetime.min.replace(tzinfo=ZoneInfo("Pacific/Kiritimati")), zone), None)


def test_never_in_little_time():
    for calendar in [Yearly(2, 30), Cron("0 0 31 2 *"), Cron("0 0 30 2 *"), Minutely(0), Cron("0 0 31 4,6 */9")]:
        assert next(calendar.ticks(utc(2024, 1, 1), BERLIN), None) is None


def test_a_time_without_a_zone():
    with pytest.raises(InvalidInput, match="no time zone"):
        next(Daily(1).ticks(dt.datetime(2024, 1, 1)))


@pytest.mark.parametrize("make", [
    lambda: Minutely(1.1), lambda: Minutely(float("nan")), lambda: Hourly(60), lambda: Daily(24), lambda: Daily(0, -1),
    lambda: Weekly(7), lambda: Monthly(0), lambda: Monthly(32), lambda: Monthly(1, 0, 0, "first"), lambda: Yearly(13),
    lambda: YearDay(367), lambda: Steps(0), lambda: Steps(25), lambda: Every(0), lambda: Cron(""),
    lambda: Cron("* * * *"),
    lambda: Cron("* * * * * *"), lambda: Cron("60 * * * *"), lambda: Cron("* * 32 * *"), lambda: Cron("{} * * * *"),
    lambda: Cron("* * {0} * {}"), lambda: Cron(f"{'9' * 9999} * * * *"), lambda: Cron("* * * * ²L"),
])  # fmt: skip
def test_what_no_calendar_has(make):
    with pytest.raises(InvalidInput):
        make()
