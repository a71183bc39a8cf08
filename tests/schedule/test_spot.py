"""Pieces of a text, and how their faults are shown."""

from hypothesis import given
from hypothesis import strategies as st

from blockdiff.schedule.spot import Spot

TEXT = "first\nsecond: line\nthird"


def test_pieces():
    line = list(Spot.of(TEXT).split("\n"))[1]
    head, found, rest = line.partition(":")
    assert (head.text, found, rest.text) == ("second", True, " line")
    assert rest.stripped().text == "line"
    assert head.partition("x") == (head, False, head.after(6))
    assert (head.after(2).text, head.first(2).text, head.after(99).text, head.first(99).text) == (
        "cond",
        "se",
        "",
        "second",
    )


def test_a_fault():
    spot = next(iter(Spot.of(TEXT).after(14).split("\n")))
    error = spot.wrong("odd", "an even one")
    assert (error.line, error.column, error.reason) == (2, 9, "odd")
    assert str(error) == "odd: an even one\n  line 2, column 9:\n    second: line\n            ^^^^"


def test_a_long_line_is_cut():
    error = Spot.of("x" * 5000 + "!" + "y" * 5000).after(5000).first(1).wrong("odd")
    _, line, caret = error.excerpt.rpartition("\n")[0], *error.excerpt.split("\n")
    assert len(line) == 104
    assert line[caret.index("^")] == "!"
    assert error.column == 5001


@given(st.text(), st.integers(0, 50), st.integers(0, 50))
def test_carets_point_at_the_fault(text, begin, length):
    spot = Spot.of(text).after(begin).first(length)
    error = spot.wrong("odd")
    line, caret = error.excerpt.split("\n")
    assert error.line == text[: spot.begin].count("\n") + 1
    assert line.isprintable()
    first = spot.text[:1]
    if first.isprintable() and first:
        assert line[caret.index("^")] == first


@given(st.text(alphabet="a;\n", max_size=20))
def test_split_is_split(text):
    assert [spot.text for spot in Spot.of(text).split(";")] == text.split(";")
    assert next(Spot.of(text).split(";")).begin == 0
