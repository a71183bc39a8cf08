import datetime as dt
import io
import json
from importlib import resources
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.cinder.policy import LANGUAGE, Daily, Express, Monthly, Policies, Weekly, parse_metadata
from blockdiff.errors import InvalidInput
from blockdiff.retention import GFS, KeepAge, KeepCount, KeepDays
from blockdiff.schedule import calendar
from blockdiff.schedule.language import Context, language
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.spot import ScheduleError
from blockdiff.schedule.words import Destination
from tests.cinder.policy.strategies import POLICIES

PLAIN = Context()
PARIS = ZoneInfo("Europe/Paris")


def refused(text, context=PLAIN):
    with pytest.raises(ScheduleError) as caught:
        LANGUAGE.parse(text, context)
    assert caught.value.exit_code == 2
    return caught.value


def test_it_is_registered():
    assert language("snapsentry") is LANGUAGE


@given(POLICIES)
def test_text_and_json_round_trip(policies):
    assert LANGUAGE.parse(str(policies), PLAIN) == policies
    assert LANGUAGE.parse(policies.to_json().decode(), PLAIN) == policies
    assert str(policies).splitlines() == sorted(str(policies).splitlines())


@given(POLICIES)
def test_rules_round_trip(policies):
    rules = policies.rules()
    again = LANGUAGE.from_rules(rules)
    assert again.rules() == rules
    assert again.every == policies.active


def test_lines():
    text = """# the volume of the database
        owner = me
        x-snapsentry-managed=true\r
        X-SnapSentry-Daily-Enabled = true

        note=a=b # no comment
        x-snapsentry-daily-start-time=9:30"""
    found = LANGUAGE.parse(text, PLAIN)
    assert found == Policies(daily=Daily(start=dt.time(9, 30)))
    assert str(found) == (
        "x-snapsentry-daily-enabled=true\nx-snapsentry-daily-retention-days=2\nx-snapsentry-daily-retention-type=time\n"
        "x-snapsentry-daily-start-time=09:30\nx-snapsentry-daily-timezone=UTC\nx-snapsentry-managed=true"
    )


def test_rules():
    policies = Policies(
        express=Express(interval=8, retention=3),
        daily=Daily(start=dt.time(3, 15), timezone="Europe/Paris", retention=9, retention_type="count"),
        weekly=Weekly(weekday=2, start=dt.time(4)),
        monthly=Monthly(day=31),
    )
    assert policies.rules() == (
        Rule(calendar.Steps(8), keep=KeepDays(3), name="express"),
        Rule(calendar.Daily(3, 15), PARIS, KeepCount(9), name="daily"),
        Rule(calendar.Weekly(2, 4, 0), keep=KeepDays(7), name="weekly"),
        Rule(calendar.Monthly(31, 0, 0, short="last"), keep=KeepDays(30), name="monthly"),
    )


def test_an_error_has_its_place():
    text = "owner=me\n  x-snapsentry-managed=true\n  x-snapsentry-daily-enabled=maybe"
    error = refused(text)
    assert (error.line, error.column) == (3, 3)
    assert str(error) == (
        "x-snapsentry-daily-enabled: invalid value 'maybe'; must be true or false (or 1, t, T, 0, f, F)\n"
        "  line 3, column 3:\n"
        "      x-snapsentry-daily-enabled=maybe\n"
        "      ^^^^^^^^^^^^^^^^^^^^^^^^^^"
    )


def test_all_errors_are_told():
    text = "x-snapsentry-managed=on\nx-snapsentry-dayly-enabled=1\nx-snapsentry-daily-start-time=3"
    shown = str(refused(text))
    assert [shown.count(f"line {number}, column 1") for number in (1, 2, 3)] == [1, 1, 0]
    assert "x-snapsentry-daily-enabled: it is missing, but there is x-snapsentry-daily-start-time" in shown
    both = refused(json.dumps(dict(line.split("=") for line in text.splitlines())))
    assert str(both).count("\n") == 2
    assert both.line == 0


