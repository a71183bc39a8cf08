"""Windows against an oracle that looks at every date, and against the ticks of the rules."""

import calendar
import datetime as dt
from bisect import bisect_right
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from blockdiff.cinder.policy import Daily, Express, Monthly, Policies, Weekly, window_of
from blockdiff.errors import InvalidInput
from tests.cinder.policy.strategies import NOW, POLICY, ZONES


def starts_around(policy, now):
    """All window starts of two months around a time, by looking at each date: the law in its plain words."""
    zone = ZoneInfo(policy.timezone)
    today = now.astimezone(zone).date()
    found = set()
    for date in (today + dt.timedelta(days=days) for days in range(-66, 67)):
        if isinstance(policy, Weekly) and (date.weekday() + 1) % 7 != policy.weekday:
            continue
        if isinstance(policy, Monthly) and date.day != min(policy.day, calendar.monthrange(date.year, date.month)[1]):
            continue
        if isinstance(policy, Express):
            times = [dt.time(hour) for hour in range(0, 24, policy.interval)]
        else:
            times = [policy.start]
        found |= {dt.datetime.combine(date, time, zone).astimezone(dt.UTC) for time in times}
    return sorted(found)


@settings(max_examples=300)
@given(POLICY, NOW)
def test_windows_are_those_of_the_calendar(policy, now):
    starts = starts_around(policy, now)
    start = max(one for one in starts if one <= now)
    end = min(one for one in starts if one > now)
    window = window_of(policy, now)
    assert [one.astimezone(dt.UTC) for one in window] == [start, end, now]
    assert {one.tzinfo for one in window} == {policy.zone}
    assert now in window
    assert start in window
    assert end not in window


@settings(max_examples=60)
@given(POLICY, NOW)
def test_a_window_ends_where_the_next_begins(policy, now):
    begin = now
    for _ in range(8):
        window = window_of(policy, now)
        assert window_of(policy, window.start)[:2] == window[:2]
        last = window.end.astimezone(dt.UTC) - dt.timedelta(microseconds=1)
        assert window_of(policy, last)[:2] == window[:2]
        following = window_of(policy, window.end)
        assert following.start.astimezone(dt.UTC) == window.end.astimezone(dt.UTC)
        now = following.start
    assert now > begin


@settings(max_examples=100)
@given(POLICY, NOW)
def test_ticks_of_the_rule_are_the_starts_of_windows(policy, now):
    assume(policy.enabled)
    (rule,) = Policies(**{policy.kind: policy}).rules()
    window = window_of(policy, now)
    before = window.start.astimezone(dt.UTC) - dt.timedelta(microseconds=1)
    ticks = list(islice(rule.ticks(before), 4))
    assert ticks[:2] == [one.astimezone(dt.UTC) for one in window[:2]]
    assert [window_of(policy, tick).start.astimezone(dt.UTC) for tick in ticks] == ticks


def test_many_years_have_a_window_a_day():
    for name in ZONES:
        policy, time = Daily(timezone=name, start=dt.time(2, 30)), dt.datetime(2009, 6, 1, 12, tzinfo=dt.UTC)
        dates = []
        while time.year < 2013:
            window = window_of(policy, time)
            dates.append(window.start.date())
            time = window.end
        gaps = {later - earlier for earlier, later in pairwise(dates)}
        skipped = {dt.timedelta(days=2)} if name == "Pacific/Apia" else set()  # December 30, 2011 was not there
        assert gaps == {dt.timedelta(days=1)} | skipped, name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(available_timezones() - {"localtime"})[::6])
def test_years_of_windows_in_all_zones(name):
    """Each window is that of the oracle, and they follow one another."""
    for policy, days in (
        (Express(timezone=name, interval=8), 200),
        (Daily(timezone=name, start=dt.time(0, 30)), 400),
        (Weekly(timezone=name, weekday=0, start=dt.time(2, 30)), 2000),
        (Monthly(timezone=name, day=30, start=dt.time(1)), 4000),
    ):
        now = dt.datetime(2010, 12, 1, tzinfo=dt.UTC)
        last = now + dt.timedelta(days=days)
        starts, known = [], now
        while now < last:
            if now >= known:
                starts, known = starts_around(policy, now), now + dt.timedelta(days=30)
            window = window_of(policy, now)
            at = bisect_right(starts, now)
            now = window.end.astimezone(dt.UTC)
            assert [window.start.astimezone(dt.UTC), now] == starts[at - 1 : at + 1]


