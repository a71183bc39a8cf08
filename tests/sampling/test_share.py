import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.sampling import format_chance, format_share, parse_share


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5%", Fraction(1, 20)),
        ("0.01%", Fraction(1, 10000)),
        ("100%", Fraction(1)),
        ("0.05", Fraction(1, 20)),
        (" 99.9 % ", Fraction(999, 1000)),
        ("0.00000001%", Fraction(1, 10**10)),
    ],
)
def test_shares(text, value):
    assert parse_share(text) == value
    assert parse_share(format_share(value)) == value


@pytest.mark.parametrize(
    "text", ["", "5", "1", "0%", "0", "101%", "-1%", "5 percent", "1e-3", "٥%", "5%%", "nan", ".5%", "1" * 50, "5.%"]
)
def test_what_is_no_share(text):
    with pytest.raises(InvalidInput, match=r"sample"):
        parse_share(text, "sample")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "100%"), (0.99999, "99.99%"), (0.99, "99.00%"), (0.5, "50.00%"), (0.00012345, "0.012%"), (0.0, "0.00%")],
)
def test_chances_are_never_rounded_up(value, text):
    assert format_chance(value) == text


@given(st.floats(0, 1))
def test_no_chance_is_told_larger(value):
    told = Fraction(format_chance(value).rstrip("%")) / 100
    assert told <= Fraction(repr(value))


@given(st.text(max_size=12))
def test_any_text(text):
    with contextlib.suppress(InvalidInput):
        assert 0 < parse_share(text) <= 1
