"""Schedules for property tests."""

from hypothesis import strategies as st

from blockdiff.schedule import Schedule

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
