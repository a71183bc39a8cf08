"""The five fields against a naive reading of robfig/cron's rules, minute by minute, and its own vectors."""

import datetime as dt
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.pool.lxd.cronspec import CronFault, meaning, read
from blockdiff.schedule.calendar import Cron, Daily, Hourly, Minutely, Monthly, Steps, Weekly, Yearly

MINUTE = dt.timedelta(minutes=1)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = (
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
)  # fmt: skip


def number(text):
    for names, first in zip(NAMES, (1, 0), strict=True):
        if text in names:
            return names.index(text) + first
    return int(text)


def naive(word, least, most):
    """The values, and robfig's star bit."""
    values, star_bit = set(), False
    for item in filter(None, word.split(",")):
        span, _, step = item.partition("/")
        ends = span.split("-")
        if span in ("*", "?"):
            low, high = least, most
            star_bit = star_bit or step in ("", "1")
        else:
            low, high = number(ends[0]), number(ends[-1])
            if step and len(ends) == 1:
                high = most
        values |= set(range(low, high + 1, int(step or 1)))
    return values, star_bit


@lru_cache(64)
def naive_fields(text):
    return [naive(word, *bounds) for word, bounds in zip(text.split(), BOUNDS, strict=True)]


@lru_cache(4096)
def fits_day(text, date):
    _, _, day, month, weekday = naive_fields(text)
    both = (date.day in day[0], date.isoweekday() % 7 in weekday[0])
    return date.month in month[0] and (all(both) if day[1] or weekday[1] else any(both))


def fits(text, time):
    minute, hour = naive_fields(text)[:2]
    return time.minute in minute[0] and time.hour in hour[0] and fits_day(text, time.date())


def ticks(text, begin, end, zone=dt.UTC):
    calendar = meaning(read(text))
    return list(takewhile(lambda tick: tick <= end, calendar.ticks(begin, zone)))


def walk(text, begin, end):
    found, tick = [], begin.replace(second=0, microsecond=0)
    while (tick := tick + MINUTE) <= end:
        if fits(text, tick):
            found.append(tick)
    return found


@st.composite
def words(draw, least, most, names=()):
    def ranges():
        shown = st.integers(least, most).map(str)
        if names:
            shown |= st.sampled_from(names)
        pair = st.tuples(shown, shown).filter(lambda ends: number(ends[0]) <= number(ends[1])).map("-".join)
        span = st.sampled_from("*?") | shown | pair
        return st.tuples(span, st.just("") | st.integers(1, most + 5).map("/{}".format)).map("".join)

    return draw(st.just("*") | st.lists(ranges(), min_size=1, max_size=3).map(",".join))


specs = st.tuples(*(words(*bounds) for bounds in BOUNDS[:3]), words(1, 12, NAMES[0]), words(0, 6, NAMES[1])).map(
    " ".join
)
begins = st.datetimes(dt.datetime(2023, 1, 1), dt.datetime(2025, 1, 1), timezones=st.just(dt.UTC))


def legal(text):
    try:
        return bool(read(text))
    except CronFault as error:
        assert "it is never due" in str(error)  # noqa: PT017
        return False


@settings(max_examples=30)
@given(specs.filter(legal), begins)
def test_against_every_minute_of_a_day(text, begin):
    end = begin + dt.timedelta(days=1, hours=6)
    assert ticks(text, begin, end) == walk(text, begin, end)


@settings(max_examples=40)
@given(specs, st.dates(dt.date(2023, 1, 1), dt.date(2028, 12, 31)))
def test_against_the_days_of_a_year(text, date):
    """The days alone: one minute of each of 400 days."""
    text = "7 3 " + text.split(" ", 2)[2]
    begin = dt.datetime.combine(date, dt.time(3, 6), dt.UTC)
    wanted = [time for n in range(400) if fits(text, time := begin + MINUTE + dt.timedelta(days=n))]
    if legal(text):
        assert ticks(text, begin, begin + dt.timedelta(days=399, minutes=1)) == wanted
    else:
        assert not wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "*/7 */5 * * *",
        "0 0 1,15 * sun",
        "30 2 */2 * mon",
        "5-5/10 1-3 ? feb-apr 1/2",
        "59 23 29 2 *",
        "0 0 1/1 * 1",
        "? ? ? ? 0-6/6",
    ],
)
def test_against_every_minute_of_five_years(text):
    begin, end = dt.datetime(2023, 12, 30, tzinfo=dt.UTC), dt.datetime(2028, 3, 2, tzinfo=dt.UTC)
    assert ticks(text, begin, end) == walk(text, begin, end)


