"""The suite's arithmetic of ranges, against sets of bytes."""

import itertools
import random
from array import array

from hypothesis import given
from hypothesis import strategies as st

from blockdiff.testing.csi.answer import Answer, Message, missing, shown

TUPLES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=12)


def answer(tuples):
    offsets, lengths = array("q", (t[0] for t in tuples)), array("q", (t[1] for t in tuples))
    return Answer("", [Message(2, 100, 0, offsets, lengths)], "OK", "")


def bytes_of(ranges):
    return {byte for begin, end in ranges for byte in range(begin, end)}


def separate(ranges):
    return all(a[1] < b[0] for a, b in itertools.pairwise(ranges))


@given(TUPLES, st.integers(0, 70))
def test_ranges(tuples, start):
    found = answer(tuples).ranges(start)
    assert bytes_of(found) == {byte for at, n in tuples for byte in range(at, at + n) if byte >= start}
    assert separate(found)


@given(TUPLES, TUPLES)
def test_missing(a, b):
    wanted, have = answer(a).ranges(), answer(b).ranges()
    assert bytes_of(missing(wanted, have)) == bytes_of(wanted) - bytes_of(have)


def test_missing_of_many_is_quick():
    rng = random.Random(1)
    ends = sorted(rng.sample(range(10_000_000), 200_000))
    ranges = list(zip(ends[::2], ends[1::2], strict=True))
    assert missing(ranges, ranges) == []
    assert len(missing(ranges, ranges[1::2])) == len(ranges) // 2


def test_shown():
    assert shown([(0, 1), (2, 4), (5, 6), (7, 9)]) == "[0, 1), [2, 4), [5, 6) and 1 more (6 bytes)"
