"""From one language to another and back: the same ticks, the same kept, or an error with its reason."""

import datetime as dt
from collections import Counter
from itertools import islice, product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.retention import GFS, KeepAge, KeepAny, KeepCount, KeepDays
from blockdiff.schedule.calendar import Cron, Daily, Every, Hourly, Minutely, Monthly, Steps, Weekly, YearDay, Yearly
from blockdiff.schedule.convert import convert, equivalents
from blockdiff.schedule.form import forms
from blockdiff.schedule.language import LANGUAGES, Context, language
from blockdiff.schedule.place import EPOCH, place_of
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.words import Destination
from tests.schedule import minutes
from tests.schedule.strategies import ZONES, calendars

BERLIN, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")
BEGINNINGS = [dt.datetime(2023, 10, 20, tzinfo=dt.UTC), dt.datetime(2031, 3, 25, tzinfo=dt.UTC)]
MANAGED = "x-snapsentry-managed=true\n"

# calendars that more than one language knows
KNOWN = st.one_of(
    st.builds(Hourly, st.integers(0, 59)),
    st.builds(Daily, st.integers(0, 23), st.sampled_from([0, 30])),
    st.builds(Weekly, st.integers(0, 6), st.integers(0, 23)),
    st.builds(Monthly, st.integers(1, 31), st.just(2), st.just(30), st.sampled_from(["skip", "last"])),
    st.builds(Yearly, st.integers(1, 12), st.integers(1, 28)),
    st.builds(YearDay, st.integers(1, 366)),
    st.builds(Steps, st.sampled_from([1, 6, 8, 12, 24, 5])),
    st.builds(Minutely, st.sampled_from([0, 0.01, 0.1, 0.2, 0.25, 0.5, 1])),
    st.builds(Every, st.sampled_from([60, 600, 3600, 21600, 86400, 604800, 5400])),
    st.builds(
        Cron, st.sampled_from(["*/5 * * * *", "0 */6 * * *", "30 2 * * *", "0 0 1 * *", "0 0 * * 7", "0 0,5 * * *"])
    ),
)
KEEPS = st.sampled_from([None, KeepCount(3), KeepDays(7), KeepAge(weeks=1), KeepAge(months=1), KeepAge(days=2)])


def rules():
    zones = st.sampled_from([dt.UTC, dt.UTC, BERLIN, KATHMANDU])
    places = st.sampled_from([Destination.LOCAL] * 5 + [Destination.REMOTE])
    return st.builds(Rule, KNOWN | calendars(), zones, KEEPS, places)


def said(rule):
    """When, how long, and where to: by the ticks alone."""
    keep = rule.keep
    if isinstance(keep, KeepDays | KeepAge):
        age = (getattr(keep, name, 0) for name in ("years", "months", "hours", "minutes", "seconds"))
        keep = (*age, keep.days + 7 * getattr(keep, "weeks", 0), str(keep.zone or rule.zone))
    ticks = tuple(tuple(islice(rule.ticks(begin), 40)) for begin in BEGINNINGS)
    return ticks, keep, rule.destination, rule.options


@given(rules(), st.sampled_from(LANGUAGES), st.sampled_from(LANGUAGES))
def test_there_and_back(rule, there, back):
    try:
        text = str(convert([rule], language(there)))
    except InvalidInput:
        return
    (read,) = language(there).parse(text, Context()).rules()
    assert said(read) == said(rule)
    try:
        again = str(convert([read], language(back)))
    except InvalidInput:
        assert back != there
        return
    (read_again,) = language(back).parse(again, Context()).rules()
    assert said(read_again) == said(rule)


@given(st.lists(rules(), max_size=4), st.sampled_from(LANGUAGES))
def test_several(several, there):
    try:
        text = str(convert(several, language(there)))
    except InvalidInput:
        return
    found = language(there).parse(text, Context()).rules()
    assert {said(rule) for rule in found} == {said(rule) for rule in several}
    assert not Counter(map(said, found)) - Counter(map(said, several))


@given(KNOWN | calendars(), st.sampled_from(ZONES))
def test_other_words_are_due_at_the_same_times(calendar, name):
    """Also in the years in which the clocks of the zone were moved most oddly."""
    zone = ZoneInfo(name)
    for begin in (dt.datetime(*date, tzinfo=dt.UTC) for date in ((2011, 10, 12), (2011, 12, 28), (2024, 3, 28))):
        wanted = list(islice(calendar.ticks(begin, zone), 80))
        for other in forms(calendar, place_of(zone)):
            assert list(islice(other.ticks(begin, zone), 80)) == wanted, other