def hours(policy, *when):
    window = window_of(policy, dt.datetime(*when, tzinfo=policy.zone))
    length = window.end.astimezone(dt.UTC) - window.start.astimezone(dt.UTC)
    return f"{window.start:%m-%d %H:%M}", f"{window.end:%m-%d %H:%M}", length / dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("policy", "when", "expected"),
    [
        (Daily(timezone="Europe/Paris"), (2025, 10, 26, 23, 30), ("10-26 00:00", "10-27 00:00", 25)),
        (Daily(timezone="Europe/Paris"), (2025, 3, 30, 12), ("03-30 00:00", "03-31 00:00", 23)),
        (Daily(timezone="Europe/Paris", start=dt.time(14)), (2025, 10, 26, 13, 30), ("10-25 14:00", "10-26 14:00", 25)),
        (Daily(timezone="Europe/Paris", start=dt.time(2, 30)), (2025, 3, 30, 12), ("03-30 03:30", "03-31 02:30", 23)),
        (Daily(timezone="Europe/Paris", start=dt.time(2, 30)), (2025, 10, 26, 12), ("10-26 02:30", "10-27 02:30", 25)),
        (Weekly(timezone="Europe/Paris", weekday=1), (2025, 10, 29), ("10-27 00:00", "11-03 00:00", 168)),
        (Weekly(timezone="Europe/Paris", weekday=0), (2025, 10, 29), ("10-26 00:00", "11-02 00:00", 169)),
        (Monthly(day=31), (2024, 2, 29), ("02-29 00:00", "03-31 00:00", 31 * 24)),
        (Monthly(day=31), (2025, 2, 27), ("01-31 00:00", "02-28 00:00", 28 * 24)),
        (Monthly(day=30, timezone="Europe/Paris"), (2025, 3, 15), ("02-28 00:00", "03-30 00:00", 30 * 24)),
        (Express(timezone="Europe/Paris"), (2025, 10, 26, 5, 59), ("10-26 00:00", "10-26 06:00", 7)),
        (Express(timezone="Europe/Paris", interval=12), (2025, 3, 30, 1), ("03-30 00:00", "03-30 12:00", 11)),
        (Express(timezone="America/Sao_Paulo"), (2018, 11, 4, 2), ("11-04 01:00", "11-04 06:00", 5)),
        (Express(timezone="Australia/Lord_Howe"), (2025, 10, 5, 3), ("10-05 00:00", "10-05 06:00", 5.5)),
        (
            Daily(timezone="Australia/Lord_Howe", start=dt.time(2)),
            (2025, 10, 5, 9),
            ("10-05 02:30", "10-06 02:00", 23.5),
        ),
        (Daily(timezone="America/Sao_Paulo"), (2018, 11, 4, 5), ("11-04 01:00", "11-05 00:00", 23)),
        (Daily(timezone="America/Sao_Paulo"), (2018, 2, 17, 23, 30), ("02-17 00:00", "02-18 00:00", 25)),
    ],
)
def test_days_of_23_and_25_hours(policy, when, expected):
    assert hours(policy, *when) == expected


def test_the_second_showing_of_an_hour_is_told_from_the_first():
    """Python would compare 02:30 and 02:15, as the clocks show them."""
    policy = Daily(timezone="Europe/Paris", start=dt.time(2, 30))
    first = dt.datetime(2025, 10, 26, 2, 15, tzinfo=policy.zone)
    assert window_of(policy, first).start.day == 25
    assert window_of(policy, first.replace(fold=1)).start.day == 26
    assert first.replace(fold=1) in window_of(policy, first.replace(fold=1))


@pytest.mark.parametrize("year", [2, 9998])
@pytest.mark.parametrize("policy", [Express(), Daily(timezone="Pacific/Apia"), Weekly(), Monthly(day=31)], ids=str)
def test_the_ends_of_the_calendar(year, policy):
    now = dt.datetime(year, 1, 1, tzinfo=dt.UTC) if year == 2 else dt.datetime(year, 12, 31, 23, 59, tzinfo=dt.UTC)
    assert now in window_of(policy, now)


@pytest.mark.parametrize("now", [dt.datetime(2025, 1, 1), dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max])
def test_times_that_are_refused(now):
    with pytest.raises(InvalidInput):
        window_of(Daily(), now)


@given(st.datetimes(timezones=st.timezones()), POLICY)
def test_every_time_has_a_window_or_is_refused(now, policy):
    try:
        assert now in window_of(policy, now)
    except InvalidInput:
        assert now.year in (1, 9999)
