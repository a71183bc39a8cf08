import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockdiff
from blockdiff import _fast
from blockdiff.engine.plan import known_extents, plan_against_zero, plan_compare, whole
from blockdiff.errors import SourceError
from blockdiff.testing import MemoryDevice, extents

BLOCK = 4096


class Mapped:
    """A device that is only a map."""

    url = "mapped:"

    def __init__(self, *batches, size=1 << 60):
        self.batches, self.size = batches, size

    def extents(self, start=0, length=None):
        end = self.size if length is None else start + length
        for batch in self.batches:
            if len(part := batch.clip(start, end)):
                yield part


def device(picture):
    """A device of this picture; ``A`` is data."""
    return MemoryDevice(len(picture) * BLOCK, known=extents(picture))


def picture_of(plan, size):
    """One letter a block of 4 KiB: c compare, s/d hole of source or target, - both, = shared, . nothing."""
    blocks = ["."] * size
    for batch in plan:
        for offset, length, kind in batch:
            assert offset % BLOCK == 0
            letter = "csd-="[kind & 7]
            for i in range(offset // BLOCK, -(-(offset + length) // BLOCK)):
                assert blocks[i] == ".", "planned twice"
                blocks[i] = letter.upper() if kind & _fast.SEG_MARK else letter
    return "".join(blocks)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("AAAA", "AAAA", "cccc"),
        ("A-0A", "A-0A", "c--c"),
        ("A-0A", "A0-A", "c--c"),
        ("--AA", "AA--", "ssdd"),
        ("----", "----", "----"),
        ("-0-0", "AAAA", "ssss"),
    ],
)
def test_actions(source, target, expected):
    plan = plan_compare(device(source), device(target), 0, 4 * BLOCK, granularity=BLOCK)
    assert picture_of(plan, 4) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("A-0A", "A-0A", "c--c"), ("A-0A", "A0-A", "csdc"), ("-0A-", "AAAA", "sccs"), ("AAAA", "-0A-", "dccd")],
)
def test_strict_actions(source, target, expected):
    plan = plan_compare(device(source), device(target), 0, 4 * BLOCK, granularity=BLOCK, strict=True)
    assert picture_of(plan, 4) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("-AAA AAAA", "-AAA AAAA", "cccc cccc"),
        ("---- AAAA", "AAAA AAAA", "ssss cccc"),
        ("---- ---A", "---- ----", "---- cccc"),
        ("---- --AA", "AAAA A---", "ssss cccc"),
    ],
)
def test_a_granule_of_two_actions_is_read(source, target, expected):
    source, target = (device(picture.replace(" ", "")) for picture in (source, target))
    plan = plan_compare(source, target, 0, 8 * BLOCK, granularity=4 * BLOCK)
    assert picture_of(plan, 8) == expected.replace(" ", "")


def test_shared_storage_is_skipped():
    shared = [blockdiff.Extents([(BLOCK, 2 * BLOCK), (6 * BLOCK, BLOCK)])]
    plan = plan_compare(device("AAAAAAAA"), device("AAAAAA--"), 0, 8 * BLOCK, granularity=BLOCK, shared=shared)
    assert picture_of(plan, 8) == "c==ccc=d"


def test_shared_storage_is_skipped_only_in_whole_granules():
    shared = [blockdiff.Extents([(BLOCK, 6 * BLOCK)])]
    plan = plan_compare(device("AAAAAAAA"), device("AAAAAAAA"), 0, 8 * BLOCK, granularity=2 * BLOCK, shared=shared)
    assert picture_of(plan, 8) == "cc====cc"


def test_only_and_mark():
    listed = [blockdiff.Extents([(BLOCK, 2 * BLOCK)])]
    plan = plan_compare(device("AAAA"), device("AA--"), 0, 4 * BLOCK, granularity=BLOCK, only=listed)
    assert picture_of(plan, 4) == ".cd."
    plan = plan_compare(device("AAAA"), device("AA--"), 0, 4 * BLOCK, granularity=BLOCK, mark=listed)
    assert picture_of(plan, 4) == "cCDd"


def test_against_zero():
    plan = plan_against_zero(device("A-0A"), 0, 4 * BLOCK, granularity=BLOCK)
    assert picture_of(plan, 4) == "d--d"


def test_window():
    plan = plan_compare(device("A-AA"), device("A-AA"), 100, 3 * BLOCK - 1, granularity=BLOCK)
    assert [tuple(e) for batch in plan for e in batch] == [
        (100, BLOCK - 100, 0),
        (BLOCK, BLOCK, 3),
        (2 * BLOCK, BLOCK - 1, 0),
    ]


BROKEN = [
    pytest.param([[(0, 4096)], [(8192, 4096)]], "broken between 4096", id="gap-between-batches"),
    pytest.param([[(0, 4096), (8192, 4096)]], "broken between 0", id="gap"),
    pytest.param([[(0, 8192)], [(4096, 8192)]], "broken between 8192", id="overlap"),
    pytest.param([[(0, 4096)]], "ends at 4096, before 12288", id="early-end"),
    pytest.param([], "ends at 0, before 12288", id="nothing"),
    pytest.param([[(4096, 8192)]], "broken between 0", id="late"),
    pytest.param([[(0, 12288, 17)]], "broken", id="no-fact"),
]


@pytest.mark.parametrize(("batches", "reason"), BROKEN)
def test_a_broken_map_is_an_error_and_never_skipped(batches, reason):
    """What a map forgets would never be read."""
    bad = Mapped(*(blockdiff.Extents(batch) for batch in batches))
    with pytest.raises(SourceError, match=reason):
        list(known_extents(bad, 0, 12288))
    for pair in ((bad, device("AAA")), (device("AAA"), bad)):
        with pytest.raises(SourceError, match=reason):
            list(plan_compare(*pair, 0, 12288, granularity=4096))


def test_a_map_that_goes_past_the_end_is_an_error():
    class Long(Mapped):
        def extents(self, start=0, length=None):
            yield from self.batches

    with pytest.raises(SourceError, match="broken"):
        list(known_extents(Long(blockdiff.Extents([(0, 16384)])), 0, 12288))


def test_whole():
    assert [list(e) for e in whole(5, 9)] == [[(5, 4, 0)]]
    assert whole(5, 5) == whole(9, 5) == []


@given(st.text("A0-", max_size=40), st.text("A0-", max_size=40), st.sampled_from([1, 2, 8]), st.data())
def test_every_block_is_planned_once_and_nothing_is_skipped_wrongly(source, target, grain, data):
    size = min(len(source), len(target))
    lo = data.draw(st.integers(0, size))
    hi = data.draw(st.integers(lo, size))
    plan = plan_compare(device(source), device(target), lo * BLOCK, hi * BLOCK, granularity=grain * BLOCK)
    planned = picture_of(plan, size)
    assert planned[:lo].strip(".") == planned[hi:].strip(".") == ""
    assert "." not in planned[lo:hi]
    for letter, a, b in zip(planned[lo:hi], source[lo:], target[lo:], strict=False):
        assert letter != "-" or "A" not in (a, b)
        assert letter != "s" or a != "A"
        assert letter != "d" or b != "A"
