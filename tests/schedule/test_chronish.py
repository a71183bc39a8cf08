"""The text and JSON of schedules: the original's vectors, its errors, and what it gets wrong."""

import contextlib
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Destination, Option, Period, Schedule, Schedules, Type, parse_schedules
from blockdiff.schedule.chronish import ScheduleError, entry_text

AT = {"destination": "local", "keep": 1, "minute": 0, "hour": 0}
VECTORS = [
    ("hourly:local=1", "hourly:local=1", [{"destination": "local", "keep": 1, "minute": 0}]),
    ("hourly:local=1@03", "hourly:local=1@3", [{"destination": "local", "keep": 1, "minute": 3}]),
    ("hourly:local=1@0+5", "hourly:local=1@5", [{"destination": "local", "keep": 1, "minute": 5}]),
    ("daily:local=1", "daily:local=1@0", [AT]),
    ("daily:local=1@", "daily:local=1@0", [AT]),
    ("daily:local=1@03", "daily:local=1@3", [{"destination": "local", "keep": 1, "minute": 0, "hour": 3}]),
    ("weekly:local=1@1", "weekly:local=1@Mon", [{**AT, "weekday": 1}]),
    ("weekly:local=1@+3", "weekly:local=1@Wed", None),
    ("weekly:local=1@000006", "weekly:local=1@Sat", None),
    ("weekly:local=1@monkey", "weekly:local=1@Mon", None),
    ("weekly:local=1", "weekly:local=1@Sun", [{**AT, "weekday": 0}]),
    ("monthly:local=1@02", "monthly:local=1@2", [{**AT, "day": 2}]),
    ("yearly:local=1", "yearly:local=1@Jan", [{**AT, "day": 1, "month": 1}]),
    ("yearly:local=1@01", "yearly:local=1@Jan", None),
    ("yearly:local=1@+1", "yearly:local=1@Jan", None),
    ("yearly:local=1@+12", "yearly:local=1@012", None),
    ("yearly:local=1@marathon", "yearly:local=1@Mar", None),
    ("yearly:local=1@032", "yearly:local=1@032", [{**AT, "yearday": 32}]),
    ("daily:local=24@5,local=1@3,remote=1", "daily:remote=1@0,local=1@3,local=24@5", None),
    ("weekly:local=1@Mon,local=2@Fri,local=3@Sun", "weekly:local=3@Sun,local=1@Mon,local=2@Fri", None),
    ("yearly:local=1@300,local=2@001,local=3@050", "yearly:local=2@001,local=3@050,local=1@300", None),
    (
        "hourly:local=10,archive=3 daily:local=3,remote=3@10 weekly:local=1@Tuesday",
        "hourly:local=10,archive=3 daily:local=3@0,remote=3@10 weekly:local=1@Tue",
        None,
    ),
    ("minutely:local=1@59", "minutely:local=1@59", [{"destination": "local", "keep": 1, "minutely": 0.59}]),
    ("minutely:local=1@-7", "minutely:local=1@0", [{"destination": "local", "keep": 1, "minutely": 0}]),
    ("minutely:local=1@170", "minutely:local=1@100", [{"destination": "local", "keep": 1, "minutely": 1}]),
    ("HOURLY:Local=-1", "hourly:local=-1", [{"destination": "local", "keep": -1, "minute": 0}]),
    ("# nothing\n\n  # at all", "", []),
    ("options:", "", []),
    ("weekly:local=1@SUNDAY", "weekly:local=1@Sun", None),
    ("hourly:local=1@0", "hourly:local=1", None),
    ("monthly:local=1", "monthly:local=1@1", [{**AT, "day": 1}]),
    ("minutely:local=1", "minutely:local=1@100", [{"destination": "local", "keep": 1, "minutely": 1}]),
    ("minutely:local=1@53", "minutely:local=1@53", None),
    ("yearly:local=1@12", "yearly:local=1@Dec", [{**AT, "day": 1, "month": 12}]),
    ("yearly:local=1@366", "yearly:local=1@366", None),
    ("hourly:local=1\x85daily:local=2\u3000weekly:local=3", "hourly:local=1 daily:local=2@0 weekly:local=3@Sun", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "canonical", "value"), VECTORS)
