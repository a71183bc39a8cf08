"""``snapshots.schedule``: texts, aliases and their spread, the configuration around it, and conversions."""

import datetime as dt
from collections import Counter
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.pool.lxd.expiry import Expiry
from blockdiff.pool.lxd.schedule import ALIASES, LANGUAGE, LxdSchedule, parse_schedule, spread
from blockdiff.retention import GFS, KeepAge, KeepAny, KeepCount, KeepDays
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
from blockdiff.schedule.language import Context
from blockdiff.schedule.rule import Rule, next_tick
from blockdiff.schedule.spot import ScheduleError
from blockdiff.schedule.words import Destination

BERLIN = ZoneInfo("Europe/Berlin")
SPREAD = [(1, 34), (6, 33), (2, 9), (20, 2)]
BEGIN = dt.datetime(2024, 2, 28, 12, tzinfo=dt.UTC)


def read(text, **fields):
    return LANGUAGE.parse(text, Context(**fields))


def calendars(text, **fields):
    return [rule.calendar for rule in read(text, **fields).rules()]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("@never", []),
        ("@hourly", [Hourly(0)]),
        ("@daily", [Daily(0, 0)]),
        ("@midnight", [Daily(0, 0)]),
        ("@weekly", [Weekly(0, 0, 0)]),
        ("@monthly", [Monthly(1, 0, 0)]),
        ("@annually", [Yearly(1, 1, 0, 0)]),
        ("@yearly", [Yearly(1, 1, 0, 0)]),
        ("@DAILY, 15 3 * * MON", [Daily(0, 0), Weekly(1, 3, 15)]),
        ("@daily, @midnight, 0 0 * * *", [Daily(0, 0)]),
        ("0,30 * * * *, 15 3 * * *", [Cron("0,30 * * * *"), Daily(3, 15)]),  # the original splits at each comma
        ("@never, @hourly", [Hourly(0)]),
    ],
)
def test_texts(text, wanted):
    assert calendars(text) == wanted


def test_it_is_due_at_the_stated_minute():
    (rule,) = read("15 3 * * *", zone=BERLIN).rules()
    assert next_tick(rule, BEGIN).isoformat() == "2024-02-29T02:15:00+00:00"
    assert (rule.zone, rule.keep, rule.name) == (BERLIN, None, "15 3 * * *")


def test_items_that_are_never_due():
    found = read("0 0 30 2 *, @daily, * * * * ,, @never, @never, @startup", original=True)
    assert found.never == ("0 0 30 2 *", "* * * * ,", "@never")
    assert read("@daily").never == ()


def test_startup_is_no_time():
    found = read("@daily, @startup")
    assert found.at_startup
    assert [rule.calendar for rule in found.timed()] == [Daily(0, 0)]
    with pytest.raises(InvalidInput, match="@startup is due when the instance starts"):
        found.rules()


@pytest.mark.parametrize(
    ("text", "column", "error"),
    [
        ("@dayly", 1, "Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>; or one of"),
        ("@daily,@weekly", 1, "with ', ' between them"),
        ("@daily, ", 9, "Schedule must be of the form"),
        (", @daily", 1, "Schedule must be of the form"),
        ("@daily,  @weekly", 9, "Schedule must be of the form"),
        (" @daily", 1, "Schedule must be of the form"),
        ("@every 1h", 1, "Schedule must be of the form"),
        ("@reboot", 1, "or one of @hourly, @daily"),
        ("@daily, 15 3 * * 7", 18, "Error parsing schedule: end of range (7) above maximum (6): 7; Sunday is 0"),
        ("TZ=UTC 3 * * *", 1, "failed to parse int from tz=utc"),
        ("CRON_TZ=UTC 15 3 * * *", 1, "Schedule must be of the form"),
        ("@daily\n@weekly", 1, "Schedule must be of the form"),
        ("0 0 30 2 *", 1, "it is never due"),
    ],
)
def test_errors(text, column, error):
    with pytest.raises(ScheduleError) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (1, column)
    assert error in caught.value.reason
    with pytest.raises(ScheduleError, match="line 1, column"):
        parse_schedule(text)


