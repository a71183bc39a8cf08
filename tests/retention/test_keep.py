"""The values of retention refuse what has no meaning."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.retention import ALL, GFS, KeepAge, KeepAny, KeepCount, KeepDays


@pytest.mark.parametrize(
    "make",
    [
        lambda: KeepCount("3"),
        lambda: KeepCount(True),
        lambda: KeepCount(1.0),
        lambda: KeepDays(-1),
        lambda: KeepAge(months=-1),
        lambda: KeepAge(seconds=ALL + 1),
        lambda: GFS(daily=-1),
        lambda: GFS(daily=None),
        lambda: KeepDays(1, dt.timezone(dt.timedelta(seconds=1))),
        lambda: KeepDays(1, "UTC"),
        lambda: KeepAny(()),
        lambda: KeepAny((KeepCount(1),)),
        lambda: KeepAny((KeepCount(1), KeepCount(2))),
        lambda: KeepAny((KeepCount(1), KeepAny((KeepCount(1), KeepDays(2))))),
        lambda: KeepAny((KeepDays(1), GFS(daily=1, zone=dt.UTC))),
    ],
)
def test_refused(make):
    with pytest.raises(InvalidInput):
        make()


def test_values_are_equal_by_what_they_say():
    assert KeepAny((GFS(daily=1), KeepCount(2))) == KeepAny((KeepCount(2), GFS(daily=1)))
    assert KeepDays(1, ZoneInfo("UTC")) == KeepDays(1, dt.UTC)
    assert len({GFS(daily=1), GFS(daily=1), GFS(daily=2), KeepCount(1)}) == 3


def test_what_keeps_something():
    assert not any(keep.keeps_something for keep in (KeepCount(0), KeepCount(-1), KeepDays(0), KeepAge(), GFS()))
    assert all(keep.keeps_something for keep in (KeepCount(1), KeepDays(1), KeepAge(seconds=1), GFS(yearly=1)))
    assert not KeepAny((KeepCount(0), KeepDays(0))).keeps_something
    assert KeepAny((KeepCount(0), KeepDays(1))).keeps_something
