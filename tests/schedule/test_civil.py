"""Calendar arithmetic, against vectors of Go's AddDate and a naive count of days."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.schedule.civil import add_date

BERLIN, HOWE, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")


def utc(*fields):
    return dt.datetime(*fields, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("start", "added", "wanted"),
    [
        # of Go's TestAddDate: all of these are 2011-11-18 and ten seconds before 13:00
        ((2011, 11, 18), (0, 0, 0), (2011, 11, 18)),
        ((2009, 12, 18), (1, 11, 0), (2011, 11, 18)),
        ((2011, 11, 11), (0, 0, 7), (2011, 11, 18)),
        ((2007, 11, 18), (4, 0, 0), (2011, 11, 18)),
        ((2012, 1, 18), (0, -2, 0), (2011, 11, 18)),
        ((2016, 3, 1), (-4, -3, -13), (2011, 11, 18)),
        ((2000, 1, 1), (6, 4, 3 + 28), (2006, 6, 1)),
        # run over, no clamping
        ((2023, 1, 31), (0, 1, 0), (2023, 3, 3)),
        ((2024, 1, 31), (0, 1, 0), (2024, 3, 2)),
        ((2024, 2, 29), (1, 0, 0), (2025, 3, 1)),
        ((2024, 2, 29), (4, 0, 0), (2028, 2, 29)),
        ((2023, 10, 31), (0, 1, 0), (2023, 12, 1)),
        ((2023, 3, 31), (0, -1, 0), (2023, 3, 3)),
        ((2023, 12, 31), (0, 2, 0), (2024, 3, 2)),
        ((2023, 1, 31), (0, 1, -3), (2023, 2, 28)),
        ((1900, 2, 28), (0, 0, 1), (1900, 3, 1)),
        # on the way outside of Python's years, and back
        ((2023, 1, 1), (9000, -9000 * 12, 0), (2023, 1, 1)),
        ((2023, 1, 1), (-2400, 0, 6 * 146_097), (2023, 1, 1)),
    ],
)
def test_vectors(start, added, wanted):
    assert add_date(utc(*start, 12, 59, 50, 7), *added) == utc(*wanted, 12, 59, 50, 7)


@pytest.mark.parametrize(
    ("start", "days", "wanted", "offset"),
    [
        (dt.datetime(2024, 3, 30, 2, 30, tzinfo=BERLIN), 1, "2024-03-31T03:30:00", 2),  # skipped
        (dt.datetime(2024, 10, 26, 2, 30, tzinfo=BERLIN), 1, "2024-10-27T02:30:00", 2),  # the first showing
        (dt.datetime(2024, 10, 26, 3, 0, tzinfo=BERLIN), 1, "2024-10-27T03:00:00", 1),
        (dt.datetime(2024, 10, 28, 2, 30, tzinfo=BERLIN), -1, "2024-10-27T02:30:00", 2),
        (dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1), 0, "2024-10-27T02:30:00", 1),
        (dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1), 365, "2025-10-27T02:30:00", 1),
        (dt.datetime(2024, 10, 5, 2, 15, tzinfo=HOWE), 1, "2024-10-06T02:45:00", 11),
        (dt.datetime(2011, 12, 29, 12, tzinfo=APIA), 1, "2011-12-31T12:00:00", 14),  # a day that never was
    ],
)
def test_clocks_that_change(start, days, wanted, offset):
    found = add_date(start, days=days)
    assert (found.replace(tzinfo=None).isoformat(), found.utcoffset()) == (wanted, dt.timedelta(hours=offset))
    assert found.tzinfo is start.tzinfo


def test_of_times_shown_twice_nothing_added_changes_nothing():
    second = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)
    assert add_date(second).astimezone(dt.UTC) == utc(2024, 10, 27, 1, 30)
    assert add_date(add_date(second, days=1), days=-1).astimezone(dt.UTC) == utc(2024, 10, 27, 0, 30)


def naive(time, years, months, days):
    """Steps month by month and day by day."""
    year, month = time.year + years, time.month
    for _ in range(abs(months)):
        month += 1 if months > 0 else -1
        if month in (0, 13):
            year, month = (year - 1, 12) if month == 0 else (year + 1, 1)
    return time.replace(year=year, month=month, day=1) + dt.timedelta(days=time.day - 1 + days)


@given(
    st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(3000, 1, 1), timezones=st.just(dt.UTC)),
    st.integers(-500, 500), st.integers(-200, 200), st.integers(-2000, 2000),
)  # fmt: skip
def test_against_a_naive_count(time, years, months, days):
    assert add_date(time, years, months, days) == naive(time, years, months, days)


@pytest.mark.parametrize("added", [(8000, 0, 0), (0, -99999, 0), (0, 0, 10**9), (10**30, 0, 0), (0, 0, -(10**30))])
def test_outside_of_all_calendars(added):
    with pytest.raises(InvalidInput, match="outside the years 1 to 9999"):
        add_date(utc(2024, 1, 31), *added)


def test_at_the_ends_of_time():
    with pytest.raises(InvalidInput, match="outside the years"):
        add_date(dt.datetime(9999, 12, 30, 23, tzinfo=ZoneInfo("America/New_York")), days=1)
    with pytest.raises(InvalidInput, match="outside the years"):
        add_date(dt.datetime(1, 1, 2, 0, tzinfo=ZoneInfo("Asia/Tokyo")), days=-1)
    assert add_date(utc(9999, 12, 30, 23), days=1) == utc(9999, 12, 31, 23)


def test_a_time_needs_a_zone():
    with pytest.raises(InvalidInput, match="2024-01-31T00:00:00 has no time zone"):
        add_date(dt.datetime(2024, 1, 31), months=1)