def test_the_place_is_shown():
    with pytest.raises(ScheduleError) as caught:
        read("@daily, 0 24 * * *")
    assert str(caught.value).splitlines()[-2:] == ["    @daily, 0 24 * * *", " " * 14 + "^^"]


def test_nothing_reaches_the_terminal_raw():
    for text in ("\x1b[31m 0 * * *", "@\x1b[31m", "0 0 \udcff * *", "snapshots.x\x1b: 3"):
        with pytest.raises(ScheduleError) as caught:
            read(text)
        assert all(line.isprintable() for line in str(caught.value).splitlines())
    with pytest.raises(InvalidInput) as caught:
        read('{"\\u001b[31m":"x"}', json=True)
    assert str(caught.value).isprintable()


def test_what_the_original_takes():
    assert calendars("0 0 30 2 *, *-5 * * * *", original=True) == [Minutely()]


# ---- the spread ----


def test_an_object_keeps_its_time():
    assert spread("c1") == spread("c1")
    assert calendars("@daily", id="c1") == [Daily(*spread("c1"))] == calendars("@daily", id="c1")
    assert calendars("@hourly, @midnight, @weekly, @monthly, @yearly", id="c1") == [
        Hourly(spread("c1")[1]),
        Daily(0, spread("c1")[1]),
        Weekly(0, *spread("c1")),
        Monthly(1, *spread("c1")),
        Yearly(1, 1, *spread("c1")),
    ]
    assert calendars("15 3 * * *", id="c1") == [Daily(3, 15)]


def test_the_spread_does_not_change_between_versions():
    assert [spread(str(number)) for number in range(4)] == SPREAD


@given(st.text() | st.text(st.characters(categories=["Cs"])))
def test_the_spread_is_in_range(name):
    hour, minute = spread(name)
    assert 0 <= hour < 24
    assert 0 <= minute < 60


@pytest.mark.parametrize("form", ["{}", "c{}", "4f1c-{:08x}"])
def test_objects_are_spread_over_the_day(form):
    """By chi-square: of 1440 minutes, 60 minutes and 24 hours, far beyond chance only once in millions."""
    found = [spread(form.format(number)) for number in range(28_800)]
    for cells, counts in (
        (1440, Counter(found)),
        (24, Counter(hour for hour, _ in found)),
        (60, Counter(minute for _, minute in found)),
    ):
        expected = len(found) / cells
        square = sum((count - expected) ** 2 / expected for count in counts.values()) + expected * (cells - len(counts))
        free = cells - 1
        assert abs(square - free) < 5.5 * (2 * free) ** 0.5 + 15


# ---- the configuration ----


CONFIG = "snapshots.schedule: '@daily, 15 3 * * mon'\nsnapshots.expiry: 1y 2d\n"


def test_a_configuration():
    found = read(CONFIG)
    assert found.items == ("@daily", "15 3 * * mon")
    assert found.expiry == Expiry(years=1, days=2)
    assert [rule.keep for rule in found.rules()] == [KeepAge(years=1, days=2)] * 2
    assert read(str(found)) == found
    assert found.to_json() == b'{"snapshots.schedule":"@daily, 15 3 * * mon","snapshots.expiry":"2d 1y"}'
    assert read(found.to_json().decode(), json=True) == found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("snapshots.schedule: @daily", LxdSchedule(("@daily",))),
        ('snapshots.schedule: "@daily"', LxdSchedule(("@daily",))),
        ("snapshots.schedule:", LxdSchedule()),
        ("snapshots.schedule: ''\nsnapshots.expiry: ''", LxdSchedule()),
        ("snapshots.expiry: 3d", LxdSchedule((), Expiry(days=3))),
        ("snapshots.expiry: 0d", LxdSchedule((), Expiry())),
        ("  snapshots.schedule: '@daily'\r\n\tsnapshots.expiry: 3d\r\n", LxdSchedule(("@daily",), Expiry(days=3))),
    ],
)
def test_forms_of_configurations(text, wanted):
    assert read(text) == wanted


