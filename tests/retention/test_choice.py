"""What each kind of retention keeps of a list of times, against the slow oracle and by hand."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blockdiff.retention import ALL, GFS, KeepAge, KeepCount, KeepDays, parse_retention
from blockdiff.retention.choice import terms, until
from tests.retention import oracle
from tests.retention.strategies import ZONES, retentions

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")
# minutes around both changes of the clocks and a leap day, and over years
MINUTES = st.integers(0, 3 * 365 * 24 * 60)
MOMENTS = st.one_of(
    MINUTES.map(lambda minute: dt.datetime(2023, 1, 1, tzinfo=UTC) + dt.timedelta(minutes=minute)),
    st.integers(0, 300).map(lambda minute: dt.datetime(2024, 3, 30, 23, tzinfo=UTC) + dt.timedelta(minutes=minute)),
    st.integers(0, 300).map(lambda minute: dt.datetime(2024, 10, 26, 23, tzinfo=UTC) + dt.timedelta(minutes=minute)),
    st.integers(0, 90).map(lambda hour: dt.datetime(2024, 2, 28, tzinfo=UTC) + dt.timedelta(hours=hour)),
)
HISTORIES = st.lists(MOMENTS, min_size=1, max_size=40, unique=True)


def kept(keep, times, now=None, zone=UTC):
    newest_first = sorted(times, reverse=True)
    return {time for term in terms(keep, newest_first, now or newest_first[0], zone) for time in term.kept}


@given(retentions(), HISTORIES, st.integers(0, 90 * 24), ZONES)
def test_as_the_oracle_says(keep, times, hours, zone):
    now, zone = max(times) + dt.timedelta(hours=hours), zone or UTC
    assert kept(keep, times, now, zone) == {time for time in times if oracle.keeps(keep, time, times, now, zone)}


@given(retentions(), HISTORIES, HISTORIES, ZONES)
def test_it_does_not_matter_how_often_one_tidies_up(keep, early, late, zone):
    """What is kept of what was kept and of what came later is what is kept of all."""
    now, zone = max(*early, *late), zone or UTC
    first = kept(keep, early, now, zone)
    assert kept(keep, first | set(late), now, zone) == kept(keep, set(early) | set(late), now, zone)


@given(retentions(), HISTORIES)
def test_every_time_has_its_reason(keep, times):
    newest_first = sorted(times, reverse=True)
    found = terms(keep, newest_first, newest_first[0], UTC)
    for time in times:
        for term in found:
            assert term.kept[time] if time in term.kept else term.refusal(time)


def days(*numbers, hour=12, zone=UTC):
    return [dt.datetime(2026, 1, 1, hour, tzinfo=zone) + dt.timedelta(days=number) for number in numbers]


def test_gaps_use_up_nothing():
    times = days(0, 30, 31, 90, 400)
    assert kept(GFS(daily=3), times) == set(times[2:])
    assert kept(GFS(monthly=2), times) == {times[3], times[4]}


def test_the_newest_of_a_period_wins():
    times = [*days(0, hour=3), *days(0, hour=12), *days(0, hour=23), *days(1, hour=1)]
    assert kept(GFS(daily=2), times) == {times[2], times[3]}
    assert kept(GFS(yearly=5), times) == {times[3]}


def test_days_are_those_of_the_zone():
    late, next_day = dt.datetime(2026, 1, 1, 22, 30, tzinfo=UTC), dt.datetime(2026, 1, 1, 23, 30, tzinfo=UTC)
    assert kept(GFS(daily=9), [late, next_day]) == {next_day}
    assert kept(GFS(daily=9), [late, next_day], zone=BERLIN) == {late, next_day}
    assert kept(GFS(daily=9, zone=BERLIN), [late, next_day]) == {late, next_day}
    assert kept(GFS(daily=9, zone=UTC), [late, next_day], zone=BERLIN) == {next_day}


def test_weeks_are_those_of_iso_8601():
    sunday, monday = dt.datetime(2024, 12, 29, tzinfo=UTC), dt.datetime(2024, 12, 30, tzinfo=UTC)
    thursday = dt.datetime(2025, 1, 2, tzinfo=UTC)  # of the week that began in the old year
    assert kept(GFS(weekly=9), [sunday, monday, thursday]) == {sunday, thursday}


def test_an_hour_that_is_shown_twice_is_two():
    first = dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    assert kept(GFS(hourly=9, zone=BERLIN), [first, first + dt.timedelta(hours=1)]) == {
        first,
        first + dt.timedelta(hours=1),
    }


@pytest.mark.parametrize(
    ("word", "count"), [("hourly", 1096 * 2), ("daily", 1096), ("weekly", 157), ("monthly", 36), ("yearly", 3)]
)
def test_no_limit(word, count):
    """Three years, twice a day: the hours, days, weeks, months and years that there are."""
    times = [*days(*range(1096)), *days(*range(1096), hour=13)]
    assert len(kept(GFS(**{word: ALL}), times)) == count
    assert len(kept(GFS(**{word: count - 1}), times)) == count - 1


@pytest.mark.parametrize(
    ("text", "time", "end"),
    [
        ("days=1", "2026-01-31T03:00+00:00", "2026-02-01T03:00+00:00"),
        ("days=30,zone=Europe/Berlin", "2026-03-01T03:00+01:00", "2026-03-31T03:00+02:00"),
        ("days=1,zone=Europe/Berlin", "2026-03-28T02:30+01:00", "2026-03-29T03:30+02:00"),  # 2:30 is skipped
        ("days=1,zone=Europe/Berlin", "2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00"),  # the first of two
        ("age=1mo", "2026-01-31T03:00+00:00", "2026-03-03T03:00+00:00"),
        ("age=1mo", "2024-01-31T03:00+00:00", "2024-03-02T03:00+00:00"),
        ("age=1y", "2024-02-29T03:00+00:00", "2025-03-01T03:00+00:00"),
        ("age=1d1h,zone=Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T13:00+02:00"),
        ("age=24h,zone=Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T13:00+02:00"),
        # LXD's: 1M 2H 3d 4w 5m 6y and 5S 1M 2H 3d 4y
        ("age=6y5mo4w3d2h1min", "2000-01-01T00:00+00:00", "2006-07-02T02:01+00:00"),
        ("age=4y3d2h1min5s", "2000-01-01T00:00+00:00", "2004-01-04T02:01:05+00:00"),
        ("age=9000y", "2000-01-01T00:00+00:00", None),
        ("days=999999999999", "2000-01-01T00:00+00:00", None),
        ("age=999999999999999999s", "2000-01-01T00:00+00:00", None),
    ],
)
def test_ends(text, time, end):
    keep, time = parse_retention(text), dt.datetime.fromisoformat(time)
    assert until(keep, time) == (end and dt.datetime.fromisoformat(end))
    if end:
        end = dt.datetime.fromisoformat(end)
        assert kept(keep, [time], end - dt.timedelta(seconds=1)) == {time}
        assert kept(keep, [time], end) == set()
    else:
        assert kept(keep, [time], dt.datetime.max.replace(tzinfo=UTC)) == {time}


@given(MOMENTS, st.integers(0, 800), ZONES)
@example(dt.datetime(2024, 10, 27, 1, 30, tzinfo=UTC), 0, BERLIN)
def test_days_are_an_age(time, count, zone):
    assert until(KeepDays(count, zone), time) == until(KeepAge(days=count, zone=zone), time)


def test_reasons():
    times = sorted(days(0, 1, 2, 40), reverse=True)
    last, daily, monthly = terms(GFS(last=1, daily=2, monthly=2), times, times[0], UTC)
    assert last.kept == {times[0]: "last 1 of 1"}
    assert daily.kept == {times[0]: "daily 1 of 2 (2026-02-10)", times[1]: "daily 2 of 2 (2026-01-03)"}
    assert monthly.kept[times[1]] == "monthly 2 of 2 (2026-01)"
    assert last.refusal(times[2]) == "last=1 are newer"
    assert daily.refusal(times[2]) == "daily=2 are newer"
    assert monthly.refusal(times[2]) == "monthly has a newer one of 2026-01"
    (age,) = terms(KeepAge(months=1), times, times[0], UTC)
    assert age.kept == {times[0]: "age=1mo until 2026-03-10T12:00+00:00"}
    assert age.refusal(times[1]) == "age=1mo ended 2026-02-03T12:00+00:00"
    (count,) = terms(KeepCount(2), times, times[0], UTC)
    assert count.kept[times[1]] == "count 2 of 2"
    (weekly,) = terms(GFS(weekly=ALL), times[:1], times[0], BERLIN)
    assert weekly.kept == {times[0]: "weekly 1 (2026-W07)"}
    (hourly,) = terms(GFS(hourly=1), times, times[0], BERLIN)
    assert hourly.kept == {times[0]: "hourly 1 of 1 (2026-02-10T13+0100)"}
