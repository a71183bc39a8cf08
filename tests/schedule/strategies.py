"""Schedules and calendars for property tests."""

import datetime as dt

from hypothesis import strategies as st

from blockdiff.schedule import Schedule
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

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca",
    "America/Sao_Paulo", "Pacific/Apia",
]  # fmt: skip

_MINUTE, _HOUR = st.integers(0, 59), st.integers(0, 23)
_CLOCK = {"hour": _HOUR, "minute": _MINUTE}

TIMES = (
    st.fixed_dictionaries({"minute": _MINUTE}),
    st.fixed_dictionaries(_CLOCK),
    st.fixed_dictionaries({"weekday": st.integers(0, 6), **_CLOCK}),
    st.fixed_dictionaries({"day": st.integers(1, 31), **_CLOCK}),
    st.fixed_dictionaries({"month": st.integers(1, 12), "day": st.integers(1, 31), **_CLOCK}),
    st.fixed_dictionaries({"yearday": st.integers(1, 366), **_CLOCK}),
)


def calendar_schedules():
    """Schedules that go by the calendar: all but the minutely ones."""
    return st.one_of(TIMES).map(lambda fields: Schedule.make(**fields))


def _field(least, most):
    """One field of cron."""
    one = st.integers(least, most)
    span = st.tuples(one, one).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.sampled_from(["*", f"{least}-{most}"]), st.integers(1, most)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    several = st.lists(one.map(str), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), several, span, step)


def crons():
    """Cron texts."""
    return st.tuples(_field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12), _field(0, 6)).map(" ".join)


def calendars():
    """All kinds of calendar."""
    clock = (_HOUR, _MINUTE)
    anchors = st.datetimes(dt.datetime(1999, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC))
    return st.one_of(
        st.builds(Minutely, st.sampled_from([0.001, 0.01, 0.07, 0.5, 1.0])),
        st.builds(Hourly, _MINUTE),
        st.builds(Daily, *clock),
        st.builds(Weekly, st.integers(0, 6), *clock),
        st.builds(Monthly, st.integers(1, 31), *clock, st.sampled_from(["skip", "last"])),
        st.builds(Yearly, st.integers(1, 12), st.integers(1, 31), *clock),
        st.builds(YearDay, st.integers(1, 366), *clock),
        st.builds(Steps, st.integers(1, 24), _MINUTE),
        st.builds(Cron, crons()),
        st.builds(Every, st.integers(1, 10_000).map(lambda n: n * 60), anchors.map(lambda t: t.replace(second=0))),
    )
