"""Both text forms of openstorage's schedules: its own vectors, its errors, and what it gets wrong."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.openstorage.interval import FIELDS, MINUTE, Interval
from blockdiff.openstorage.text import read, write
from blockdiff.schedule.spot import ScheduleError

NOON = Interval("daily", hour=12)


def intervals():
    kinds = [
        st.builds(
            Interval,
            st.just(freq),
            retain=st.integers(0, (1 << 32) - 1),
            **{name: st.integers(*limits) for name, limits in fields.items()},
        )
        for freq, fields in FIELDS.items()
    ]
    return st.one_of(kinds)


NAMES = st.from_regex(r"[A-Za-z0-9_.-]*[A-Za-z0-9_][A-Za-z0-9_.-]*", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \n", []),
        ("daily=12:00", [NOON]),
        ("daily=@12:00", [NOON]),
        ("daily=12", [NOON]),
        ("daily=@", [Interval("daily")]),
        ("daily=10:43,5", [Interval("daily", hour=10, minute=43, retain=5)]),
        ("daily=+1:5", [Interval("daily", hour=1, minute=5)]),
        ("monthly=10@13:30,5", [Interval("monthly", day=10, hour=13, minute=30, retain=5)]),
        ("monthly=6@08:05", [Interval("monthly", day=6, hour=8, minute=5)]),
        ("monthly=31", [Interval("monthly", day=31)]),
        ("monthly=0", [Interval("monthly", day=1)]),
        ("weekly=monday@10:52,5", [Interval("weekly", weekday=1, hour=10, minute=52, retain=5)]),
        ("weekly=Sunday", [Interval("weekly")]),
        ("weekly=@3", [Interval("weekly", hour=3)]),
        ("weekly=Saturday@", [Interval("weekly", weekday=6)]),
        ("periodic=10,5", [Interval("periodic", period=10 * MINUTE, retain=5)]),
        ("periodic=153722867", [Interval("periodic", period=153722867 * MINUTE)]),
        ("daily=12:00;", [NOON]),
        (" daily=12:00 ;\nperiodic=15\n", [NOON, Interval("periodic", period=15 * MINUTE)]),
        ("- freq: daily\n  minute: 30\n", [Interval("daily", minute=30)]),
        ("- freq: weekly\n  weekday: 5\n  hour: 11\n  minute: 30\n", [Interval("weekly", 0, 5, 0, 11, 30)]),
        ("- freq: periodic\n  period: 123456000000000\n", [Interval("periodic", period=123456 * 10**9)]),
        ("- freq: monthly\n  day: 5\n  hour: 10\n  minute: 30\n", [Interval("monthly", 0, 0, 5, 10, 30)]),
        ("- freq: monthly\n", [Interval("monthly", day=1)]),
        ("- {freq: daily, hour: 12, weekday: 0}", [NOON]),
        ("[]", []),
        ("# a comment only", []),
        ("daily=12:00;- freq: daily\n  hour: 12\n", [NOON, NOON]),
    ],
)
def test_intervals(text, found):
    assert read(text) == (tuple(found), ())
    assert read(write(found, ())) == (tuple(found), ())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("policy=x1,x2,x3", ("x1", "x2", "x3")),
        ("policy=a;policy=b", ("a", "b")),
        ("policy=weekly-and-monthly", ("weekly-and-monthly",)),
    ],
)
def test_policies(text, names):
    assert read(text) == ((), names)
    assert write(*read(text)) == f"policy={','.join(names)}"


def test_the_canonical_text():
    text = "- freq: monthly\n  day: 6\n  hour: 8\n  minute: 5\n  retain: 12\n- freq: daily\n;policy=gold,silver"
    assert write(*read(text)) == text
    assert write(*read("policy=gold;monthly=6@08:05,12;policy=silver;daily=@")) == text


# the original's own lists of what is invalid
INVALID = [
    *("daily=10.15", "daily=10.15,a", "daily=10.15,", "daily=,a", "daily=,5", "daily=,"),
    *(
        "weekly=x",
        "weekly=,5",
        "weekly=,a5",
        "weekly=a,5",
        "weekly=Mon,5",
        "weekly=monday@1.4,5",
        "weekly=monday@1,5.5",
    ),
    *("monthly=x", "monthly=,5", "monthly=,a5", "monthly=a,5", "monthly=10,", "monthly=10.4@", "monthly=10@1.2"),
    *("monthly=10@1,4.5", "monthly=10,1.1", "monthly=40@", "monthly=50", "monthly=@11.,55", "monthly=@11.,5.5"),
    *("monthly=10.1@11.,5.5", "monthly=10@11.,5", "monthly=40@11,5"),
    *("periodic=", "periodic=,", "periodic=x", "periodic=,x", "periodic=x,", "periodic=10.4", "periodic=10.4,a"),
    *("periodic=10,a", "periodic=10,4.4", "periodic=1.2,5"),
]


@pytest.mark.parametrize("text", INVALID)
def test_the_original_s_list(text):
    with pytest.raises(ScheduleError):
        read(text)


@pytest.mark.parametrize(
    ("text", "words", "column"),
    [
        ("hourly=5", "Invalid schedule specification: hourly=5", 1),
        ("daily", "Invalid schedule specification: daily", 1),
        ("daily=12:00=5", "Invalid schedule specification: daily=12:00=5", 1),
        ("Daily=12:00", "Invalid schedule specification", 1),
        ("daily=12:00,0", "Keep number should be greater than 0", 13),
        ("daily=12:00,-1", "Keep number should be greater than 0", 13),
        ("daily=12:00,x", "Invalid number: x", 13),
        ("daily=12:00,4294967296", "Invalid number: 4294967296", 13),
        ("daily=12:00,5,9", "Invalid number: 5,9", 13),
        ("daily=", "Daily schedule is missing", 7),
        ("weekly=", "Weekly schedule is missing", 8),
        ("monthly=,5", "Monthly schedule is missing", 9),
        ("periodic=", "Interval is missing", 10),
        ("periodic=x", "Invalid interval x", 10),
        ("periodic=0", "Invalid interval 0", 10),
        ("periodic=-5", "Invalid interval -5", 10),
        ("periodic=153722868", "Invalid interval 153722868", 10),
        ("daily=24:00", "invalid start time 24:00", 7),
        ("daily=12:60", "invalid start time 12:60", 7),
        ("daily=1:2:3", "invalid start time 1:2:3", 7),
        ("daily=noon@12:00", "Invalid daily spec noon@12:00", 7),
        ("weekly=Mon@12:00", "invalid weekday Mon", 8),
        ("weekly=MONDAY", "invalid weekday MONDAY", 8),
        ("weekly=Monday@1@2,3", "Invalid weekly spec Monday@1@2,3", 8),
        ("monthly=1@2@3", "Invalid monthly spec 1@2@3", 9),
        ("monthly=32", "Invalid day of month 32", 9),
        ("monthly=-1", "Invalid day of month -1", 9),
        ("monthly=@11", "Invalid day of month ", 9),
        ("policy", "Invalid policy string policy", 1),
        ("policyx=a", "Invalid policy string policyx=a", 1),
        ("policy=a=b", "Invalid policy string policy=a=b", 1),
        ("policy=", "Invalid policy name ''", 8),
        ("policy=a,,b", "Invalid policy name ''", 10),
        ("policy=a,--", "Invalid policy name '--'", 10),
        ("policy=a b", "Invalid policy name 'a b'", 8),
        ("null", "Invalid schedule specification: null", 1),
        ("{freq: daily}", "a list of intervals is wanted", 1),
        ("- daily", "an interval with freq", 3),
        ("- &a [*a]", "an interval with freq", 3),
        ("- !odd {freq: daily}", "an interval with freq", 3),
        ("- {hour: 5}", "freq is missing", 3),
        ("- {freq: Daily}", "accepted as freq are periodic, daily, weekly, monthly", 10),
        ("- {freq: daily, hours: 5}", "unknown key: accepted are freq, period", 17),
        ("- {freq: daily, month: 5}", "unknown key", 17),
        ("- {freq: daily, <<: {hour: 5}}", "unknown key", 17),
        ("- {freq: daily, hour: 5, hour: 6}", "hour is given twice", 26),
        ("- {freq: daily, hour: 010}", "without leading zeros", 23),
        ("- {freq: daily, hour: 08}", "without leading zeros", 23),
        ("- {freq: daily, hour: 0x10}", "plain decimal number", 23),
        ("- {freq: daily, hour: 1_2}", "plain decimal number", 23),
        ("- {freq: daily, hour: 12.7}", "plain decimal number", 23),
        ("- {freq: daily, hour: '12'}", "plain decimal number", 23),
        ("- {freq: daily, hour: -1}", "plain decimal number", 23),
        ("- {freq: daily, hour: [1]}", "plain decimal number", 23),
        ("- {freq: daily, hour: 24}", "invalid hour 24", 3),
        ("- {freq: daily, day: 3}", "invalid day 3: daily has none", 3),
        ("- {freq: periodic}", "invalid period 0", 3),
        ("- {freq: weekly, weekday: 7}", "invalid weekday 7", 3),
        ("- {freq: daily, retain: 4294967296}", "invalid retain 4294967296", 3),
        ("- {freq: daily", "no YAML", 15),
        ("- [\x00]", "no YAML: a character that it does not allow", 4),
        ("- \ud800", "no YAML: a character that it does not allow", 3),
        ("[" * 3000, "nested too deeply", 1),
    ],
)
def test_errors(text, words, column):
    for line, before in ((1, ""), (2, "policy=first;\n")):
        with pytest.raises(ScheduleError) as caught:
            read(before + text)
        assert words in str(caught.value)
        assert (caught.value.line, caught.value.column) == (line, column)


def test_too_long():
    with pytest.raises(ScheduleError, match="at most 65536 are read"):
        read("#" * 70_000)


def test_one_document():
    with pytest.raises(ScheduleError, match="but found another document"):
        read("- freq: daily\n---\n- freq: weekly\n")


@given(st.lists(intervals(), max_size=5), st.lists(NAMES, max_size=3))
def test_round_trips(found, names):
    text = write(found, names)
    assert read(text) == (tuple(found), tuple(names))
    whole = text.split(";")[0] if found else "[]"
    assert [Interval(**item) for item in yaml.safe_load(whole)] == found  # another reader


@given(st.lists(intervals(), max_size=5))
def test_the_short_form_round_trips(found):
    found = [one for one in found if one.period % MINUTE == 0]
    assert read(";".join(one.item for one in found)) == (tuple(found), ())


@given(st.text(alphabet="daily=weksunpriocmth@:;,-{}[]&*!#|>?\n \t0123456789freq\x85\x00é", max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ScheduleError):
        found = read(text)
        assert read(write(*found)) == found


@pytest.mark.parametrize(
    "text",
    ["%YAML 9.9\n---\n[]", "- ? a\n  : b", "- |\n  x", "- !!int 5", "--- !!set {a}", "- !<x> {}", "- *a", "a\t: b"],
)
def test_odd_yaml_is_refused(text):
    with pytest.raises(ScheduleError):
        read(text)
