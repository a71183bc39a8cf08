"""The JSON of the SDK."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.openstorage import sdk
from blockdiff.openstorage.interval import Interval
from tests.openstorage.test_text import intervals

POLICY = [
    ({"retain": "10", "daily": {"hour": 0, "minute": 30}}, Interval("daily", minute=30, retain=10)),
    (
        {"retain": "20", "monthly": {"day": 20, "hour": 11, "minute": 22}},
        Interval("monthly", day=20, hour=11, minute=22, retain=20),
    ),
    ({"retain": "30", "periodic": {"seconds": "1234567"}}, Interval("periodic", 1234567 * 10**9, retain=30)),
    (
        {"retain": "40", "weekly": {"day": "SdkTimeWeekdayTuesday", "hour": 10, "minute": 10}},
        Interval("weekly", weekday=2, hour=10, minute=10, retain=40),
    ),
]


@pytest.mark.parametrize(("value", "interval"), POLICY)
def test_the_original_s_policy(value, interval):
    assert sdk.to_dict(interval) == value
    assert sdk.from_dict(value) == interval
    assert sdk.read(json.dumps(value)) == (interval,)


def test_arrays_and_policies():
    values, found = zip(*POLICY, strict=True)
    assert json.loads(sdk.write(found)) == list(values)
    assert sdk.read(json.dumps(values)) == found
    assert sdk.read(json.dumps({"name": "gold", "schedules": values})) == found
    assert sdk.read("[]") == ()


def test_how_many_are_kept_is_always_written():
    assert sdk.to_dict(Interval("daily"))["retain"] == "7"
    assert sdk.from_dict({"daily": {}, "retain": "0"}) == Interval("daily")


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        ({"retain": 3, "weekly": {"day": 2}}, Interval("weekly", weekday=2, retain=3)),
        ({"retain": "3", "weekly": {}}, Interval("weekly", retain=3)),
        ({"daily": {"hour": None}, "weekly": None}, Interval("daily")),
        ({"periodic": {"seconds": 60}}, Interval("periodic", period=60 * 10**9)),
    ],
)
def test_other_spellings(value, interval):
    assert sdk.from_dict(value) == interval


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("5", "an array of intervals is wanted"),
        ("[5]", "interval 0: no interval: an object is wanted"),
        ("[{}]", "Invalid schedule period type: one of periodic, daily, weekly, monthly is wanted, found 0"),
        ('[{"daily": {}, "weekly": {}}]', "found 2"),
        ('[{"daily": {}}, {"daily": {"hour": 24}}]', "interval 1: invalid hour 24"),
        ('[{"daily": {"hours": 1}}]', "unknown key 'hours': accepted are hour, minute"),
        ('[{"daily": {}, "keep": 5}]', "unknown key 'keep'"),
        ('[{"daily": 5}]', "invalid daily: an object is wanted"),
        ('[{"daily": {"hour": true}}]', "invalid hour: a number is wanted"),
        ('[{"daily": {"hour": 1.5}}]', "invalid hour: a number is wanted"),
        ('[{"daily": {"hour": "x"}}]', 'parsing "x"'),
        ('[{"weekly": {"day": "Tuesday"}}]', 'parsing "Tuesday"'),
        ('[{"weekly": {"day": 7}}]', "invalid weekday 7"),
        ('[{"monthly": {}}]', "invalid day 0"),
        ('[{"monthly": {"day": 32}}]', "invalid day 32"),
        ('[{"periodic": {"seconds": 0}}]', "invalid period 0"),
        ('[{"periodic": {"seconds": 99999999999}}]', "invalid period"),
        ('[{"daily": {}, "retain": -1}]', "invalid retain -1"),
        ('{"name": "x", "schedules": [], "more": 1}', "unknown key 'more'"),
        ('{"schedules": 5}', "an array of intervals is wanted"),
    ],
)
def test_errors(text, words):
    with pytest.raises(InvalidInput) as caught:
        sdk.read(text)
    assert words in str(caught.value)


def test_no_part_of_a_second():
    with pytest.raises(InvalidInput, match="whole seconds only"):
        sdk.write([Interval("periodic", period=1)])


@given(st.lists(intervals(), max_size=5))
def test_round_trips(found):
    found = [one for one in found if one.period % 10**9 == 0 and one.retain]
    assert sdk.read(sdk.write(found)) == tuple(found)


def test_the_schema():
    from tests.fixtures.schemas import obeys

    obeys(json.loads(sdk.write([interval for _, interval in POLICY])), "openstorage")


def test_a_key_that_is_given_twice():
    for text in ('[{"daily":{"hour":1,"hour":2}}]', '[{"retain":"1","retain":"2","daily":{}}]'):
        with pytest.raises(InvalidInput, match="is given twice"):
            sdk.read(text)
