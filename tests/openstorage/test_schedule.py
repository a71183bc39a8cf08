"""openstorage as one of the languages: its rules, and what it can say of the rules of others."""

import datetime as dt
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from blockdiff.errors import InvalidInput
from blockdiff.openstorage.interval import MINUTE, Interval
from blockdiff.openstorage.schedule import IntervalSchedule, of_snapshot_interval
from blockdiff.retention import KeepCount, KeepDays
from blockdiff.schedule import Destination
from blockdiff.schedule.calendar import Daily, Every, Hourly, Monthly, Weekly
from blockdiff.schedule.language import Context, language
from blockdiff.schedule.rule import Rule
from tests.openstorage.test_text import intervals

OPENSTORAGE = language("openstorage")
BERLIN = ZoneInfo("Europe/Berlin")
START = dt.datetime(2026, 1, 1, 0, 7, tzinfo=dt.UTC)
SEVEN = KeepCount(7)


def parse(text, **context):
    return OPENSTORAGE.parse(text, Context(**context))


def test_rules():
    found = parse("daily=12:00;weekly=Sunday@12:00,2;monthly=6@08:05;periodic=15", zone=BERLIN, anchor=START)
    assert found.rules() == (
        Rule(Daily(12, 0), BERLIN, KeepCount(7), name="daily @12:00"),
        Rule(Weekly(0, 12, 0), BERLIN, KeepCount(2), name="weekly Sunday@12:00,keep last 2"),
        Rule(Monthly(6, 8, 5), BERLIN, KeepCount(12), name="monthly 6@08:05"),
        Rule(Every(900, START), BERLIN, KeepCount(5), name="periodic 15m0s"),
    )


def test_periods_count_from_the_anchor():
    (rule,) = parse("periodic=15", anchor=START).rules()
    assert [tick.minute for tick in islice(rule.ticks(START), 3)] == [22, 37, 52]
    (rule,) = parse("periodic=15").rules()
    assert [tick.minute for tick in islice(rule.ticks(START), 3)] == [15, 30, 45]


def test_monthly_is_due_on_its_day():
    """The original is due on each day until then, too."""
    (rule,) = parse("monthly=15@12:00").rules()
    assert [f"{tick:%m-%d %H:%M}" for tick in islice(rule.ticks(START), 2)] == ["01-15 12:00", "02-15 12:00"]
    (rule,) = parse("monthly=31").rules()
    assert [f"{tick:%m-%d}" for tick in islice(rule.ticks(START), 3)] == ["01-31", "03-31", "05-31"]


def test_policies():
    found = parse("policy=gold,silver;daily=@")
    with pytest.raises(InvalidInput, match='what the policy "gold" says is not known here'):
        found.rules()
    with pytest.raises(InvalidInput, match='"silver"'):
        found.rules({"gold": parse("periodic=60")})
    known = {"gold": parse("periodic=60;weekly=Friday"), "silver": parse("")}
    assert [rule.name for rule in found.rules(known)] == ["daily @00:00", "periodic 1h0m0s", "weekly Friday@00:00"]
    with pytest.raises(InvalidInput, match='the policy "gold" names policies'):
        found.rules({"gold": parse("policy=gold")})
    with pytest.raises(InvalidInput, match="cannot name policies: gold, silver"):
        found.to_json()
    with pytest.raises(InvalidInput, match="Invalid policy name"):
        IntervalSchedule(policies=("a;b",))


def test_texts():
    found = parse("daily=12:00,3;monthly=6@08:05;policy=gold")
    assert (
        str(found)
        == "- freq: daily\n  hour: 12\n  retain: 3\n- freq: monthly\n  day: 6\n  hour: 8\n  minute: 5\n;policy=gold"
    )
    assert found.items == "daily=12:00,3;monthly=6@08:05;policy=gold"
    assert found.summary == "policy=gold;daily @12:00,keep last 3, monthly 6@08:05"
    assert (parse("").items, parse("").summary, str(parse(""))) == ("", "", "")


def test_json():
    text = parse("daily=12:00,3").to_json().decode()
    assert text == '[{"retain":"3","daily":{"hour":12,"minute":0}}]'
    assert str(parse(text, json=True)) == "- freq: daily\n  hour: 12\n  retain: 3"


def test_snapshot_intervals():
    assert of_snapshot_interval(0) == IntervalSchedule()
    assert of_snapshot_interval(15).items == "periodic=15"
    assert [of_snapshot_interval(minutes).snapshot_interval for minutes in (0, 15)] == [0, 15]
    with pytest.raises(InvalidInput, match="invalid SnapshotInterval -1"):
        of_snapshot_interval(-1)


@pytest.mark.parametrize(
    "text", ["daily=@", "periodic=1,5", "periodic=1;periodic=2", "policy=a", "- {freq: periodic, period: 1}"]
)
def test_no_snapshot_interval(text):
    with pytest.raises(InvalidInput, match="a SnapshotInterval is"):
        _ = parse(text).snapshot_interval


def test_no_part_of_a_second():
    with pytest.raises(InvalidInput, match=r"periodic 1\.5s: a period of whole seconds is wanted"):
        parse("- {freq: periodic, period: 1500000000}").rules()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(Hourly(5), keep=SEVEN), "it has nothing for Hourly"),
        (Rule(Monthly(31, short="last"), keep=SEVEN), "it has nothing for Monthly"),
        (Rule(Daily(1)), "it always keeps a number"),
        (Rule(Daily(1), keep=KeepCount(0)), "it always keeps a number"),
        (Rule(Daily(1), keep=KeepCount(1 << 32)), "invalid retain"),
        (Rule(Daily(1), keep=KeepDays(7)), "it always keeps a number"),
        (Rule(Daily(1), BERLIN, SEVEN), "it names no time zone"),
        (Rule(Daily(1), keep=SEVEN, destination=Destination.REMOTE), "it has no destinations"),
        (Rule(Daily(1), keep=SEVEN, options=1), "it has no options, and this has PauseVM"),
        (Rule(Every(10**10), keep=SEVEN), "invalid period"),
    ],
)
def test_what_it_cannot_say(rule, words):
    with pytest.raises(InvalidInput) as caught:
        OPENSTORAGE.from_rules([rule])
    assert str(caught.value).startswith('openstorage cannot say "')
    assert words in str(caught.value)


def test_two_anchors():
    with pytest.raises(InvalidInput, match="begin at different times"):
        OPENSTORAGE.from_rules([Rule(Every(60), keep=SEVEN), Rule(Every(60, START), keep=SEVEN)])


def test_from_snapper_and_back():
    text = "daily:local=7@03:15 weekly:local=4@Tue monthly:local=12@1/04:00"
    found = OPENSTORAGE.from_rules(language("snapper").parse(text, Context()).rules())
    assert found.items == "daily=03:15,7;weekly=Tuesday@00:00,4;monthly=1@04:00,12"
    assert str(language("snapper").from_rules(found.rules())) == text


@given(intervals())
def test_rules_say_the_same(interval):
    if interval.period % 10**9 or not interval.retain:
        interval = Interval("periodic", period=MINUTE, retain=1)
    schedule = IntervalSchedule((interval,), anchor=START)
    assert OPENSTORAGE.from_rules(schedule.rules()) == schedule
    assert OPENSTORAGE.from_rules(schedule.rules()).rules() == schedule.rules()
