import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.units import format_size, parse_size

GOOD = {
    "0": 0,
    "1": 1,
    "4096": 4096,
    "4K": 4096,
    "4k": 4096,
    "4KiB": 4096,
    "4kib": 4096,
    "4KB": 4000,
    "200M": 200 << 20,
    "1.5G": 3 << 29,
    "1.5GB": 1_500_000_000,
    "2T": 2 << 40,
    "1P": 1 << 50,
    "7E": 7 << 60,
    " 12 M ": 12 << 20,
    "512B": 512,
    "0.5K": 512,
    "9223372036854775807": (1 << 63) - 1,
    "9007199254740993.0": 9007199254740993,
}
BAD = [
    "",
    " ",
    "K",
    "-1",
    "+1",
    "1e3",
    "0x10",
    "1,5G",
    "4 K K",
    "4KK",
    "1.2",
    "0.3K",
    "1Z",
    "nan",
    "inf",
    "4iB",
    "\N{ARABIC-INDIC DIGIT ONE}K x",
]


@pytest.mark.parametrize(("text", "value"), GOOD.items(), ids=GOOD)
def test_sizes(text, value):
    assert parse_size(text) == value


@pytest.mark.parametrize("text", BAD, ids=repr)
def test_no_sizes(text):
    with pytest.raises(InvalidInput, match="--rate"):
        parse_size(text, "--rate")


@pytest.mark.parametrize("text", ["8E", "9223372036854775808", "99999999999P"])
def test_too_large(text):
    with pytest.raises(InvalidInput, match="too large"):
        parse_size(text)


def test_numbers_are_themselves():
    assert parse_size(4096) == 4096


@given(st.integers(0, (1 << 63) - 1))
def test_plain_bytes(value):
    assert parse_size(str(value)) == value


@given(st.integers(1, 8000), st.sampled_from("KMGTP"))
def test_fractions_are_exact(eighths, unit):
    """Not to the nearest float: a size is a promise."""
    power = 1024 ** ("KMGTP".index(unit) + 1)
    assert parse_size(f"{eighths / 8:.3f}{unit}") == eighths * power // 8


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 60, "5120.0 PiB"),
    ],
)
def test_format(count, text):
    assert format_size(count) == text