@pytest.mark.parametrize(
    ("time", "text", "due"),
    [
        ("2012-07-09 15:00", "0/15 * * * *", True),
        ("2012-07-09 15:45", "0/15 * * * *", True),
        ("2012-07-09 15:40", "0/15 * * * *", False),
        ("2012-07-09 15:05", "5/15 * * * *", True),
        ("2012-07-09 15:50", "5/15 * * * *", True),
        ("2012-07-15 15:00", "0/15 * * jul *", True),
        ("2012-07-15 15:00", "0/15 * * jun *", False),
        ("2012-07-15 08:30", "30 08 ? jul sun", True),
        ("2012-07-15 08:30", "30 08 15 jul ?", True),
        ("2012-07-16 08:30", "30 08 ? jul sun", False),
        ("2012-07-16 08:30", "30 08 15 jul ?", False),
        ("2012-07-15 00:00", "* * 1,15 * sun", True),
        ("2012-06-15 00:00", "* * 1,15 * sun", True),
        ("2012-08-01 00:00", "* * 1,15 * sun", True),
        ("2012-07-15 00:00", "* * */10 * sun", True),
        ("2012-07-15 00:00", "* * * * mon", False),
        ("2012-07-09 00:00", "* * 1,15 * *", False),
        ("2012-07-15 00:00", "* * 1,15 * *", True),
        ("2012-07-15 00:00", "* * */2 * sun", True),
    ],
)
def test_the_librarys_vectors(time, text, due):
    tick = dt.datetime.fromisoformat(time).replace(tzinfo=dt.UTC)
    assert (ticks(text, tick - MINUTE, tick) == [tick]) is due
    assert fits(text, tick) is due


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("* * * * *", Minutely()),
        ("7 * * * *", Hourly(7)),
        ("7 ? ? ? ?", Hourly(7)),
        ("7 3 * * *", Daily(3, 7)),
        ("7 3 * * sun", Weekly(0, 3, 7)),
        ("7 3 9 * *", Monthly(9, 3, 7)),
        ("7 3 31 * *", Monthly(31, 3, 7)),
        ("7 3 29 2 *", Yearly(2, 29, 3, 7)),
        ("7 */6 * * *", Steps(6, 7)),
        ("7 */24 * * *", Daily(0, 7)),
        ("7 */5 * * *", Steps(5, 7)),
        ("7 */6 * * mon", Cron("7 */6 * * 1")),
        ("7 */6 1 * *", Cron("7 */6 1 * *")),
        ("7 */6 * jan *", Cron("7 */6 * 1 *")),
        ("7 * * * mon", Cron("7 * * * 1")),
        ("7 * 1 * *", Cron("7 * 1 * *")),
        ("* * * jan *", Cron("* * * 1 *")),
        ("7 3 * jan *", Cron("7 3 * 1 *")),
        ("7 3 * * mon,tue", Cron("7 3 * * 1,2")),
        ("7 3 9 * mon", Cron("7 3 9 * 1")),
        ("7 3 9 jan mon", Cron("7 3 9 1 1")),
        ("5-5/10 3-3 * * *", Daily(3, 5)),
        ("*/15 * * * *", Cron("*/15 * * * *")),
        ("0-59 * * * *", Cron("0-59 * * * *")),
        ("+5 08 * * *", Daily(8, 5)),
        ("1,,2 3 * * *", Cron("1,2 3 * * *")),
        ("0 0 */2 * mon", Cron("0 0 1-31/2 * 1")),
        ("0 0 1/1 * mon", Cron("0 0 1-31 * 1")),
        ("0 0 */1 * mon", Weekly(1)),
        ("0 0 5,* * mon", Weekly(1)),
        ("0 0 * * 1/2", Cron("0 0 * * 1-5/2")),
        ("0 0 * * */7", Weekly(0)),
        ("0 0 * * sat", Weekly(6)),
        ("0 0 1 * 1", Cron("0 0 1 * 1")),
        ("0 0 1 jan,feb *", Cron("0 0 1 1,2 *")),
        ("*/99 */99 * * *", Daily(0, 0)),
    ],
)
def test_meaning(text, wanted):
    assert meaning(read(text)) == wanted