def test_vectors(text, canonical, value):
    found = parse_schedules(text)
    assert str(found) == canonical
    if value is not None:
        assert found.to_json().decode() == json.dumps(value, separators=(",", ":"))
    assert str(parse_schedules(canonical)) == canonical


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"hour": 0}, "daily:local=1@0"),
        ({"minute": 0}, "hourly:local=1"),
        ({"weekday": 2}, "weekly:local=1@Tue"),
        ({"day": 2}, "monthly:local=1@2"),
        ({"month": 2}, "yearly:local=1@Feb"),
        ({"yearday": 2}, "yearly:local=1@002"),
        ({"hour": 3, "zone": "Europe/Berlin"}, "daily:local=1@3 zone=Europe/Berlin"),
    ],
)
def test_json(value, text):
    assert str(Schedules.from_json(json.dumps([{"destination": "local", "keep": 1, **value}]))) == text


def test_the_original_s_32_bits():
    (one,) = Schedules.from_json('[{"minutely": 0.5299999713897705}]')
    assert (one.minutely, one.percent) == (0.53, 53)


def test_unknown_keys_are_ignored_as_in_the_original_only():
    text = '[{"yearday": 2, "unknown": "key", "zone": "Moon/Sea"}]'
    assert str(Schedules.from_json(text, original=True)) == "yearly:local=0@002"
    with pytest.raises(InvalidInput, match="unknown"):
        Schedules.from_json(text)
    assert str(Schedules.from_json('[{"month": 2, "weekday": 2}]', original=True)) == "yearly:local=0@Feb"


def test_json_as_the_original_reads_it():
    """As Go does: keys in any case, the last of two counts, null changes nothing, and what is never due is one."""
    found = Schedules.from_json('[{"Hour": 1, "hour": 3, "KEEP": 2, "destination": null}, {}]', original=True)
    assert str(Schedules(found[:1])) == "daily:local=2@3"
    assert found[1].period is None


