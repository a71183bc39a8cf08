"""Names of snapshots: the original's vectors, and every name that it would misread."""

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.schedule import Period, Schedule, Schedules, Type
from blockdiff.tag import Tag, TagError, parse_tag_time

TIME = dt.datetime(2020, 1, 2, 3, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("auto-v2-hourly-202001020300-4", Tag(Period.HOURLY, TIME, vm=4, version=2)),
        ("auto-v2-hourly-202001020300-m4", Tag(Period.HOURLY, TIME, vm=4, rbd="4", version=2)),
        ("auto-v3-weekly-202001020300-4", Tag(Period.WEEKLY, TIME, vm=4, version=3)),
        ("auto-v3-hourly-202001020300--1", Tag(Period.HOURLY, TIME, vm=-1, version=3)),
        ("manual-v3-hourly-202001020300-image-name", Tag(Period.HOURLY, TIME, rbd="image-name", version=3)),
    ],
)
def test_vectors(text, tag):
    assert Tag.parse(text) == tag
    assert str(tag) == text
    assert Tag.parse(text.replace("hourly", "HOURLY")) == tag
    assert tag.type is (Type.MANUAL if tag.rbd else Type.AUTO)


def test_version_0_is_2():
    assert str(Tag(Period.DAILY, TIME, vm=7)) == "auto-v2-daily-202001020300-7"
    assert str(Tag(Period.DAILY, TIME, vm=7, version=4)) == ""
    assert str(Tag()) == ""
    assert Tag().is_zero


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'invalid tag ""'),
        ("auto-v2-hourly-202001020300", "invalid tag"),
        ("auto-v4-hourly-202001020300-4", "invalid tag"),
        ("manual-v2-hourly-202001020300-4", 'cannot parse "manual-v2-hourly-202001020300-4": invalid prefix'),
        ("other-v3-hourly-202001020300-4", "invalid tag"),
        ("auto-v2-often-202001020300-4", 'invalid period "often"'),
        ("auto-v2-hourly-2020010203-4", 'invalid time "2020010203"'),
        ("auto-v2-hourly-202002300300-4", 'invalid time "202002300300"'),
        ("auto-v2-hourly-202001022400-4", "invalid time"),
        ("auto-v2-hourly-202001020300-x", 'invalid VM ID "x"'),
        ("auto-v2-hourly-202001020300-mx", 'invalid VM ID "x"'),
        ("auto-v3-hourly-202001020300-", 'invalid VM ID ""'),
        ("manual-v3-hourly-202001020300-", "it names no image"),
        ("auto-v2-often-2020-x", 'invalid period "often"'),
        ("auto-v2-daily-2020-x", 'invalid time "2020"'),
        ("auto-v3-often-2020-x", 'invalid VM ID "x"'),
        ("manual-v3-often-2020-x", 'invalid period "often"'),
    ],
)
def test_errors(text, words):
    with pytest.raises(TagError) as caught:
        Tag.parse(text)
    assert words in str(caught.value)


def test_times():
    assert parse_tag_time("202001020300") == TIME
    assert Tag(Period.DAILY, TIME.astimezone(dt.timezone(dt.timedelta(hours=2)))).__str__().endswith("202001020500-0")
    for text in ("20200102030", "2020010203000", "２02001020300", "+02001020300"):
        with pytest.raises(TagError):
            parse_tag_time(text)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("auto-v2-yearly-202003010000-4", "yearly:local=1@Mar"),
        ("auto-v2-yearly-202003020000-4", "yearly:local=1@062"),
        ("auto-v2-monthly-202003020000-4", "monthly:local=1@2"),
        ("auto-v2-weekly-202001020000-4", "weekly:local=1@Thu"),
        ("auto-v2-daily-202001020300-4", "daily:local=1@3"),
        ("auto-v2-hourly-202001020317-4", "hourly:local=1@17"),
        ("auto-v2-minutely-202001020317-4", "minutely:local=1@100"),
        ("auto-v2-weekly-202001020317-4", "weekly:local=1@Thu/03:17"),  # the original forgets the time
    ],
)
def test_schedule(text, schedule):
    made = Tag.parse(text).schedule()
    assert str(Schedules([made])) == schedule
    assert made.is_time(Tag.parse(text).time)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("auto-v2-daily-202607010115-4", "daily:local=1@03:15 zone=Europe/Berlin"),
        ("auto-v2-daily-202601010215-4", "daily:local=1@03:15 zone=Europe/Berlin"),
        ("auto-v2-weekly-202601312330-4", "weekly:local=1@Sun/00:30 zone=Europe/Berlin"),
        ("auto-v2-monthly-202601312330-4", "monthly:local=1@1/00:30 zone=Europe/Berlin"),
        ("auto-v2-yearly-202512312330-4", "yearly:local=1@Jan/00:30 zone=Europe/Berlin"),
    ],
)
def test_schedule_of_a_zone(text, schedule):
    assert str(Schedules([Tag.parse(text).schedule("Europe/Berlin")])) == schedule


def test_the_ends_of_the_calendar():
    with pytest.raises(TagError, match="end of the calendar"):
        Tag.parse("auto-v2-daily-000101010000-4").schedule("America/New_York")
    with pytest.raises(TagError, match='invalid time "000001010000"'):  # the original has a year 0
        Tag.parse("auto-v2-daily-000001010000-4")


def test_nothing_set():
    assert Tag().schedule() == Schedule()


@given(
    st.sampled_from(Period),
    st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31), timezones=st.just(dt.UTC)),
    st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.text(min_size=1)),
)
def test_round_trip(period, time, who):
    time = time.replace(second=0, microsecond=0)
    if isinstance(who, str):
        tags = [Tag(period, time, rbd=who, version=3)]
    else:
        tags = [Tag(period, time, vm=who, version=version) for version in (2, 3)]
    for tag in tags:
        assert Tag.parse(str(tag)) == tag


@given(st.text(alphabet="auto-v23manualhourly0123456789x", max_size=50))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(TagError):
        tag = Tag.parse(text)
        assert Tag.parse(str(tag)) == tag


@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
def test_a_time_without_a_zone_has_no_schedule(zone):
    """It would be taken for one of the clock of the machine."""
    with pytest.raises(TagError, match="no time zone"):
        Tag(Period.DAILY, dt.datetime(2020, 1, 2, 3), 4).schedule(zone)


@pytest.mark.parametrize("kind", ["auto-v2", "auto-v3"])
def test_machines_have_numbers_of_64_bits(kind):
    assert Tag.parse(f"{kind}-daily-202001020300-{(1 << 63) - 1}").vm == (1 << 63) - 1
    for number in (1 << 63, 10**24):
        with pytest.raises(TagError, match="invalid VM ID"):
            Tag.parse(f"{kind}-daily-202001020300-{number}")
