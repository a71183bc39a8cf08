"""Differences kept for later: in memory up to a bound, then in a file without a name."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff import OutputError
from blockdiff._fast import Extents
from blockdiff.engine import spool as module
from blockdiff.engine.spool import Spool


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(3, 7)), max_size=5)),
    st.integers(0, 20),
)
def test_gives_back_what_it_was_given(batches, bound):
    kept, expected, at = Spool(bound), [], 0
    for batch in batches:
        items = []
        for gap, length, kind in batch:
            items.append((at + gap, length, kind))
            at += gap + length
        kept.add(Extents(items))
        expected += items
    for _ in range(2):
        assert [tuple(extent) for part in kept for extent in part] == expected
    assert len(kept) == len(expected)
    assert kept.total() == sum(length for _, length, _ in expected)
    kept.close()


def test_two_readers_do_not_disturb_each_other():
    kept = Spool(0)
    for at in range(3):
        kept.add(Extents([(at * 10, 5)]))
    assert [(a.start, b.start) for a, b in zip(kept, kept, strict=True)] == [(0, 0)]
    kept.close()


def test_a_full_disk_is_said(monkeypatch):
    class Full:
        def seek(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "scratch_file", lambda _: Full())
    with pytest.raises(OutputError, match="temporary file: No space left"):
        Spool(0).add(Extents([(0, 1)]))
