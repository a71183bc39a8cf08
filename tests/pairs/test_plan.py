import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.pairs.plan import Purpose, plan
from blockdiff.snapshot import Snapshot

T = [f"auto-v2-hourly-20260101{hour:02}00-4" for hour in range(5)]


def machine(volume, tag):
    return "vm 4" if tag.startswith("auto-") or volume != "other" else volume


def side(**tags):
    """Snapshots by volume; "s1=x" states a content."""
    found = {}
    for place, (volume, names) in enumerate(tags.items()):
        found[volume] = [
            Snapshot(volume, name.partition("=")[0], str(100 * place + n), None, name.partition("=")[2])
            for n, name in enumerate(names)
        ]
    return found


def planned(made):
    return [
        (
            pair.volume,
            pair.base and pair.base.name,
            pair.source.name,
            made.groups[pair.group].tag,
        )
        for pair in made.pairs
    ]


def lacks(made):
    return {group.tag: [tuple(lack) for lack in group.lacking] for group in made.groups if not group.complete}


def test_a_whole_group():
    both = side(a=T[:2], b=T[:2])
    made = plan(both, both, Purpose.VERIFY, grouping=machine)
    assert [tuple(group)[:3] for group in made.groups] == [("vm 4", T[0], (0, 1)), ("vm 4", T[1], (2, 3))]
    assert all(group.complete for group in made.groups)


@pytest.mark.parametrize(
    ("source", "target", "lacking"),
    [
        pytest.param({"b": T[:1]}, {"b": []}, ("b", "it is not on the target"), id="tag-not-on-target"),
        pytest.param({"b": []}, {"b": T[:1]}, ("b", "it is not on the source"), id="tag-not-on-source"),
        pytest.param({"b": T[:1]}, {}, ("b", "the target has no such volume"), id="no-volume"),
        pytest.param(
            {"b": [f"{T[0]}=x"]}, {"b": [f"{T[0]}=y"]}, ("b", "conflict: they have other content"), id="conflict"
        ),
    ],
)
def test_a_group_that_is_not_whole(source, target, lacking):
    made = plan(side(a=T[:1], **source), side(a=T[:1], **target), Purpose.VERIFY, grouping=machine)
    assert lacks(made) == {T[0]: [lacking]}
    assert [pair.volume for pair in made.pairs] == ["a"]


def test_what_the_target_has_nothing_of_is_missing_and_no_group():
    made = plan(side(a=T[:3], b=T[:3]), side(a=T[:2], b=T[:2]), Purpose.VERIFY, grouping=machine)
    assert [group.tag for group in made.groups] == T[:2]
    assert [one.name for one in made.comparisons["a"].missing] == [T[2]]


def test_only_a_conflict_is_still_a_group():
    made = plan(side(a=["s=x"]), side(a=["s=y"]), Purpose.VERIFY)
    assert (made.pairs, len(made.groups), made.groups[0].complete) == ((), 1, False)


def test_volumes_of_one_side():
    made = plan(side(a=T, b=T), side(b=T, c=T), Purpose.VERIFY)
    assert (made.missing_volumes, made.extra_volumes) == (("a",), ("c",))
    assert {pair.volume for pair in made.pairs} == {"b"}


def test_changes_of_one_side():
    made = plan(side(a=["s1", "s2"]), None, Purpose.DIFF)
    assert planned(made) == [("a", None, "s1", "s1"), ("a", "s1", "s2", "s2")]


def test_the_base_of_changes_is_the_groups():
    """The disk that is ahead goes back to what all have."""
    made = plan(side(a=T[:3], b=T[:3]), side(a=T[:2], b=T[:1]), Purpose.DIFF, grouping=machine)
    assert planned(made) == [
        ("a", T[0], T[1], T[1]),
        ("b", T[0], T[1], T[1]),
        ("a", T[1], T[2], T[2]),
        ("b", T[1], T[2], T[2]),
    ]


def test_a_copy_goes_on_from_what_each_disk_has():
    made = plan(side(a=T[:3], b=T[:3]), side(a=T[:2], b=T[:1]), Purpose.COPY, grouping=machine)
    assert [one[:3] for one in planned(made)] == [("b", T[0], T[1]), ("a", T[1], T[2]), ("b", T[1], T[2])]
    assert lacks(made) == {}  # disk a has the first of these already


def test_a_copy_never_uses_a_base_of_another_name():
    source, target = side(a=["s1=x", "s2=y", "s3"]), side(a=["s1=x", "kept=y"])
    assert planned(plan(source, target, Purpose.COPY))[0][:3] == ("a", "s1", "s2")
    assert planned(plan(source, target, Purpose.DIFF))[0][:3] == ("a", "s2", "s3")
    assert "went on after its base @s1: @kept" in plan(source, target, Purpose.COPY).notes[0]


def test_pairs_are_in_the_order_of_each_volume():
    made = plan(side(a=[T[0], T[2]], b=T[:3]), None, Purpose.DIFF, grouping=machine)
    assert [one[::2] for one in planned(made)] == [
        ("a", T[0]),
        ("b", T[0]),
        ("b", T[1]),
        ("a", T[2]),
        ("b", T[2]),
    ]


def test_disks_that_contradict_each_other():
    made = plan(side(a=[T[0], T[1]], b=[T[1], T[0]]), None, Purpose.DIFF, grouping=machine)
    assert [one[:3] for one in planned(made)] == [
        ("a", None, T[0]),
        ("a", T[0], T[1]),
        ("b", None, T[1]),
        ("b", T[1], T[0]),
    ]
    assert all(group.complete for group in made.groups)


def test_a_new_volume_begins_with_everything():
    for there in (side(a=T[:1]), side(a=T[:1], b=[])):
        made = plan(side(a=T[:2], b=T[1:2]), there, Purpose.COPY, grouping=machine)
        assert [one[:3] for one in planned(made)] == [("a", T[0], T[1]), ("b", None, T[1])]


def test_nothing_in_common_is_said():
    made = plan(side(a=["s1"]), side(a=["s1"]), Purpose.COPY)
    assert made.pairs == ()
    assert "no base" in made.notes[0]
    made = plan(side(a=T[:2], b=T[:2]), side(a=T[:1], b=["x"]), Purpose.DIFF, grouping=machine)
    assert made.pairs == ()
    assert any("vm 4: no tag that all of its volumes have" in note for note in made.notes)


names = st.lists(st.sampled_from([*T, "s1", "s1=x", "s2=y"]), unique_by=lambda name: name.partition("=")[0], max_size=5)
sides = st.dictionaries(st.sampled_from(["a", "b", "other"]), names).map(lambda tags: side(**tags))


@given(sides, sides, st.sampled_from(Purpose), st.booleans())
def test_any_plan_holds_together(source, target, purpose, by_name):
    made = plan(source, target, purpose, grouping=machine, by_name=by_name)
    assert made == plan(source, target, purpose, grouping=machine, by_name=by_name)
    assert sorted(place for group in made.groups for place in group.pairs) == [*range(len(made.pairs))]
    for number, group in enumerate(made.groups):
        for place in group.pairs:
            pair = made.pairs[place]
            assert (pair.group, pair.source.name) == (number, group.tag)
            assert machine(pair.volume, group.tag) == group.name
    matches = sum(len(found.matches) for found in made.comparisons.values())
    if purpose is Purpose.VERIFY:
        assert len(made.pairs) == matches, "what is proven is compared"
    last = {}
    for pair in made.pairs:
        if purpose is not Purpose.VERIFY:
            assert pair.base == last.get(pair.volume, pair.base), "each goes on where the one before ended"
            last[pair.volume] = pair.source