def test_of_very_many_errors_the_first_are_told():
    lines = [f"x-snapsentry-daily-{number:06}=1" for number in range(3_000)]
    for text in ("\n".join(lines), json.dumps(dict(line.split("=") for line in lines))):
        shown = str(refused(text))
        assert shown.count("accepted are x-snapsentry-daily-enabled") == 20
        assert shown.endswith("\n... and 2980 more")
    assert "more" not in str(refused("\n".join(lines[:20])))
    with pytest.raises(InvalidInput, match=r"\.\.\. and 2980 more$"):
        parse_metadata(dict(line.split("=") for line in lines))


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("x-snapsentry-managed", 1, 1, "no metadata 'x-snapsentry-managed'"),
        ("a=1\n =2", 2, 2, "no metadata '=2'"),
        ("a=1\n a=2", 2, 2, "the key 'a' is given twice"),
        ('{"a": }', 1, 7, "no JSON: Expecting value"),
        ('{"a": "1"\n "b": "2"}', 2, 2, "no JSON: Expecting ',' delimiter"),
        ('{"a": "1", "a": "2"}', 0, 0, "the key 'a' is given twice"),
        ('{"a": 1}', 0, 0, "no metadata, the value of 'a' is no text"),
        ('{"properties": {"x-snapsentry-managed": "true"}}', 0, 0, "no metadata, the value of 'properties' is no text"),
        ('{"a": "\n"}', 1, 8, "no JSON: Invalid control character at"),
        ("{" * 100_000, 1, 2, "no JSON: Expecting property name"),
        ('{"a":' * 100_000, 0, 0, "no JSON: maximum recursion depth exceeded"),
        ('{"a": ' + "9" * 5000 + "}", 0, 0, "no JSON: Exceeds the limit"),
        ("\x1b[31m", 1, 1, r"no metadata '\x1b[31m'"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_no_metadata(text, line, column, reason):
    error = refused(text)
    assert error.reason.startswith(reason)
    assert (error.line, error.column) == (line, column)
    assert str(error).replace("\n", "").isprintable()
    assert len(str(error)) < 500


def test_json_must_be_an_object_if_it_is_asked_for():
    for text in ("[]", '"a"', "1", "null", "a=1"):
        assert "JSON" in str(refused(text, Context(json=True)))


def test_original():
    daily = "x-snapsentry-daily"
    text = f"x-snapsentry-managed=true\n{daily}-enabled=1\n{daily}-retention-days=010\nx-snapsentry-x=1"
    assert LANGUAGE.parse(text, Context(original=True)).daily == Daily(retention=8)
    assert refused(text).line == 4


NAMELESS = ZoneInfo.from_file(io.BytesIO(resources.files("tzdata").joinpath("zoneinfo/Europe/Paris").read_bytes()))


def rule(when=calendar.Daily(3, 0), keep=KeepDays(7), **fields):  # noqa: B008 values
    return Rule(when, keep=keep, **{"name": "mine", **fields})


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([rule(destination=Destination.REMOTE)], "it has no destinations, and remote is not local"),
        ([rule(options=1)], "it has no options, such as PauseVM"),
        ([rule(keep=None)], "it keeps for days or a number of snapshots, not without an end"),
        ([rule(keep=KeepAge(months=1))], "it keeps for days or a number of snapshots, not KeepAge"),
        ([rule(keep=GFS(daily=3))], "it keeps for days or a number of snapshots, not GFS"),
        ([rule(keep=KeepDays(7, PARIS))], "it keeps for days or a number of snapshots, not KeepDays"),
        ([rule(keep=KeepDays(0))], "it keeps 1 or more, and 0 would be its default"),
        ([rule(keep=KeepCount(-1))], "it keeps 1 or more, and -1 would be its default"),
        ([rule(keep=KeepDays(10**7))], "invalid retention 10000000"),
        ([rule(zone=dt.timezone(dt.timedelta(hours=2)))], "it takes time zones by name, and UTC+02:00 has none"),
        ([rule(zone=NAMELESS)], "it takes time zones by name, and"),
        ([rule(calendar.Steps(4))], "express is every 6, 8, or 12 hours at :00, not every 4 at :00"),
        ([rule(calendar.Steps(6, 30))], "express is every 6, 8, or 12 hours at :00, not every 6 at :30"),
        ([rule(calendar.Monthly(29, 0, 0, short="skip"))], "in a month without a day 29 it takes the last day"),
        ([rule(calendar.Monthly(31, 0, 0, short="skip"))], "in a month without a day 31 it takes the last day"),
        ([rule(calendar.Hourly(5))], "it is express, daily, weekly or monthly, and this is Hourly"),
        ([rule(calendar.Yearly(1, 1, 0, 0))], "it is express, daily, weekly or monthly, and this is Yearly"),
        ([rule(calendar.Every(3600))], "it is express, daily, weekly or monthly, and this is Every"),
        ([rule(), rule(calendar.Daily(4, 0))], "it has one daily policy only, and 'mine' is another"),
    ],
)
def test_what_cannot_be_said(rules, why):
    with pytest.raises(InvalidInput) as caught:
        LANGUAGE.from_rules(rules)
    assert why in str(caught.value)
    assert str(caught.value).startswith("snapsentry cannot say 'mine': ")


def test_what_can_be_said():
    rules = [
        rule(calendar.Monthly(28, 1, 2, short="skip"), KeepCount(4), zone=PARIS),
        rule(calendar.Weekly(3, 1, 2), KeepDays(4, PARIS), zone=PARIS),
        rule(calendar.Steps(12), KeepDays(7, ZoneInfo("UTC")), zone=ZoneInfo("UTC")),
    ]
    assert LANGUAGE.from_rules(rules).every == (
        Express(interval=12, retention=7),
        Weekly(weekday=3, start=dt.time(1, 2), retention=4, timezone="Europe/Paris"),
        Monthly(day=28, start=dt.time(1, 2), retention=4, retention_type="count", timezone="Europe/Paris"),
    )
    assert str(LANGUAGE.from_rules([])) == ""


KEYS = st.sampled_from(
    ["managed", "daily-enabled", "weekly-retention-days", "monthly-day-of-month", "express-interval-hours", "x", ""]
).map("x-snapsentry-{}".format)


@given(st.text() | st.dictionaries(KEYS | st.text(), st.text() | st.integers()).map(json.dumps))
def test_any_text_is_read_or_refused(text):
    for context in (PLAIN, Context(json=True), Context(original=True)):
        try:
            found = LANGUAGE.parse(text, context)
        except InvalidInput as error:
            found, reason = None, str(error)
        else:
            reason = ""
        assert reason.replace("\n", "").isprintable()
        assert found is None or LANGUAGE.parse(str(found), PLAIN) == found


@given(st.dictionaries(KEYS, st.sampled_from(["true", "false", "", "7", "6", "on", "03:00"])))
def test_lines_and_json_say_the_same(metadata):
    texts = "\n".join(f"{key}={text}" for key, text in metadata.items()), json.dumps(metadata)
    results = []
    for text in texts:
        try:
            results.append(LANGUAGE.parse(text, PLAIN))
        except ScheduleError as error:
            results.append(error.reason.split("\n")[0])
    assert results[0] == results[1]
