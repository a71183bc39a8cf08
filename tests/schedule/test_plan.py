"""When a schedule is due, and which ones are due together."""

import datetime as dt

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Period, Schedule

NOW = dt.datetime(2022, 8, 31, 3, 15)  # a Wednesday, day 243


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({"minute": 10}, False),
        ({"minute": 15}, True),
        ({"hour": 3}, False),
        ({"hour": 3, "minute": 15}, True),
        ({"day": 1, "hour": 3, "minute": 15}, False),
        ({"day": 31, "hour": 3, "minute": 15}, True),
        ({"month": 8, "hour": 3, "minute": 15}, False),
        ({"weekday": 3, "hour": 3, "minute": 15}, True),
        ({"month": 8, "weekday": 3, "hour": 3, "minute": 15}, False),
        ({"month": 8, "day": 31, "hour": 3, "minute": 15}, True),
        ({"yearday": 42, "hour": 3, "minute": 15}, False),
        ({"yearday": 243, "hour": 3, "minute": 15}, True),
        ({}, False),
    ],
)
def test_is_time(fields, due):
    assert Schedule.make(**fields).is_time(NOW) is due


def test_minutely_by_chance():
    half = Schedule.make(minutely=0.5)
    assert half.is_time(NOW, chance=lambda: 0.5)
    assert not half.is_time(NOW, chance=lambda: 0.51)
    assert Schedule.make(minutely=1.0).is_time(NOW)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ({"minutely": 0.1}, {"minutely": 0.9}, True),
        ({"minute": 3}, {"minute": 3}, True),
        ({"minute": 3}, {"minute": 4}, False),
        ({"minute": 3}, {"minute": 3, "hour": 0}, False),
        ({"weekday": 3}, {"weekday": 3, "hour": 0}, True),
        ({"weekday": 3}, {"weekday": 4}, False),
        ({"day": 3}, {"day": 4}, False),
        ({"month": 3}, {"month": 3, "day": 1}, True),
        ({"month": 3}, {"month": 4}, False),  # the original says True
        ({"month": 3}, {"month": 3, "day": 2}, False),  # the same
        ({"yearday": 3}, {"yearday": 4}, False),  # the same
        ({"hour": 3, "minute": 1}, {"hour": 4, "minute": 1}, False),
        ({"hour": 3, "minute": 1}, {"hour": 3, "minute": 2}, False),
        ({"weekday": 3, "hour": 1}, {"weekday": 3, "hour": 2}, False),
        ({"day": 3, "weekday": 2}, {"day": 3}, True),  # the day of the week has no meaning there
        ({"month": 3, "weekday": 2}, {"month": 3}, True),
        ({"hour": 3, "minutely": 0.5}, {"hour": 3}, True),
        ({}, {}, False),
    ],
)
def test_matches(a, b, same):
    one, other = Schedule.make(keep=1, **a), Schedule.make(keep=9, options=1, **b)
    assert one.matches(other) is same
    assert other.matches(one) is same


@pytest.mark.parametrize(
    ("fields", "period", "when"),
    [
        ({"yearday": 32, "minute": 1}, Period.YEARLY, 32),
        ({"month": 2}, Period.YEARLY, 2),
        ({"day": 5}, Period.MONTHLY, 5),
        ({"weekday": 0}, Period.WEEKLY, 0),
        ({"hour": 4}, Period.DAILY, 4),
        ({"minute": 9}, Period.HOURLY, 9),
        ({"minutely": 0.53}, Period.MINUTELY, 53),
        ({}, None, -1),
    ],
)
def test_period_and_when(fields, period, when):
    one = Schedule.make(**fields)
    assert (one.period, one.when) == (period, when)


def test_a_month_and_a_day_of_the_year():
    """The original is due on both: a calendar has one day."""
    both = Schedule.make(month=8, day=30, yearday=243, hour=3, minute=15)
    assert both.is_time(NOW)
    assert both.is_time(NOW - dt.timedelta(days=1))
    with pytest.raises(InvalidInput, match="due on two days"):
        _ = both.calendar
    with pytest.raises(InvalidInput, match="a yearly schedule has month and day, or yearday"):
        both.plain()