def test_what_json_leaves_out():
    (one,) = Schedules.from_json('[{"minute": 3}]')
    assert (one.destination, one.keep, one.period) == (Destination.LOCAL, 0, Period.HOURLY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "no JSON"),
        ("{}", "a JSON array is wanted"),
        ('[{"keep": "1"}]', "schedule 0: no schedule: Expected `int`, got `str` - at `$.keep`"),
        ('[{"hour": 1}, {"hour": 24}]', "schedule 1: invalid hour 24"),
        ('[{"destination": "moon"}]', "moon does not belong to Destination values"),
        ('[{"options": "moon"}]', "moon does not belong to Option values"),
        ('[{"minutely": 1.5}]', "invalid minutely 1.5"),
        ('[{"hour": 1, "zone": "Moon/Sea"}]', 'schedule 0: no time zone "Moon/Sea"'),
        ('[{"keep": 9223372036854775808}]', "invalid keep"),
        ('[{"minutely": 0.555}]', "invalid minutely 0.555: whole percents are wanted"),
        ('[{"weekday": 1, "day": 2}]', "invalid weekday: a monthly schedule has minute, hour, day"),
        ('[{"hour": 1, "minutely": 0.5}]', "invalid minutely: a daily schedule has minute, hour"),
        ('[{"month": 1, "weekday": 2}]', "invalid weekday: a yearly schedule has month and day, or yearday"),
        ('[{"yearday": 1, "month": 2}]', "invalid yearday: a yearly schedule has month and day, or yearday"),
        ('[{"minutely": 0.5505}]', "invalid minutely 0.5505: whole percents are wanted"),
        ('[{"day": 0}]', "invalid day 0: accepted are 1 to 31"),
        ('[{"month": 0}]', "invalid month 0"),
        ('[{"minute": -1}]', "invalid minute -1"),
        ('[{"yearday": 367}]', "invalid yearday 367"),
        ('[{"weekday": 7}]', "invalid weekday 7"),
        ('[{"hour": 1}, {"keep": 1}]', "schedule 1: no time is set, so it is never due"),
        ('[{"hour": 1, "minute": 2, "hour": 3}]', 'the key "hour" is given twice'),
        ('[{"Hour": 1}]', "unknown field `Hour`"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_bad_json(text, words):
    with pytest.raises(InvalidInput) as caught:
        Schedules.from_json(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason", "column"),
    [
        ("foo:local=1", 'line "foo:local=1": foo does not belong to Period values', 1),
        ("hourly:", 'keep count not specified ""', 8),
        ("hourly:local=1,", 'keep count not specified ""', 16),
        ("hourly:local", 'keep count not specified "local"', 8),
        ("hourly:=1", 'keep count not specified "=1"', 8),
        ("hourly:foo=1", 'snapshot "foo=1":foo does not belong to Destination values', 8),
        ("hourly:local=1@2@3", 'invalid snapshot "local=1@2@3"', 8),
        ("hourly:local=x", 'snapshot "local=x": strconv.Atoi: parsing "x": invalid syntax', 14),
        ("hourly:local=", 'snapshot "local=": strconv.Atoi: parsing "": invalid syntax', 14),
        ("hourly:local=1_0", 'strconv.Atoi: parsing "1_0": invalid syntax', 14),
        ("hourly:local=٣", "invalid syntax", 14),
        ("hourly:local=99999999999999999999", "value out of range", 14),
        ("hourly:local=9223372036854775808", "value out of range", 14),
        ("hourly:local=1@60", "invalid minute 60", 16),
        ("daily:local=1@24", "invalid hour 24", 15),
        ("daily:local=1@3:60", "invalid minute 60", 15),
        ("daily:local=1@3:5", "invalid time", 15),
        ("weekly:local=1@foo", 'invalid weekday "foo"', 16),
        ("weekly:local=1@7", "invalid day %!Weekday(7)", 16),
        ("monthly:local=1@32", "invalid day 32", 17),
        ("yearly:local=1@5", 'invalid day "5"', 16),
        ("yearly:local=1@0005", 'invalid day "05"', 16),
        ("yearly:local=1@13", "invalid month %!Month(13)", 16),
        ("yearly:local=1@367", "invalid yearday 367", 16),
        ("yearly:local=1@00", "invalid month %!Month(0)", 16),
        ("yearly:local=1@000", "invalid yearday 0", 16),
        ("yearly:local=1@-0", "invalid month %!Month(0)", 16),
        ("yearly:local=1@+0", "invalid month %!Month(0)", 16),
        ("monthly:local=1@0", "invalid day 0", 17),
        ("weekly:local=1@-1", "invalid day %!Weekday(-1)", 16),
        ("daily:local=1 zone=", 'no time zone ""', 20),
        ("daily:local=1 zone=Moon/Sea", 'no time zone "Moon/Sea"', 20),
        ("daily:local=1 zone=localtime", 'no time zone "localtime"', 20),
        ("daily:local=1 zone=+05:30", 'no time zone "+05:30"', 20),
        ("daily:local=1 zone=UTC zone=UTC", "given twice", 29),
        ("zone=UTC", "no entry is on this line", 1),
        ("options:PauseVM", "no entry is on this line", 1),
        ("minutely:local=1@x", 'strconv.Atoi: parsing "x": invalid syntax', 18),
        ("daily:local=1 options:moon", "moon does not belong to Option values", 23),
        ("daily:local=1 options:PauseVM,", " does not belong to Option values", 31),
        ("daily:local=1 stray", 'no schedule "stray"', 15),
        ("daily:local=1 :stray", 'no schedule ":stray"', 15),
        ("daily:local=1\x1c", "strconv.Atoi: parsing", 13),
    ],
)
def test_errors(text, reason, column):
    with pytest.raises(ScheduleError) as caught:
        parse_schedules("# first\n" + text)
    error = caught.value
    assert reason in str(error)
    assert error.line == 2
    if column is not None:
        assert error.column == column
        _, excerpt, caret = str(error).rsplit("\n", 2)
        assert excerpt.strip("\n") == f"    {text}".replace("\x1c", "\ufffd")  # a terminal gets no control characters
        assert caret.index("^") == column - 1 + 4


def test_options_hold_for_their_line():
    found = parse_schedules("daily:local=1\noptions:pauseVM hourly:local=1 weekly:local=2\nmonthly:local=3")
    assert [one.options for one in found] == [0, 1, 1, 0]
    assert str(found) == "daily:local=1@0 monthly:local=3@1\nhourly:local=1 weekly:local=2@Sun options:PauseVM"
    assert parse_schedules(str(found)).sorted() == found.sorted()


def test_zones_hold_for_their_line():
    text = "daily:local=1@3 zone=Europe/Berlin\nhourly:local=1\nzone=UTC options:PauseVM weekly:local=2@Mon/04:05"
    found = parse_schedules(text)
    assert [one.zone for one in found] == ["Europe/Berlin", "", "UTC"]
    assert str(found) == (
        "hourly:local=1\ndaily:local=1@3 zone=Europe/Berlin\nweekly:local=2@Mon/04:05 options:PauseVM zone=UTC"
    )
    assert parse_schedules(str(found)).sorted() == found.sorted()
    assert found[0].to_dict() == {"destination": "local", "keep": 1, "minute": 0, "hour": 3, "zone": "Europe/Berlin"}


def test_old_readers_ignore_zones():
    """Items without a colon are nothing to them, in the text as in the JSON."""
    text = "daily:local=1@3 zone=Europe/Berlin"
    assert str(parse_schedules(text, original=True)) == "daily:local=1@3"
    assert Schedules.from_json(parse_schedules(text).to_json(), original=True)[0].zone == ""


def test_the_zone_s_clocks():
    (one,) = parse_schedules("daily:local=1@3:15 zone=Europe/Berlin")
    assert one.is_time(dt.datetime(2026, 7, 1, 1, 15, tzinfo=dt.UTC))
    assert one.is_time(dt.datetime(2026, 1, 1, 2, 15, tzinfo=dt.UTC))
    assert not one.is_time(dt.datetime(2026, 1, 1, 3, 15, tzinfo=dt.UTC))
    with pytest.raises(InvalidInput, match="no time zone"):
        one.is_time(dt.datetime(2026, 1, 1, 3, 15))
    assert not one.matches(parse_schedules("daily:local=1@3:15")[0])


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("hourly:local=1", "local=1"),
        ("daily:remote=2@3 options:PauseVM", "remote=2@3 options:PauseVM"),
        ("weekly:archive=3@Tue zone=UTC", "archive=3@Tue zone=UTC"),
    ],
)
def test_the_text_of_one_entry(text, entry):
    assert entry_text(parse_schedules(text)[0]) == entry


