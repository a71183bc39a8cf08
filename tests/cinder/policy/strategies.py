"""Policies and times for property tests."""

import datetime as dt

from hypothesis import strategies as st

from blockdiff.cinder.policy import Daily, Express, Monthly, Policies, Weekly

# clocks that change at midnight, by half an hour, by two hours, in the south, by a whole day, twice around Ramadan
ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/St_Johns",
)

COMMON = {
    "enabled": st.booleans(),
    "retention": st.integers(-1, 400),
    "retention_type": st.sampled_from(["time", "count"]),
    "timezone": st.sampled_from(ZONES),
}
TIMED = {**COMMON, "start": st.times()}

EXPRESS = st.builds(Express, **COMMON, interval=st.sampled_from([0, 6, 8, 12]))
DAILY = st.builds(Daily, **TIMED)
WEEKLY = st.builds(Weekly, **TIMED, weekday=st.integers(0, 6))
MONTHLY = st.builds(Monthly, **TIMED, day=st.integers(-1, 33))

POLICIES = st.builds(
    Policies,
    managed=st.booleans(),
    express=st.none() | EXPRESS,
    daily=st.none() | DAILY,
    weekly=st.none() | WEEKLY,
    monthly=st.none() | MONTHLY,
)
POLICY = st.one_of(EXPRESS, DAILY, WEEKLY, MONTHLY)

# around a change of clocks as often as anywhere else
CHANGES = [
    dt.datetime(*when, tzinfo=dt.UTC)
    for when in [
        (2025, 3, 30, 1),
        (2025, 10, 26, 1),
        (2025, 3, 9, 7),
        (2025, 11, 2, 6),
        (2018, 11, 4, 3),
        (2018, 2, 18, 2),
        (2025, 4, 5, 15),
        (2025, 10, 4, 15, 30),
        (2011, 12, 30, 10),
        (2024, 3, 30, 22),
        (2025, 3, 9, 5),
        (2024, 2, 29, 12),
    ]
]
NEAR = st.builds(
    lambda change, seconds: change + dt.timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-3 * 86400, 3 * 86400),
)
NOW = NEAR | st.datetimes(dt.datetime(1972, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))
