"""Retentions for property tests."""

import datetime as dt
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from blockdiff.retention import ALL, GFS, KeepAge, KeepAny, KeepCount, KeepDays
from blockdiff.retention.keep import AGE_UNITS, GFS_COUNTS

ZONES = st.sampled_from(
    [
        None,
        dt.UTC,
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("America/New_York"),
        ZoneInfo("Australia/Lord_Howe"),
        dt.timezone(dt.timedelta(hours=-3, minutes=-30)),
    ]
)


def members(zone, most=9):
    """One of each kind in any selection, each of which keeps something."""
    ages = st.dictionaries(st.sampled_from(AGE_UNITS), st.integers(1, most), min_size=1)
    counts = st.dictionaries(st.sampled_from(GFS_COUNTS), st.integers(1, most) | st.just(ALL), min_size=1)
    kinds = (
        st.integers(1, most).map(KeepCount),
        st.integers(1, most).map(lambda days: KeepDays(days, zone)),
        ages.map(lambda fields: KeepAge(**fields, zone=zone)),
        counts.map(lambda fields: GFS(**fields, zone=zone)),
    )
    return st.lists(st.sampled_from(kinds), min_size=1, unique=True).flatmap(lambda some: st.tuples(*some))


def retentions(zones=ZONES, most=9):
    """All values that keep something."""
    found = zones.flatmap(lambda zone: members(zone, most))
    return found.map(lambda some: some[0] if len(some) == 1 else KeepAny(some))