def test_errors_of_long_and_odd_lines_stay_readable():
    for text in ("x" * 1_000_000, "daily:local=1 " * 2_000 + "\x1b[2J\u202e:x=1", "daily:" + "," * 1_000_000):
        with pytest.raises(ScheduleError) as caught:
            parse_schedules(text)
        assert len(str(caught.value)) < 2000
        assert all(char.isprintable() or char == "\n" for char in str(caught.value))


def test_as_the_original_reads():
    found = parse_schedules("daily:local=1 stray\nhourly:local=1 options:PauseVM\nweekly:local=1", original=True)
    assert [one.options for one in found] == [1, 1, 0]
    (never,) = parse_schedules("yearly:local=1@00", original=True)
    assert never.period is None
    assert never.when == -1
    with pytest.raises(ScheduleError):
        parse_schedules("hourly:local=1@60", original=True)


def test_the_order_is_one():
    """The original leaves daily 5 before daily 3 here."""
    assert str(parse_schedules("daily:local=1@5 hourly:local=1 daily:local=1@3")) == (
        "hourly:local=1 daily:local=1@3,local=1@5"
    )


@pytest.mark.parametrize(
    "text",
    ["daily:local=1@03:15", "weekly:local=1@Tue/04:05", "monthly:local=1@31/23:59", "yearly:local=1@Feb-29/01:02",
     "yearly:local=1@366/00:01"],
)  # fmt: skip
def test_times_that_the_original_does_not_have(text):
    assert str(parse_schedules(text)) == text