TEXTS = [
    ("snapper", "daily:local=7@3:15", "lxd", "lxd cannot say"),
    ("snapper", "daily:local=7@3:15", "snapsentry", "start-time=03:15"),
    ("snapper", "daily:local=7@3:15", "openstorage", "hour: 3"),
    ("snapper", "daily:local=7@3:15 zone=Europe/Berlin", "snapsentry", "timezone=Europe/Berlin"),
    ("snapper", "daily:local=7@3:15 zone=Europe/Berlin", "openstorage", "names no time zone"),
    ("snapper", "minutely:local=7@10", "openstorage", "period: 600000000000"),
    ("snapper", "hourly:local=7", "openstorage", "period: 3600000000000"),
    ("snapper", "hourly:local=7@5", "openstorage", "does not say when it begins"),
    ("snapper", "monthly:local=7@31", "snapsentry", "takes the last day, and this rule takes none"),
    ("snapper", "monthly:local=7@28", "snapsentry", "day-of-month=28"),
    ("snapper", "daily:remote=1", "snapsentry", "remote is not local"),
    ("snapper", "daily:local=1 options:PauseVM", "openstorage", "PauseVM"),
    ("snapper", "daily:local=1@3,local=1@4", "snapsentry", "one daily policy only"),
    ("snapper", "daily:local=0", "openstorage", "1 or more"),
    ("snapper", "", "lxd", ""),
    ("lxd", "@daily", "snapper", "how many are kept"),
    ("lxd", "snapshots.schedule: 0 */6 * * *\nsnapshots.expiry: 1w", "snapsentry", "express-interval-hours=6"),
    ("lxd", "snapshots.schedule: 0 */6 * * *\nsnapshots.expiry: 1m", "snapsentry", "days or a number"),
    ("lxd", "snapshots.schedule: 0 1,5 * * *\nsnapshots.expiry: 1w", "snapsentry", "0 1,5 * * *"),
    ("snapsentry", MANAGED + "x-snapsentry-daily-enabled=true", "lxd", "snapshots.expiry: '2d'"),
    ("snapsentry", MANAGED + "x-snapsentry-express-enabled=true", "snapper", "how many are kept"),
    ("snapsentry", MANAGED + "x-snapsentry-daily-enabled=false", "snapper", ""),
    ("openstorage", "periodic=1440,3", "snapper", "daily:local=3@0"),
    ("openstorage", "periodic=10,3", "snapper", "minutely:local=3@10"),
    ("openstorage", "periodic=360,3", "snapsentry", "express-interval-hours=6"),
    ("openstorage", "periodic=7,3", "snapper", "nothing for"),
    ("openstorage", "periodic=10080,3", "snapper", "weekly:local=3@Thu"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text", "target", "wanted"), TEXTS)
def test_texts(source, text, target, wanted):
    found = language(source).parse(text, Context()).rules()
    try:
        answer = str(convert(found, language(target)))
    except InvalidInput as error:
        answer = str(error)
    assert wanted in answer
    assert wanted or not answer


def test_a_language_into_itself():
    for source, text, _, _ in TEXTS:
        found = language(source).parse(text, Context()).rules()
        again = language(source).parse(str(convert(found, language(source))), Context()).rules()
        assert {said(rule) for rule in again} == {said(rule) for rule in found}


def test_the_zone_of_what_is_kept_stays():
    """An interval has no zone, but the days for which its snapshots are kept have one."""
    for keep, wanted in [
        (KeepDays(3), KeepDays(3, BERLIN)),
        (GFS(daily=3), GFS(daily=3, zone=BERLIN)),
        (KeepAny((KeepCount(1), KeepDays(3))), KeepAny((KeepCount(1), KeepDays(3, BERLIN)))),
        (KeepDays(3, KATHMANDU), KeepDays(3, KATHMANDU)),
    ]:
        moved = [rule for rule in equivalents(Rule(Every(60), BERLIN, keep)) if rule.zone is dt.UTC]
        assert moved
        assert wanted in [rule.keep for rule in moved]
    with pytest.raises(InvalidInput):
        convert([Rule(Minutely(), BERLIN, KeepDays(3))], language("lxd"))


def test_what_differs_where_clocks_change():
    place = place_of(BERLIN)
    assert Daily(2, 30) not in forms(Cron("30 2 * * *"), place)
    assert Daily(4, 30) in forms(Cron("30 4 * * *"), place)
    assert Hourly(0) not in forms(Steps(1), place)
    assert Every(86400) not in forms(Daily(), place)
    assert Every(86400) in forms(Daily(), place_of(dt.UTC))
    east = dt.timezone(dt.timedelta(hours=5, minutes=45))
    assert Every(86400, EPOCH + dt.timedelta(hours=18, minutes=15)) in forms(Daily(), place_of(east))
    assert Minutely(0.2) in forms(Cron("*/5 * * * *"), place_of(east))
    assert Minutely(0.05) not in forms(Cron("*/20 * * * *"), place_of(east))


def test_the_oracle_agrees():
    begin, until = dt.datetime(2024, 3, 1, tzinfo=dt.UTC), dt.datetime(2024, 11, 30, tzinfo=dt.UTC)
    for calendar, zone in product([Cron("30 4 * * *"), Steps(24), YearDay(40), Cron("0 0 7 * *")], [BERLIN, KATHMANDU]):
        answers = {
            tuple(minutes.ticks(one, begin, until, zone))
            for one in forms(calendar, place_of(zone))
            if not isinstance(one, Every | Minutely)
        }
        assert len(answers) == 1


def test_what_snapper_has_no_words_for():
    snapper = language("snapper")
    for calendar in (Monthly(31, short="last"), Minutely(0.005), Steps(6), Every(60), Cron("0 0 * * 1-5")):
        with pytest.raises(InvalidInput, match="snapper cannot say"):
            snapper.from_rules([Rule(calendar, keep=KeepCount(1))])
    assert str(snapper.from_rules([Rule(Monthly(28, short="last"), keep=KeepCount(1))])) == "monthly:local=1@28"


class Forgetful:
    """A language that writes something else than it is told."""

    name = "forgetful"

    def __init__(self, text):
        self.text = text

    def parse(self, text, context):
        return language("snapper").parse(text, context)

    def from_rules(self, rules):
        return language("snapper").parse(self.text, Context())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("daily:local=4@3", "something else"),
        ("daily:remote=3@3", "something else"),
        ("daily:local=3@3 options:PauseVM", "something else"),
        ("daily:local=3@4", "something else"),
        ("daily:local=3@3 zone=Europe/Berlin", "something else"),
        ("", "something else"),
        ("daily:local=3@3,local=3@4", "would say more"),
    ],
)
def test_what_is_written_is_read_again(text, why):
    (rule,) = language("snapper").parse("daily:local=3@3", Context()).rules()
    with pytest.raises(InvalidInput, match=why):
        convert([rule], Forgetful(text))
