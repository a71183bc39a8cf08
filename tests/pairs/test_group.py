import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.pairs import common_base, compare, gaps, groups
from blockdiff.pairs.group import all_together, each_alone
from blockdiff.snapshot import Snapshot

T = [f"auto-v2-hourly-20260101{hour:02}00-4" for hour in range(5)]


def machine(volume, tag):
    """The machine that a tag names, else the one that the volume does."""
    return f"vm {tag.rpartition('-')[2]}" if tag.startswith("auto-") else f"vm {volume.split('-')[2]}"


def volumes(**tags):
    return {name.replace("_", "-"): [Snapshot(name, tag) for tag in found] for name, found in tags.items()}


def test_disks_of_one_machine():
    found = groups(volumes(one_1_4_0=T[:2], one_1_4_1=T[:1], one_1_5_0=["s"]), machine)
    assert [(str(group), group.complete, group.lacking) for group in found] == [
        (f"vm 4@{T[0]}", True, ()),
        (f"vm 4@{T[1]}", False, ("one-1-4-1",)),
        ("vm 5@s", True, ()),
    ]


def test_a_disk_without_any_snapshot_makes_its_machine_incomplete():
    (found,) = groups(volumes(one_1_4_0=T[:1], one_1_4_1=[]), machine)
    assert found.lacking == ("one-1-4-1",)


def test_a_persistent_disk_belongs_where_its_tags_say():
    (found,) = groups(volumes(one_1_4_0=T[:1], one_1_9_0=T[:1]), machine)
    assert (found.name, found.complete, len(found.members)) == ("vm 4", True, 2)


def test_no_groups_and_one_group():
    given_ = volumes(a_=["s"], b_=["s", "t"])
    assert all(group.complete for group in groups(given_, each_alone))
    assert [group.complete for group in groups(given_, all_together)] == [True, False]


def test_the_base_of_a_group_is_common_to_all():
    one = [Snapshot("a", tag, str(n)) for n, tag in enumerate(T)]
    found = {"a": compare(one, one[:4]), "b": compare(one, [*one[:2], one[3]]), "c": compare(one, one[:3])}
    assert common_base(found) == T[1]
    assert common_base({**found, "d": compare(one, [])}) is None
    assert common_base({}) is None


def test_a_base_of_a_group_has_one_name_on_both_sides():
    """Else a volume that has it under another name would have no base, though the one before it would do."""
    named = [Snapshot("a", name, content=name) for name in T[:2]]
    renamed = [named[0], named[1]._replace(name="other")]
    assert common_base({"a": compare(named, renamed), "b": compare(named, named)}) == T[0]
    assert common_base({"b": compare(named, named), "a": compare(named, renamed)}) == T[0]


tags = st.lists(st.sampled_from(T), unique=True)


@given(st.dictionaries(st.sampled_from(["a-1-4-0", "a-1-4-1", "a-1-5-0", "b-1-5-1"]), tags))
def test_groups_by_plain_words(given_):
    listed = {volume: [Snapshot(volume, tag) for tag in found] for volume, found in given_.items()}
    found = groups(listed, machine)
    assert {(group.name, group.tag) for group in found} == {
        ("vm 4", tag) for tag in {t for x in given_.values() for t in x}
    }
    for group in found:
        have = {volume for volume, names in given_.items() if group.tag in names}
        member = {volume for volume, names in given_.items() if names or volume.split("-")[2] == "4"}
        assert {volume for volume, _ in group.members} == have
        assert set(group.lacking) == member - have


HOUR = dt.timedelta(hours=1)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TICKS = [START + n * HOUR for n in range(10)]


@pytest.mark.parametrize(
    ("have", "late", "expected"),
    [
        pytest.param(TICKS, 0, [], id="none"),
        pytest.param([], 0, [(0, 9, 10)], id="all"),
        pytest.param(TICKS[:3] + TICKS[5:9], 0, [(3, 4, 2), (9, 9, 1)], id="two"),
        pytest.param([tick + dt.timedelta(seconds=40) for tick in TICKS], 60, [], id="a-little-late"),
        pytest.param([tick + dt.timedelta(seconds=40) for tick in TICKS], 30, [(0, 9, 10)], id="too-late"),
        pytest.param([TICKS[1]], 7200, [(0, 0, 1), (2, 9, 8)], id="one-serves-one-tick"),
    ],
)
def test_gaps_in_a_schedule(have, late, expected):
    found = gaps(TICKS, reversed(have), late=dt.timedelta(seconds=late))
    assert [tuple(gap) for gap in found] == [(TICKS[a], TICKS[b], n) for a, b, n in expected]


@given(st.lists(st.integers(0, 40), unique=True), st.lists(st.integers(0, 40)), st.integers(0, 5))
def test_gaps_by_plain_words(ticks, have, late):
    minute = dt.timedelta(minutes=1)
    ticks.sort()
    served = {max((tick for tick in ticks if tick <= one <= tick + late), default=None) for one in have}
    found = gaps([START + n * minute for n in ticks], [START + n * minute for n in have], late=late * minute)
    missed = [n for n in ticks if n not in served]
    assert sum(gap.ticks for gap in found) == len(missed)
    begins = [n for place, n in enumerate(ticks) if n not in served and (not place or ticks[place - 1] in served)]
    assert [gap.first for gap in found] == [START + n * minute for n in begins]