@pytest.mark.parametrize(
    ("text", "as_the_original", "here"),
    [
        ("weekly:local=1@Tue/04:05", "weekly:local=1@Tue", "weekly:local=1@Tue/04:05"),
        ("weekly:local=1@tuesday/no-time", "weekly:local=1@Tue", None),
        ("yearly:local=1@Dec-25", "yearly:local=1@Dec", "yearly:local=1@Dec-25"),
        ("yearly:local=1@january-32", "yearly:local=1@Jan", None),
        ("yearly:local=1@Feb-29/01:02", "yearly:local=1@Feb", "yearly:local=1@Feb-29/01:02"),
        ("daily:local=1@3:15", None, "daily:local=1@03:15"),
        ("monthly:local=1@15/03:15", None, "monthly:local=1@15/03:15"),
        ("yearly:local=1@032/03:15", None, "yearly:local=1@032/03:15"),
    ],
)
def test_the_original_takes_no_notice_of_times_behind_names(text, as_the_original, here):
    for original, expected in ((True, as_the_original), (False, here)):
        if expected is None:
            with pytest.raises(ScheduleError):
                parse_schedules(text, original=original)
        else:
            assert str(parse_schedules(text, original=original)) == expected


def test_what_is_not_normalised_has_a_text():
    assert str(Schedules([Schedule(month=3)])) == "yearly:local=1@Mar"


def schedules():
    minute, hour = st.integers(0, 59), st.integers(0, 23)
    times = st.one_of(
        st.fixed_dictionaries({"minutely": st.integers(0, 100).map(lambda n: n / 100)}),
        st.fixed_dictionaries({"minute": minute}),
        st.fixed_dictionaries({"hour": hour, "minute": minute}),
        st.fixed_dictionaries({"weekday": st.integers(0, 6), "hour": hour, "minute": minute}),
        st.fixed_dictionaries({"day": st.integers(1, 31), "hour": hour, "minute": minute}),
        st.fixed_dictionaries({"month": st.integers(1, 12), "day": st.integers(1, 31), "hour": hour, "minute": minute}),
        st.fixed_dictionaries({"yearday": st.integers(1, 366), "hour": hour, "minute": minute}),
    )
    return st.builds(
        lambda fields, **rest: Schedule.make(**fields, **rest),
        times,
        destination=st.sampled_from(Destination),
        keep=st.integers(-(1 << 63), (1 << 63) - 1),
        options=st.sampled_from([0, 1]),
        zone=st.sampled_from(["", "UTC", "Europe/Berlin", "America/Argentina/Ushuaia"]),
    )


@given(st.lists(schedules(), max_size=8))
def test_round_trips(items):
    found = Schedules(items)
    assert sorted(parse_schedules(str(found)), key=repr) == sorted(found, key=repr)
    assert Schedules.from_json(found.to_json()) == found


def outcome(text):
    try:
        return parse_schedules(text), None
    except ScheduleError as error:
        return None, error


@given(st.text(alphabet="abdehlmnoprstuwy:=@,#\n 0139/-+x\x1c\x85é", max_size=60))
def test_any_text_is_read_or_refused_in_words(text):
    found, error = outcome(text)
    if error is None:
        assert outcome(str(found))[0].sorted() == found.sorted()
    else:
        assert error.line <= text.count("\n") + 1
        assert error.column <= max(map(len, text.split("\n"))) + 1
        assert str(error)
    with contextlib.suppress(ScheduleError):
        parse_schedules(text, original=True)


def test_words():
    assert (Period.parse("HOURLY"), Option.parse("pausevm"), Type.parse("auto")) == (2, 1, 0)
    assert Period.strings() == ["minutely", "hourly", "daily", "weekly", "monthly", "yearly"]
    assert Destination.values() == [0, 1, 2]
    assert [Destination.text_of(7), Period.text_of(-1), Option.text_of(3), Type.text_of(9)] == [
        "Destination(7)", "Period(-1)", "Option(3)", "Type(9)",
    ]  # fmt: skip
    for words, name in ((Destination, "Destination"), (Option, "Option"), (Period, "Period"), (Type, "Type")):
        with pytest.raises(InvalidInput) as caught:
            words.parse("X")
        assert caught.value.reason == f"X does not belong to {name} values"
        assert str(caught.value) == f"{caught.value.reason}: accepted are {', '.join(words.strings())}"


def test_the_schema():
    from tests.fixtures.schemas import obeys

    for text in (*(text for text, _, _ in VECTORS), "daily:local=1 zone=UTC"):
        obeys(json.loads(parse_schedules(text).to_json()), "schedules")