@pytest.mark.parametrize(
    ("text", "line", "column", "error"),
    [
        ("snapshots.pattern: x", 1, 1, "lines of snapshots.schedule and snapshots.expiry are wanted"),
        ("snapshots.schedule: @daily\n\nsnapshots.expiry: 1d", 2, 1, "lines of"),
        ("snapshots.schedule: @daily\nsnapshots.schedule: @daily", 2, 1, "given twice"),
        ("snapshots.schedule: '@daily, x'", 1, 30, "Schedule must be"),
        ("snapshots.expiry: 3d\nsnapshots.schedule: 0 24 * * *", 2, 23, "above maximum"),
        ("snapshots.schedule: '@daily'\nsnapshots.expiry: '1d 2x'", 2, 23, "Invalid expiry expression"),
        ("snapshots.schedule: '@daily", 1, 21, "Schedule must be"),
    ],
)
def test_errors_of_configurations(text, line, column, error):
    with pytest.raises(ScheduleError, match=error) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.excerpt.startswith("    " + text.split("\n")[line - 1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"snapshots.schedule":1}',
        '{"snapshots.pattern":"x"}',
        '"@daily"',
        "null",
        '{"snapshots.schedule":"@daily","snapshots.schedule":"@weekly"}',
        '{"a":' * 9999,
        "\ud800",
    ],
)
def test_bad_json(text):
    with pytest.raises(InvalidInput):
        read(text, json=True)


items = st.sampled_from([*ALIASES, "0,30 8-17 * * mon-fri", "? ? ? ? ?", "*/5 1-3/2 1 jan,mar sun", "7 7 7 7 *"])


@given(st.lists(items), st.none() | st.builds(Expiry, *[st.integers(0, 9)] * 7))
def test_text_and_json_go_round(found, expiry):
    schedule = LxdSchedule(tuple(found), expiry)
    assert read(str(schedule)) == schedule
    assert read(schedule.to_json().decode(), json=True) == schedule


@given(st.text() | st.text("@daily,0123456789*/- ?snaphotxpire:.\n'", max_size=40))
def test_any_text_is_a_schedule_or_an_error(text):
    try:
        found = read(text)
    except InvalidInput:
        return
    assert read(str(found)) == found
    for rule in found.timed():
        assert next_tick(rule, BEGIN)


# ---- conversions ----


@pytest.mark.parametrize(
    ("calendar", "wanted"),
    [
        (Minutely(), "* * * * *"),
        (Hourly(7), "7 * * * *"),
        (Daily(3, 7), "7 3 * * *"),
        (Weekly(6, 3, 7), "7 3 * * 6"),
        (Monthly(31, 3, 7), "7 3 31 * *"),
        (Monthly(28, 3, 7, "last"), "7 3 28 * *"),
        (Yearly(2, 29, 3, 7), "7 3 29 2 *"),
        (YearDay(59, 3, 7), "7 3 28 2 *"),
        (YearDay(1, 3, 7), "7 3 1 1 *"),
        (Steps(6, 7), "7 */6 * * *"),
        (Steps(24, 7), "7 0 * * *"),
        (Cron("0 0 1,15 * MON"), "0 0 1,15 * mon"),
        (Cron("*/15 8-17 * * 1-5"), "*/15 8-17 * * 1-5"),
        (Every(60), "* * * * *"),
        (Every(900, dt.datetime(2024, 1, 1, 0, 7, tzinfo=dt.UTC)), "7-59/15 * * * *"),
        (Every(900), "*/15 * * * *"),
        (Every(3600, dt.datetime(2024, 1, 1, 5, 7, tzinfo=dt.UTC)), "7 * * * *"),
        (Every(21600, dt.datetime(2024, 1, 1, 8, 7, tzinfo=dt.UTC)), "7 2-23/6 * * *"),
        (Every(86400, dt.datetime(2024, 1, 1, 8, 7, tzinfo=BERLIN)), "7 7 * * *"),
        (Every(604800, dt.datetime(2024, 1, 1, 8, 7, tzinfo=dt.UTC)), "7 8 * * 1"),
    ],
)
def test_what_can_be_said(calendar, wanted):
    found = LANGUAGE.from_rules([Rule(calendar)])
    assert str(found) == wanted
    (rule,) = found.rules()
    assert list(islice(rule.ticks(BEGIN), 200)) == list(islice(calendar.ticks(BEGIN), 200))


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Rule(Daily(), name="d", destination=Destination.REMOTE), 'lxd cannot say "d": it has no destination remote'),
        (Rule(Daily(), name="d", options=1), "it has no option PauseVM"),
        (Rule(Daily(), name="d", keep=KeepCount(7)), "it has an age only, and nothing for count=7"),
        (Rule(Daily(), name="d", keep=GFS(daily=7)), "it has an age only, and nothing for daily=7"),
        (Rule(Daily(), name="d", keep=KeepAny((KeepCount(1), KeepDays(1)))), "it has an age only"),
        (Rule(Daily(), zone=BERLIN), "it names no time zone, and Europe/Berlin is not UTC"),
        (Rule(Daily(), keep=KeepDays(1, BERLIN)), "it names no time zone, and Europe/Berlin is not UTC"),
        (Rule(Minutely(0.5), name="m"), "it has nothing for Minutely"),
        (Rule(Monthly(31, short="last")), "it has nothing for Monthly"),
        (Rule(YearDay(60)), "it has nothing for YearDay"),
        (Rule(Every(5400)), "an interval of 5400 seconds fits into no hour, day or week"),
        (Rule(Every(90)), "whole minutes"),
        (Rule(Every(3600, dt.datetime(2024, 1, 1, 0, 0, 1, tzinfo=dt.UTC))), "whole minutes"),
        (Rule(Cron("0 0 L * *")), "as cron does"),
        (Rule(Cron("0 0 * * 5#2")), "as cron does"),
        (Rule(Cron("0 0 * * 7")), "as cron does"),
        (Rule(Cron("0 0 * * 1/2")), "as cron does"),
        (Rule(Cron("5-5/10 * * * *")), "as cron does"),
        (Rule(Cron("0 0 */2 * 1")), "as cron does"),
        (Rule(Cron("5,* 2 * * *")), "as cron does"),  # by the hands of the clock for LXD only
    ],
)
def test_what_cannot_be_said(rule, why):
    with pytest.raises(InvalidInput, match=r"^lxd cannot say ") as caught:
        LANGUAGE.from_rules([rule])
    assert why in str(caught.value)


