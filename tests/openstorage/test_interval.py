"""Intervals: their summaries, and what none can be."""

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.openstorage.interval import MINUTE, Interval, duration


@pytest.mark.parametrize(
    ("interval", "summary", "item", "keep"),
    [
        (Interval("daily", hour=12), "daily @12:00", "daily=12:00", 7),
        (Interval("weekly", hour=12), "weekly Sunday@12:00", "weekly=Sunday@12:00", 5),
        (Interval("monthly", day=6, hour=8, minute=5), "monthly 6@08:05", "monthly=6@08:05", 12),
        (Interval("periodic", period=15 * MINUTE), "periodic 15m0s", "periodic=15", 5),
        (Interval("periodic", period=90 * MINUTE, retain=3), "periodic 1h30m0s,keep last 3", "periodic=90,3", 3),
        (Interval("daily", retain=1), "daily @00:00,keep last 1", "daily=00:00,1", 1),
    ],
)
def test_texts(interval, summary, item, keep):
    assert (str(interval), interval.item, interval.keep) == (summary, item, keep)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245_000_000_000, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (5 * 3600 * 10**9 + 6 * MINUTE + 7_001_000_000, "5h6m7.001s"),
        (8 * MINUTE + 1, "8m0.000000001s"),
        ((1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)  # the vectors of Go's time package
def test_durations(nanoseconds, text):
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"freq": "hourly"}, "accepted are periodic, daily, weekly, monthly"),
        ({"freq": "periodic"}, "invalid period 0: accepted are 1 to"),
        ({"freq": "periodic", "period": 1 << 63}, "invalid period"),
        ({"freq": "periodic", "period": 1, "hour": 1}, "invalid hour 1: periodic has none"),
        ({"freq": "daily", "hour": 24}, "invalid hour 24: accepted are 0 to 23"),
        ({"freq": "daily", "minute": 60}, "invalid minute 60"),
        ({"freq": "daily", "weekday": 1}, "invalid weekday 1: daily has none"),
        ({"freq": "weekly", "weekday": 7}, "invalid weekday 7"),
        ({"freq": "monthly"}, "invalid day 0: accepted are 1 to 31"),
        ({"freq": "monthly", "day": 32}, "invalid day 32"),
        ({"freq": "daily", "retain": -1}, "invalid retain -1"),
        ({"freq": "daily", "retain": 1 << 32}, "invalid retain"),
    ],
)
def test_what_no_interval_is(fields, words):
    with pytest.raises(InvalidInput) as caught:
        Interval(**fields)
    assert words in str(caught.value)


def test_no_short_form():
    with pytest.raises(InvalidInput, match=r"periodic 1\.5s: the short form has whole minutes only"):
        _ = Interval("periodic", period=1_500_000_000).item
