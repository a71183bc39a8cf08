"""Expiry: the vectors of the facts, and Go's AddDate."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.pool.lxd.expiry import Expiry, ExpiryError
from blockdiff.retention import KeepAge, KeepCount, KeepDays
from blockdiff.retention.choice import until
from blockdiff.schedule.civil import add_date

BERLIN = ZoneInfo("Europe/Berlin")


def utc(*fields):
    return dt.datetime(*fields, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "start", "wanted"),
    [
        ("1M 2H 3d 4w 5m 6y", (2000, 1, 1), (2006, 7, 2, 2, 1)),
        ("5S 1M 2H 3d 4y", (2000, 1, 1), (2004, 1, 4, 2, 1, 5)),
        ("0M 0H 0d 0w 0m 0y", (2000, 1, 1), (2000, 1, 1)),
        ("0M 0M", (2000, 1, 1), (2000, 1, 1)),
        ("0d 1d", (2000, 1, 1), (2000, 1, 2)),
        ("007d", (2000, 1, 1), (2000, 1, 8)),
        ("1m", (2023, 1, 31), (2023, 3, 3)),  # runs over
        ("1m", (2024, 1, 31), (2024, 3, 2)),
        ("1y", (2024, 2, 29), (2025, 3, 1)),
        ("6y 5m 4w 3d 2H 1M", (2000, 1, 1), (2006, 7, 2, 2, 1)),
        ("1d 24H", (2000, 12, 30), (2001, 1, 1)),
    ],
)
def test_vectors(text, start, wanted):
    assert Expiry.parse(text).apply(utc(*start)) == utc(*wanted)


@pytest.mark.parametrize(
    ("text", "column", "length"),
    [
        ("1z", 1, 2),
        ("1M 1M", 4, 2),
        ("1d 0d", 4, 2),
        ("1d  1M", 4, 1),
        (" ", 1, 1),
        (" 1d", 1, 1),
        ("1d ", 4, 1),
        ("d", 1, 1),
        ("1", 1, 1),
        ("-1d", 1, 3),
        ("+1d", 1, 3),
        ("1.5d", 1, 4),
        ("1d\t2w", 1, 5),
        ("1d,2w", 1, 5),
        ("٣d", 1, 2),
        ("1D", 1, 2),
        ("1h", 1, 2),
        ("9223372036854775808S", 1, 20),
        ("1d\n", 1, 2),
        ("never", 1, 5),
        ("9" * 5000 + "S", 1, 100),  # as much as is shown
    ],
)
def test_errors(text, column, length):
    with pytest.raises(ExpiryError, match=r"^Invalid expiry expression") as caught:
        Expiry.parse(text)
    assert caught.value.column == column
    assert str(caught.value).endswith(" " * (column + 3) + "^" * min(length, 100))


def test_an_empty_text_is_never():
    assert Expiry.parse("") is None


def test_days_go_by_the_clocks_hours_do_not():
    ref = dt.datetime(2024, 3, 30, 12, tzinfo=BERLIN)
    assert Expiry.parse("1d").apply(ref) == dt.datetime(2024, 3, 31, 12, tzinfo=BERLIN)
    assert Expiry.parse("24H").apply(ref) == dt.datetime(2024, 3, 31, 13, tzinfo=BERLIN)
    skipped = dt.datetime(2024, 3, 30, 2, 30, tzinfo=BERLIN)
    assert Expiry.parse("1d").apply(skipped).isoformat() == "2024-03-31T03:30:00+02:00"


@pytest.mark.parametrize("text", ["8000y", "9223372036854775807S", "9223372036854775807y", "99999999999d"])
def test_beyond_all_calendars(text):
    with pytest.raises(InvalidInput, match="9999"):
        Expiry.parse(text).apply(utc(2024, 1, 1))


def test_a_time_needs_a_zone():
    with pytest.raises(InvalidInput, match="no time zone"):
        Expiry(days=1).apply(dt.datetime(2024, 1, 1))


small = st.integers(0, 50)
expiries = st.builds(Expiry, small, small, small, small, small, small, small)


@given(expiries)
def test_text_and_json_go_round(expiry):
    assert Expiry.parse(str(expiry)) == expiry
    assert Expiry.from_json(expiry.to_json()) == expiry
    assert Expiry.of(expiry.keep()) == expiry


@given(expiries, st.permutations("SMHdwmy"))
def test_the_order_of_units_does_not_matter(expiry, letters):
    units = dict(zip("ymwdHMS", expiry, strict=True))
    assert Expiry.parse(" ".join(f"{units[letter]}{letter}" for letter in letters)) == expiry


@given(expiries, st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(BERLIN)))
def test_against_the_rule_written_out(expiry, ref):
    years, months, weeks, days, hours, minutes, seconds = expiry
    moved = add_date(ref, years, months, days + 7 * weeks).timestamp()
    assert expiry.apply(ref).timestamp() == pytest.approx(moved + hours * 3600 + minutes * 60 + seconds, abs=1e-3)


@given(expiries, st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(BERLIN)))
def test_nothing_expires_before_it_was_made(expiry, ref):
    assume(any(expiry))
    assert expiry.apply(ref) > ref


@given(expiries, st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(BERLIN)))
def test_retention_ends_when_it_expires(expiry, ref):
    assume(any(expiry))
    assert until(expiry.keep(), ref, BERLIN) == expiry.apply(ref)


def test_as_retention():
    assert Expiry.parse("1y 2d").keep(BERLIN) == KeepAge(years=1, days=2, zone=BERLIN)
    assert Expiry.of(KeepDays(7)) == Expiry(days=7)
    with pytest.raises(InvalidInput, match="lxd cannot say count=7: it has an age only"):
        Expiry.of(KeepCount(7))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"days":-1}', '{"days":1.5}', '{"day":1}', '{"days":9223372036854775808}', b"\xff"]
)
def test_bad_json(text):
    with pytest.raises(InvalidInput, match=r"^no expiry"):
        Expiry.from_json(text)


def test_json():
    assert Expiry.from_json("{}") == Expiry()
    assert Expiry(days=1).to_json() == (b'{"years":0,"months":0,"weeks":0,"days":1,"hours":0,"minutes":0,"seconds":0}')


@given(st.text("0123456789SMHdwmy -+x", max_size=12))
def test_any_text_is_an_expiry_or_an_error(text):
    try:
        found = Expiry.parse(text)
    except ExpiryError:
        return
    assert (found is None) == (text == "")
