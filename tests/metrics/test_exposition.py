"""Prometheus' own parser reads what we write, and we read it again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.metrics.exposition import Family, Sample, read, write

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.one_of(st.integers(0, 1 << 53), st.floats(0, 1e300))


def parsed(data):
    """What prometheus_client makes of it: (name, labels, value) of each sample, and the kinds."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(data.decode()))
    samples = [(s.name, s.labels, s.value) for family in families for s in family.samples]
    return samples, {family.name: (family.type, family.documentation) for family in families}


@given(labels=st.lists(TEXT, max_size=3), value=VALUE, meaning=st.text("ab \\\n", max_size=10))
def test_prometheus_reads_what_is_written(labels, value, meaning):
    pairs = tuple((f"label{i}", text) for i, text in enumerate(labels))
    data = write([Family("a_b", "gauge", meaning, (Sample(pairs, value),))])
    samples, kinds = parsed(data)
    assert samples == [("a_b", dict(pairs), value)]
    assert kinds["a_b"][0] == "gauge"
    assert read(data.decode()) == {"a_b": [Sample(pairs, value)]}


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "a\\nb", "a\\\nb", "", " ", "}", ",", '="', "ü", "\\"])
def test_labels_are_escaped(text):
    data = write([Family("a", "gauge", "h", (Sample((("l", text), ("m", "x")), 1),))])
    assert data.count(b"\n") == 3
    assert parsed(data)[0] == [("a", {"l": text, "m": "x"}, 1)]
    assert read(data.decode())["a"][0].labels == (("l", text), ("m", "x"))


def test_names_that_are_no_text():
    data = write([Family("a", "gauge", "h", (Sample((("l", "a\udcff"),), 1),))])
    assert parsed(data)[0] == [("a", {"l": "a\\xff"}, 1)]


@pytest.mark.parametrize("value", [0, 1, 0.5, 1 << 60, 1795291200.123, 1e22])
def test_values(value):
    data = write([Family("a", "gauge", "h", (Sample((), value),))])
    assert parsed(data)[0][0][2] == value
    assert b"e" not in data.split()[-1]


def test_a_family_without_samples():
    samples, kinds = parsed(write([Family("a", "gauge", "h", ())]))
    assert not samples
    assert kinds["a"] == ("gauge", "h")


BAD = [
    "a",
    "a b",
    "a 1 2",
    "a -1",
    "a NaN",
    "a +Inf",
    "a 1_0",
    'a{l="x} 1',
    'a{l="x"',
    "a{l=x} 1",
    'a{"x"} 1',
    'a{l="\\q"} 1',
    "1a 1",
    "a  1",
]


@pytest.mark.parametrize("line", BAD)
def test_damage_is_told_with_its_line(line):
    with pytest.raises(InvalidInput, match="line 2"):
        read(f"good 1\n{line}\n")


def test_a_cut_file():
    with pytest.raises(InvalidInput, match="cut"):
        read("a 1\nb 2")


def test_infinity_is_never_read():
    assert all(math.isfinite(s.value) for samples in read("a 1e300\n").values() for s in samples)
