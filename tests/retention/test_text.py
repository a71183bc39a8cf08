"""The text and the JSON of retention, both ways, and what is said of a bad one."""

import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.retention import (
    ALL,
    GFS,
    KeepAge,
    KeepAny,
    KeepCount,
    KeepDays,
    RetentionError,
    from_dict,
    parse_retention,
    text_of,
    to_dict,
)
from tests.retention.strategies import retentions

VECTORS = {
    "count=7": KeepCount(7),
    "days=30": KeepDays(30),
    "age=1y6mo": KeepAge(years=1, months=6),
    "age=1w2d3h4min5s": KeepAge(weeks=1, days=2, hours=3, minutes=4, seconds=5),
    "last=3,daily=7,weekly=4,monthly=12": GFS(last=3, daily=7, weekly=4, monthly=12),
    "hourly=24,yearly=all,zone=Europe/Berlin": GFS(hourly=24, yearly=ALL, zone=ZoneInfo("Europe/Berlin")),
    "days=2,zone=UTC": KeepDays(2, dt.UTC),
    "days=2,zone=-03:30": KeepDays(2, dt.timezone(-dt.timedelta(hours=3, minutes=30))),
    "count=2,days=3,age=5min,daily=6": KeepAny((KeepCount(2), KeepDays(3), KeepAge(minutes=5), GFS(daily=6))),
}


@pytest.mark.parametrize("text", VECTORS)
def test_vectors(text):
    assert parse_retention(text) == VECTORS[text]
    assert text_of(VECTORS[text]) == text


@given(retentions())
def test_round_trips(keep):
    assert parse_retention(text_of(keep)) == keep
    assert from_dict(to_dict(keep)) == keep
    assert from_dict(json.dumps(to_dict(keep))) == keep


def test_spaces_and_order_and_zeros():
    assert parse_retention("weekly=1, last=2") == GFS(last=2, weekly=1)
    assert parse_retention("daily=0,last=007") == GFS(last=7)
    assert parse_retention("age=0y3d") == KeepAge(days=3)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "accepted are count, days, age, last, hourly, daily, weekly, monthly, yearly, zone"),
        ("last=3,,daily=3", 8, 'no retention ""'),
        ("last=3,dayly=3", 8, 'no retention "dayly=3"'),
        ("Daily=3", 1, "no retention"),
        ("daily", 1, "each with =VALUE"),
        ("daily=", 7, "a whole number, or all"),
        ("last=1, daily=-1", 15, 'daily is "-1"'),
        ("daily=３", 7, "whole number"),
        ("daily=1_0", 7, "whole number"),
        ("days=all", 6, "whole number"),
        ("daily=9999999999999999999", 7, "whole number"),
        ("daily=3,daily=3", 9, "given twice"),
        ("age=3m", 5, "months or minutes: write mo or min"),
        ("age=30M", 5, "months or minutes"),
        ("age=3d4d", 5, "d is given twice"),
        ("age=3", 5, "such as 1y6mo"),
        ("age=3 d", 5, "such as 1y6mo"),
        ("age=", 5, "such as 1y6mo"),
        ("days=3,zone=Moon/Base", 13, 'no time zone "Moon/Base"'),
        ("days=3,zone=Europe", 13, "no time zone"),
        ("days=3,zone=localtime", 13, "no time zone"),
        ("days=3,zone=right/Europe/Berlin", 13, "no time zone"),
        ("days=3,zone=../etc/passwd", 13, "no time zone"),
        ("days=3,zone=+25:00", 13, "no time zone"),
        ("zone=UTC", 1, "nothing is kept"),
        ("count=3,zone=UTC", 1, "a count has no zone"),
        ("count=0", 1, "count=0 keeps nothing"),
        ("last=0,daily=0", 1, "last=0, daily=0 keeps nothing"),
        ("age=0d", 1, "age=0s keeps nothing"),
        ("days=0,daily=3", 1, "days=0 keeps nothing"),
    ],
)
def test_bad_texts(text, column, words):
    with pytest.raises(RetentionError) as caught:
        parse_retention(text)
    assert caught.value.column == column
    assert words in str(caught.value)
    shown, caret = caught.value.excerpt.splitlines()
    assert shown == f"    {text}"
    assert caret.index("^") == 4 + column - 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "no JSON"),
        (b"\xff", "no JSON"),
        ([], "an object"),
        (None, "an object"),
        ({}, "nothing is kept"),
        ({"dayly": 3}, "'dayly'"),
        ({"daily": "3"}, "daily is no whole number"),
        ({"daily": True}, "daily is no whole number"),
        ({"daily": 3.0}, "daily is no whole number"),
        ({"daily": -3}, "out of range"),
        ({"days": "all"}, "days is no whole number"),
        ({"age": 3}, "age is no object"),
        ({"age": {"m": 3}}, "age is no object"),
        ({"age": {"months": "3"}}, "months is no whole number"),
        ({"age": {}}, "keeps nothing"),
        ({"daily": 3, "zone": 1}, "zone is no text"),
        ({"daily": 3, "zone": "Moon"}, "no time zone"),
    ],
)
def test_bad_json(value, words):
    with pytest.raises(InvalidInput, match=words):
        from_dict(value)


@given(st.text() | st.text(alphabet="agedaysilmonthruwkc=,0123 +:zUTC"))
def test_any_text_is_read_or_refused(text):
    try:
        keep = parse_retention(text)
    except RetentionError as error:
        excerpt = error.excerpt
    else:
        assert parse_retention(text_of(keep)) == keep
        return
    assert len(excerpt.splitlines()) == 2