FORM = "Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>"


@pytest.mark.parametrize(
    ("text", "start", "length", "error"),
    [
        ("", 0, 0, FORM),
        ("* * * *", 0, 7, FORM),
        ("* * * * * *", 0, 11, FORM),
        ("*  * * *", 2, 1, FORM + ", with one space between them"),
        ("*\t* * * * *", 0, 3, FORM + ", with one space between them"),
        ("60 * * * *", 0, 2, "end of range (60) above maximum (59): 60"),
        ("* 24 * * *", 2, 2, "end of range (24) above maximum (23): 24"),
        ("* * 0 * *", 4, 1, "beginning of range (0) below minimum (1): 0"),
        ("* * * 13 *", 6, 2, "end of range (13) above maximum (12): 13"),
        ("* * * * 7", 8, 1, "end of range (7) above maximum (6): 7; Sunday is 0"),
        ("* * * * 1-7", 8, 3, "end of range (7) above maximum (6): 1-7; Sunday is 0"),
        ("* * * * sat-sun", 8, 7, "beginning of range (6) beyond end of range (0): sat-sun"),
        ("30-10 * * * *", 0, 5, "beginning of range (30) beyond end of range (10): 30-10"),
        ("1-2-3 * * * *", 0, 5, "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", 0, 5, "too many slashes: */2/3"),
        ("*/0 * * * *", 0, 3, "step of range should be a positive number: */0"),
        ("*/-5 * * * *", 0, 4, "negative number (-5) not allowed: -5"),
        ("-5 * * * *", 0, 2, 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("*/ * * * *", 0, 2, 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("1, x * * *", 3, 1, 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * L * *", 4, 1, 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
        ("* * lw * *", 4, 2, "failed to parse int from lw"),
        ("* * 15w * *", 4, 3, "failed to parse int from 15w"),
        ("* * * * 5#2", 8, 3, "failed to parse int from 5#2"),
        ("* * * * 5l", 8, 2, "failed to parse int from 5l"),
        ("jan * * * *", 0, 3, "failed to parse int from jan"),
        ("* * * january *", 6, 7, "failed to parse int from january"),
        ("* * * * */mon", 8, 5, "failed to parse int from mon"),
        ("٣ * * * *", 0, 1, "failed to parse int from ٣"),
        ("9999999999999999999999 * * * *", 0, 22, "value out of range"),
        ("** * * * *", 0, 2, "failed to parse int from **"),
        ("*-5 * * * *", 0, 3, "no range begins with *: *-5"),
        ("* * ?-x * *", 4, 3, "no range begins with ?: ?-x"),
        (", * * * *", 0, 1, "no minute is named: it is never due"),
        ("0 0 30 2 *", 0, 10, "no date is such a day: it is never due"),
        ("0 0 31 4,6,9,11 ?", 0, 17, "no date is such a day: it is never due"),
    ],
)  # fmt: skip
def test_errors(text, start, length, error):
    with pytest.raises(CronFault) as caught:
        read(text)
    assert (caught.value.start, caught.value.length) == (start, length)
    assert error in str(caught.value)
    assert str(caught.value).startswith(("Schedule must be of the form: ", "Error parsing schedule: "))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("*-5 * * * *", Minutely()),
        ("0 0 30 2 *", None),
        (", * * * *", None),
        ("0 0 ?-x * *", Daily()),
        ("* * , , ,", None),
    ],
)
def test_what_only_the_original_takes(text, wanted):
    assert meaning(read(text, original=True)) == wanted


def test_never_is_told_only_if_it_is_never():
    assert meaning(read("0 0 30 2 mon")) == Cron("0 0 30 2 1")  # Mondays of February: one of the two is enough
    assert meaning(read("0 0 29-31 2 *")) == Cron("0 0 29-31 2 *")
    assert meaning(read("0 0 31 4,5 *")) == Cron("0 0 31 4,5 *")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30 2 * * *", ["2024-03-31T01:30", "2024-04-01T00:30"]),  # skipped: as much later, 03:30
        ("15,45 2 * * *", ["2024-03-31T01:00", "2024-04-01T00:15", "2024-04-01T00:45"]),  # once, at the end of the gap
        ("*/30 2 * * *", ["2024-04-01T00:00", "2024-04-01T00:30"]),  # by the hands of the clock
        ("30 * 31 3 *", ["2024-03-30T23:30", "2024-03-31T00:30", "2024-03-31T01:30"]),
    ],
)
def test_clocks_that_skip(text, wanted):
    begin = dt.datetime(2024, 3, 30, 12, tzinfo=dt.UTC)
    found = ticks(text, begin, begin + dt.timedelta(days=2), ZoneInfo("Europe/Berlin"))
    assert [f"{tick:%Y-%m-%dT%H:%M}" for tick in found][: len(wanted)] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30 2 * * *", ["2024-10-27T00:30", "2024-10-28T01:30"]),  # shown twice: once
        ("*/30 2 27 10 *", ["2024-10-27T00:00", "2024-10-27T00:30", "2024-10-27T01:00", "2024-10-27T01:30"]),
    ],
)
def test_clocks_that_repeat(text, wanted):
    begin = dt.datetime(2024, 10, 26, 12, tzinfo=dt.UTC)
    found = ticks(text, begin, begin + dt.timedelta(days=2), ZoneInfo("Europe/Berlin"))
    assert [f"{tick:%Y-%m-%dT%H:%M}" for tick in found] == wanted


