import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.cinder.policy import value
from blockdiff.errors import InvalidInput


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true(text):
    assert value.boolean(text) is True


@pytest.mark.parametrize("text", ["", "0", "f", "F", "FALSE", "false", "False"])
def test_false(text):
    assert value.boolean(text) is False


@pytest.mark.parametrize("text", ["yes", "tRUE", " true", "on", "2", "wahr"])
def test_neither(text):
    with pytest.raises(InvalidInput, match=f"invalid value '{text}'; must be true or false"):
        value.boolean(text)


@pytest.mark.parametrize(
    ("text", "number", "original"),
    [
        ("", 0, 0),
        ("7", 7, 7),
        ("-10", -10, -10),
        ("+3", 3, 3),
        ("010", 10, 8),
        ("08", 8, None),
        ("0x10", None, 16),
        ("0b11", None, 3),
        ("0o17", None, 15),
        ("1_000", None, 1000),
        ("0_7", None, 7),
        ("00", 0, 0),
        ("-010", -10, -8),
        (" 7", None, None),
        ("7 ", None, None),
        ("٣", None, None),
        ("1__0", None, None),
        ("7.0", None, None),
        ("9" * 30, None, None),
        ("0x" + "f" * 100, None, None),
        ("_7", None, None),
        ("1e3", None, None),
    ],
)
def test_numbers(text, number, original):
    for expected, as_original in ((number, False), (original, True)):
        if expected is None:
            with pytest.raises(InvalidInput, match="invalid number"):
                value.number(text, original=as_original)
        else:
            assert value.number(text, original=as_original) == expected


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("", (0, 0)),
        ("03:15", (3, 15)),
        ("9:30", (9, 30)),
        ("23:59:59", (23, 59)),
        ("09:30:15.5", (9, 30)),
        ("09:30:15,25", (9, 30)),
    ],
)
def test_start_times(text, time):
    assert value.start_time(text) == dt.time(*time)


@pytest.mark.parametrize(
    "text",
    ["24:00", "25:00", "9", "9:5", "12:60", "12:00:60", "12:00:5", "noon", " 12:00", "12:00\n", "1٢:00", "12:00.5"],
)
def test_no_start_times(text):
    with pytest.raises(InvalidInput) as caught:
        value.start_time(text)
    assert str(caught.value) == f"invalid start time {value.shown(text)}; must be HH:MM or HH:MM:SS"


@pytest.mark.parametrize("day", range(7))
def test_days(day):
    names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    full = names[day]
    assert {value.weekday(text) for text in (full, full[:3], full[:3].lower(), full.lower(), str(day))} == {day}


def test_no_day_is_sunday():
    assert value.weekday("") == 0


@pytest.mark.parametrize("text", ["SUNDAY", "Su", "7", "-1", "sunday ", "Tues"])
def test_no_days(text):
    with pytest.raises(InvalidInput, match=f"invalid day '{text}'"):
        value.weekday(text)


@pytest.mark.parametrize(("given", "hours"), [(0, 6), (-3, 6), (6, 6), (8, 8), (12, 12)])
def test_intervals(given, hours):
    assert value.interval(given) == hours


@pytest.mark.parametrize("hours", [1, 5, 7, 24])
def test_no_intervals(hours):
    with pytest.raises(InvalidInput) as caught:
        value.interval(hours)
    assert str(caught.value) == f"express interval must be 6, 8, or 12 hours; got {hours}"


@pytest.mark.parametrize(("given", "day"), [(-5, 1), (0, 1), (1, 1), (31, 31), (32, 31), (1000, 31)])
def test_days_of_the_month(given, day):
    assert value.day_of_month(given) == day


@pytest.mark.parametrize(("given", "kept"), [(-10, 2), (0, 2), (1, 1), (1_000_000, 1_000_000)])
def test_retention(given, kept):
    assert value.retention(given, 2) == kept


def test_retention_has_an_end():
    with pytest.raises(InvalidInput, match="at most 1000000"):
        value.retention(1_000_001, 2)


@pytest.mark.parametrize(("text", "kind"), [("", "time"), ("time", "time"), ("count", "count"), ("Count", "count")])
def test_retention_types(text, kind):
    assert value.retention_type(text) == kind


def test_no_retention_type():
    with pytest.raises(InvalidInput, match="invalid retention type 'days'; must be time or count"):
        value.retention_type("days")


def test_zones():
    assert value.zone("") is value.zone("UTC") is dt.UTC
    assert value.zone("Europe/Paris") is zoneinfo.ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Phobos",
        "Local",
        "localtime",
        "right/Europe/Paris",
        "posix/UTC",
        "../UTC",
        "/etc/localtime",
        "Europe",
        "a" * 999,
        "\0",
        "\ud800",
        "Europe/Paris\n",
        "+02:00",
        " UTC",
    ],
)
def test_no_zones(name):
    with pytest.raises(InvalidInput, match=r"^invalid timezone '.*': unknown time zone .*; must be one such as UTC"):
        value.zone(name)


def test_the_zone_that_does_not_exist():
    with pytest.raises(InvalidInput, match=r"^invalid timezone 'Mars/Phobos': unknown time zone Mars/Phobos;"):
        value.zone("Mars/Phobos")


def reason_of(read, *text, **options):
    try:
        read(*text, **options)
    except InvalidInput as error:
        return str(error)
    return ""


@given(st.text())
def test_any_text_is_a_value_or_invalid_input(text):
    for read in (value.boolean, value.number, value.start_time, value.weekday, value.retention_type, value.zone):
        assert reason_of(read, text).isprintable()
    reason_of(value.number, text, original=True)
