"""Laying a row over others, against a byte at a time."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from blockdiff.engine.ledger.interval import JOIN_SECONDS, Row, replace

ROWS = st.lists(
    st.tuples(
        st.integers(0, 20), st.integers(1, 8), st.integers(0, 1), st.integers(1, 2), st.sampled_from([0, 500, 5000])
    ),
    max_size=12,
)


def painted(rows):
    return {byte: row[2:] for row in rows for byte in range(row.start, row.end)}


@given(ROWS)
def test_against_bytes(items):
    rows, oracle = [], {}
    for start, length, state, run, verified in items:
        row = Row(start, start + length, state, run, verified)
        gone, made = replace([other for other in rows if other.end >= row.start and other.start <= row.end], row)
        rows = sorted([*(other for other in rows if other not in gone), *made])
        oracle |= dict.fromkeys(range(row.start, row.end), (state, run, verified))
        assert all(one.end <= other.start for one, other in itertools.pairwise(rows))
        now = painted(rows)
        assert now.keys() == oracle.keys()
        for byte, (kept, of, age) in now.items():
            assert (kept, of) == oracle[byte][:2]
            assert oracle[byte][2] - 2 * JOIN_SECONDS <= age <= oracle[byte][2]  # older, if anything


def test_neighbours_of_one_run_become_one():
    gone, made = replace([Row(0, 10, 0, 1, 100)], Row(10, 20, 0, 1, 200))
    assert made == [Row(0, 20, 0, 1, 100)]
    assert gone == [Row(0, 10, 0, 1, 100)]


def test_not_when_one_is_much_older():
    assert replace([Row(0, 10, 0, 1, 0)], Row(10, 20, 0, 1, JOIN_SECONDS + 1)) == ([], [Row(10, 20, 0, 1, 901)])