@given(st.text("0123456789*/?-,+ abcdefjlmnosuw#", max_size=20))
def test_any_text_is_fields_or_an_error(text):
    try:
        calendar = meaning(read(text))
    except CronFault as error:
        assert error.length <= max(1, len(text))  # noqa: PT017
        return
    assert next(calendar.ticks(dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))


@pytest.mark.parametrize(
    ("text", "skipped", "shown_twice"),
    [  # the table of docs/schedules/lxd.md
        ("30 2 * * *", ["03:30"], ["02:30+0200"]),
        ("30 2 * * sun", ["03:30"], ["02:30+0200"]),
        ("30 */2 * * *", ["03:30"], ["02:30+0200"]),
        ("30 2 27,31 * *", ["03:00"], ["02:30+0200"]),
        ("30 2 * * sat,sun", ["03:00"], ["02:30+0200"]),
        ("15,45 2 * * *", ["03:00"], ["02:15+0200", "02:45+0200"]),
        ("30 * * * *", ["03:30"], ["02:30+0200", "02:30+0100"]),
        ("*/30 2 * * *", [], ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
        ("? 2 * * *", [], [f"02:{minute:02}+0{hour}00" for hour in (2, 1) for minute in range(60)]),
    ],
)
def test_the_table_of_clocks_that_change(text, skipped, shown_twice):
    zone = ZoneInfo("Europe/Berlin")

    def shown(*when, form):
        begin = dt.datetime(*when, tzinfo=zone).astimezone(dt.UTC) - MINUTE
        return [tick.astimezone(zone).strftime(form) for tick in ticks(text, begin, begin + 2 * 60 * MINUTE, zone)]

    assert [time for time in shown(2024, 3, 31, 1, 31, form="%H:%M") if time < "03:31"] == skipped
    assert [time for time in shown(2024, 10, 27, 2, form="%H:%M%z") if time < "03"] == shown_twice
