"""Go layouts: the vectors of Go's own tests and documentation, every element, and a slow reading as the oracle."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.pool.lxd.layout import ELEMENTS, write_time

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
# Go's is 21:00:57.0123456; the last digit is more than Python has
SAMPLE = dt.datetime(2009, 2, 4, 21, 0, 57, 12345, tzinfo=LOS_ANGELES)
REFERENCE = dt.datetime(2006, 1, 2, 15, 4, 5, tzinfo=ZoneInfo("America/Denver"))


@pytest.mark.parametrize(
    ("layout", "wanted"),
    [
        ("Mon Jan _2 15:04:05 2006", "Wed Feb  4 21:00:57 2009"),  # ANSIC
        ("Mon Jan _2 15:04:05 MST 2006", "Wed Feb  4 21:00:57 PST 2009"),
        ("Mon Jan 02 15:04:05 -0700 2006", "Wed Feb 04 21:00:57 -0800 2009"),
        ("02 Jan 06 15:04 MST", "04 Feb 09 21:00 PST"),
        ("02 Jan 06 15:04 -0700", "04 Feb 09 21:00 -0800"),
        ("Monday, 02-Jan-06 15:04:05 MST", "Wednesday, 04-Feb-09 21:00:57 PST"),
        ("Mon, 02 Jan 2006 15:04:05 MST", "Wed, 04 Feb 2009 21:00:57 PST"),
        ("2006-01-02T15:04:05Z07:00", "2009-02-04T21:00:57-08:00"),
        ("2006-01-02T15:04:05.999999999Z07:00", "2009-02-04T21:00:57.012345-08:00"),
        ("3:04PM", "9:00PM"),
        ("3pm", "9pm"),
        ("3PM", "9PM"),
        ("06 01 02", "09 02 04"),
        ("Hi Janet, the Month is January", "Hi Janet, the Month is February"),
        ("Jan _2 15:04:05", "Feb  4 21:00:57"),
        ("Jan _2 15:04:05.000", "Feb  4 21:00:57.012"),
        ("Jan _2 15:04:05.000000", "Feb  4 21:00:57.012345"),
        ("Jan _2 15:04:05.000000000", "Feb  4 21:00:57.012345000"),
        ("Jan  2 002 __2 2", "Feb  4 035  35 4"),
        ("01/02 03:04:05PM '06 -0700", "02/04 09:00:57PM '09 -0800"),
        ("2006-01-02 15:04:05", "2009-02-04 21:00:57"),
        ("2006-01-02_15-04-05", "2009-02-04_21-00-57"),  # the one of the documentation of LXD
        # what is no element
        ("_2006", "_2009"),
        ("__2006", " 35009"),
        ("00", "00"),
        ("07", "07"),
        ("0", "0"),
        ("-08", "-08"),
        ("7 8 9", "7 8 9"),
        ("Z0", "Z0"),
        (".01", ".02"),
        (".0001", ".0002"),
        (".9a", "a"),
        (",000", ",012"),
        (".999999999999", ".012345"),
        (".000000000000", ".012345000"),
        ("Januaryx", "Februaryx"),
        ("JanX", "FebX"),
        ("Mondays", "Wednesdays"),
        ("MonX", "WedX"),
        ("20060102", "20090204"),
        ("20061", "20092"),
        ("1516", "2126"),
        ("200600201", "200903502"),
        ("200600204", "200903500"),
        ("ÄJanß 2ö", "ÄFebß 4ö"),
        ("", ""),
    ],
)
def test_vectors(layout, wanted):
    assert write_time(SAMPLE, layout) == wanted


@pytest.mark.parametrize(
    ("offset", "texts"),
    [
        (0, ["+00", "+0000", "+00:00", "+000000", "+00:00:00", "Z"]),
        (-(8 * 3600), ["-08", "-0800", "-08:00", "-080000", "-08:00:00", "-08:00"]),
        (4 * 3600 + 20 * 60, ["+04", "+0420", "+04:20", "+042000", "+04:20:00", "+04:20"]),
        (-(9 * 3600 + 17 * 60 + 8), ["-09", "-0917", "-09:17", "-091708", "-09:17:08", "-09:17"]),
        (1172, ["+00", "+0019", "+00:19", "+001932", "+00:19:32", "+00:19"]),
        (-30, ["+00", "+0000", "+00:00", "+000030", "+00:00:30", "+00:00"]),  # so does Go
    ],
)
def test_offsets(offset, texts):
    time = dt.datetime(2024, 5, 1, tzinfo=dt.timezone(dt.timedelta(seconds=offset)))
    layouts = ["-07", "-0700", "-07:00", "-070000", "-07:00:00", "Z07:00"]
    assert [write_time(time, layout) for layout in layouts] == texts
    if offset:
        assert [write_time(time, "Z" + layout[1:]) for layout in layouts[:5]] == texts[:5]
    else:
        assert {write_time(time, "Z" + layout[1:]) for layout in layouts[:5]} == {"Z"}


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        (dt.UTC, "UTC"),
        (ZoneInfo("UTC"), "UTC"),
        (ZoneInfo("Europe/Berlin"), "CEST"),
        (ZoneInfo("America/Sao_Paulo"), "-03"),
        (dt.timezone(dt.timedelta(hours=-5), "EST"), "EST"),
        (dt.timezone(dt.timedelta(hours=-5)), "-0500"),
        (dt.timezone(dt.timedelta(minutes=330)), "+0530"),
    ],
)
def test_names_of_zones(zone, wanted):
    assert write_time(dt.datetime(2024, 7, 1, tzinfo=zone), "MST") == wanted


@pytest.mark.parametrize(
    ("hour", "wanted"), [(0, "12 12 AM"), (1, "1 01 AM"), (11, "11 11 AM"), (12, "12 12 PM"), (13, "1 01 PM")]
)
def test_hours_of_twelve(hour, wanted):
    assert write_time(dt.datetime(2024, 1, 1, hour, tzinfo=dt.UTC), "3 03 PM") == wanted


@pytest.mark.parametrize(
    ("day", "wanted"), [(1, " 1|  1|001"), (9, " 9|  9|009"), (10, "10| 10|010"), (31, "31| 31|031")]
)
def test_padded_with_spaces(day, wanted):
    assert write_time(dt.datetime(2024, 1, day, tzinfo=dt.UTC), "_2|__2|002") == wanted


def test_the_last_day_of_a_leap_year():
    assert write_time(dt.datetime(2024, 12, 31, tzinfo=dt.UTC), "002") == "366"


def test_early_years_have_four_digits():
    assert write_time(dt.datetime(9, 1, 1, tzinfo=dt.UTC), "2006 06") == "0009 09"


@pytest.mark.parametrize(
    "element", [one for one in ELEMENTS if one[0] not in "Z_0" or one in ("01", "02", "04", "05", "06")]
)
def test_the_reference_time_writes_itself(element):
    assert write_time(REFERENCE, element) == {"-070000": "-070000"}.get(element, element)


def slow(time, layout):
    """One element after the other, the longest first where two begin alike, as the documentation lists them."""
    names = sorted((*ELEMENTS, ".000", ".999", ",000", ",999"), key=len, reverse=True)
    out = ""
    while layout:
        for name in names:
            if layout.startswith(name) and not (
                name in ("Jan", "Mon") and layout[3:4].islower() and layout[3:4].isascii()
            ):
                if name == "_2" and layout.startswith("_2006"):
                    continue
                if name[0] in ".,":
                    run = len(layout) - 1 - len(layout[1:].lstrip(name[1]))
                    if run != 3 or layout[4:5].isdigit():
                        continue
                out += write_time(time, name)
                layout = layout[len(name) :]
                break
        else:
            out, layout = out + layout[0], layout[1:]
    return out


@given(
    st.lists(st.sampled_from([*ELEMENTS, "_", "-", ".000", ",999", "0", "7", "x", " ", "n", "J", "Z", "M"])).map(
        "".join
    ),
    st.datetimes(timezones=st.just(LOS_ANGELES), allow_imaginary=False),
)
def test_against_a_slow_reading(layout, time):
    if not any(sign + digit * count in layout for sign in ".," for digit in "09" for count in (1, 2, 4)):
        assert write_time(time, layout) == slow(time, layout)


@given(st.text(), st.datetimes(timezones=st.just(dt.UTC)))
def test_any_text_is_a_layout(layout, time):
    assert isinstance(write_time(time, layout), str)