def test_one_expiry_for_all():
    age, days = KeepAge(days=7), KeepDays(7)
    assert str(LANGUAGE.from_rules([Rule(Daily(), keep=age), Rule(Hourly(), keep=age)])) == (
        "snapshots.schedule: '0 0 * * *, 0 * * * *'\nsnapshots.expiry: '7d'"
    )
    assert LANGUAGE.from_rules([Rule(Daily(), keep=days)]).expiry == Expiry(days=7)
    with pytest.raises(InvalidInput, match='lxd cannot say "h": it has one expiry for all'):
        LANGUAGE.from_rules([Rule(Daily(), keep=age, name="d"), Rule(Hourly(), keep=None, name="h")])


def test_nothing_is_said_by_nothing():
    assert str(LANGUAGE.from_rules([])) == ""


simple = st.one_of(
    st.builds(Hourly, st.integers(0, 59)),
    st.builds(Daily, st.integers(0, 23), st.integers(0, 59)),
    st.builds(Weekly, st.integers(0, 6), st.integers(0, 23), st.integers(0, 59)),
    st.builds(Monthly, st.integers(1, 31), st.integers(0, 23), st.integers(0, 59)),
    st.builds(Steps, st.integers(1, 23), st.integers(0, 59)).filter(lambda steps: steps.hours > 1),
    st.just(Minutely()),
    st.builds(Yearly, st.integers(1, 12), st.integers(1, 29), st.integers(0, 23), st.integers(0, 59)),
)


@given(st.lists(simple, unique=True), st.none() | st.builds(KeepAge, days=st.integers(1, 9), months=st.integers(0, 9)))
def test_rules_go_round(calendars, keep):
    rules = [Rule(calendar, keep=keep) for calendar in calendars]
    found = LANGUAGE.from_rules(rules).rules()
    assert [(rule.calendar, rule.keep) for rule in found] == [(rule.calendar, rule.keep) for rule in rules]


def test_aliases_of_an_object_are_said_as_fields():
    found = LANGUAGE.from_rules(read("@daily", id="c1").rules())
    hour, minute = spread("c1")
    assert str(found) == f"{minute} {hour} * * *"
