import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.budget import format_age, parse_budget
from blockdiff.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "seconds", "size"),
    [
        ("2h", 7200, None),
        ("90s", 90, None),
        ("30m", 1800, None),
        ("1.5d", 129600, None),
        ("500G", None, 500 << 30),
        ("30M", None, 30 << 20),
        ("1.5GiB", None, 3 << 29),
        ("5GB", None, 5 * 10**9),
    ],
)
def test_budgets(text, seconds, size):
    budget = parse_budget(text)
    assert (budget.seconds, budget.bytes, budget.text) == (seconds, size, text)


@pytest.mark.parametrize("text", ["", "5", "0h", "0G", "500g", "2H", "h", "-1h", "1h30m", "nan", "1e3s", "٣h", "1.G"])
def test_what_is_none(text):
    with pytest.raises(InvalidInput, match="budget"):
        parse_budget(text)


@given(st.text(max_size=12))
def test_any_text(text):
    with contextlib.suppress(InvalidInput):
        budget = parse_budget(text)
        assert (budget.seconds or budget.bytes) > 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59, "59 s"), (600, "10 min"), (7200, "2.0 h"), (86400 * 12.5, "12.5 d")]
)
def test_ages(seconds, text):
    assert format_age(seconds) == text
