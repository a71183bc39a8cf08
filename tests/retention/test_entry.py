"""What a schedule keeps: its promise over simulated years, and what it never touches."""

import datetime as dt
import random

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.retention.entry import expire
from blockdiff.schedule import Destination, Period, parse_schedules
from blockdiff.tag import Tag

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def daily(day, vm=4, hour=0, version=2):
    return str(Tag(Period.DAILY, NOW - dt.timedelta(days=day) + dt.timedelta(hours=hour), vm=vm, version=version))


def expired(text, names, **options):
    return [verdict.name for verdict in expire(parse_schedules(text), names, NOW, **options) if verdict.expired]


def test_the_newest_stay():
    names = [daily(day) for day in (5, 1, 3, 2, 4)]
    assert expired("daily:local=2", names) == [daily(5), daily(3), daily(4)]
    assert expired("daily:local=5", names) == []
    assert expired("daily:local=9", names) == []


def test_gaps_count_snapshots_not_days():
    assert expired("daily:local=2", [daily(day) for day in (1, 40, 300)]) == [daily(300)]


def test_each_machine_by_itself():
    names = [daily(day, vm=vm) for day in (1, 2) for vm in (4, 5)]
    assert expired("daily:local=1", names) == [daily(2, vm=4), daily(2, vm=5)]


def test_what_is_not_managed():
    names = [
        "anything",
        "manual-v3-daily-202001010000-image",
        "auto-v2-weekly-202001010000-4",  # no weekly entry
        "auto-v2-daily-202001010100-4",  # another hour
        daily(1),
        daily(2),
    ]
    assert expired("daily:local=1", names) == [daily(2)]
    assert expired("", names) == []
    assert expired("daily:remote=1", names) == []
    assert expired("daily:remote=1", names, destination=Destination.REMOTE) == [daily(2)]


def test_the_future_does_not_count():
    names = [daily(-3), daily(-2), daily(1), daily(2)]
    assert expired("daily:local=1", names) == [daily(2)]


def test_protected():
    assert expired("daily:local=1", [daily(1), daily(2), daily(3)], protected={daily(3)}) == [daily(2)]


def test_two_entries_keep_more():
    names = [daily(day) for day in range(1, 6)]
    assert expired("daily:local=1,local=3", names) == names[3:]


def test_two_names_of_one_time_are_one():
    names = [daily(1), daily(1, version=3), daily(2), daily(2, version=3), daily(3)]
    assert expired("daily:local=2", names) == [daily(3)]


def test_two_yearly_months_do_not_push_each_other_out():
    """In the original any two months match."""
    names = [str(Tag(Period.YEARLY, dt.datetime(2025, month, 1, tzinfo=dt.UTC), vm=1)) for month in (2, 3)]
    assert expired("yearly:local=1@Feb,local=1@Mar", names) == []


@pytest.mark.parametrize("keep", [0, -1])
def test_an_entry_that_keeps_nothing(keep):
    with pytest.raises(InvalidInput, match="would remove every snapshot"):
        expired(f"daily:local={keep}", [daily(1)])
    assert expired(f"daily:remote={keep},local=1", [daily(1)]) == []


def test_named_twice():
    with pytest.raises(InvalidInput, match="named twice"):
        expired("daily:local=1", [daily(1), daily(1)])


@pytest.mark.parametrize("seed", range(5))
def test_years_of_a_daemon_with_gaps(seed):
    """Taken at each tick but for random outages, expired each day: the newest of each entry are always there."""
    rng = random.Random(seed)
    schedules = parse_schedules(
        "hourly:local=5@7 daily:local=4@3:15 weekly:local=3 monthly:local=2@31 yearly:local=2@060"
    )
    begin = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
    end = begin + dt.timedelta(days=200)
    taken = {one: [] for one in schedules}
    for one in schedules:
        for tick in one.calendar.ticks(begin):
            if tick > end:
                break
            if rng.random() < 0.8:
                taken[one].append(str(Tag(one.period, tick, vm=1)))
    there = set()
    for day in range(0, 200, 10):
        now = begin + dt.timedelta(days=day)
        past = {one: [name for name in names if Tag.parse(name).time <= now] for one, names in taken.items()}
        there |= {
            name for names in past.values() for name in names if Tag.parse(name).time > now - dt.timedelta(days=10)
        }
        there -= {verdict.name for verdict in expire(schedules, sorted(there), now) if verdict.expired}
        for one, names in past.items():
            assert set(names[-one.keep :]) == {name for name in there if name in names}


def test_the_clocks_of_the_entry_s_zone():
    """2:30 in Berlin is 1:30 UTC in winter, 0:30 in summer, and 1:30 UTC on the day that skips it."""
    times = ["202603280130", "202603290130", "202603300030", "202603310030", "202603310130"]
    names = [f"auto-v2-daily-{time}-4" for time in times]
    found = expire(
        parse_schedules("daily:local=2@2:30 zone=Europe/Berlin"), names, dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    )
    assert [verdict.expired for verdict in found] == [True, True, False, False, False]
    assert "not managed" in found[-1].reason


def test_other_periods_of_a_zone():
    text = "weekly:local=1@Sun/00:30 zone=Europe/Berlin\nminutely:local=1 zone=Europe/Berlin"
    names = ["auto-v2-weekly-202601102330-4", "auto-v2-weekly-202601172330-4", "auto-v2-minutely-202601172330-4"]
    found = expire(parse_schedules(text), names, dt.datetime(2026, 5, 1, tzinfo=dt.UTC))
    assert [verdict.expired for verdict in found] == [True, False, False]
    assert all("zone=Europe/Berlin" in verdict.reason for verdict in found)
