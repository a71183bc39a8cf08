import datetime as dt
import itertools

import pytest
from hypothesis import given

from blockdiff.errors import InvalidInput
from blockdiff.pairs import Evidence, best_common_base, compare, increments, next_steps, tag_instant
from blockdiff.snapshot import Snapshot, SnapshotPair
from tests.pairs import oracle
from tests.pairs.strategies import EPOCH, options, sides

TAGS = [f"auto-v2-hourly-2026010103{minute:02}-4" for minute in range(4)]


def snaps(*names, at=None, contents=None, first=1):
    """Snapshots with ascending ids; ``at`` are seconds, ``contents`` ids of contents."""
    made = [None if at is None or at[n] is None else EPOCH + dt.timedelta(seconds=at[n]) for n in range(len(names))]
    return [
        Snapshot("v", name, str(first + n), made[n], contents[n] if contents else "") for n, name in enumerate(names)
    ]


def names(found):
    return [(match.source.name, match.target.name, match.by) for match in found]


def test_tags_carry_their_instant():
    found = compare(snaps(*TAGS), snaps(*TAGS[:3], first=90))
    assert names(found.matches) == [(tag, tag, Evidence.INSTANT) for tag in TAGS[:3]]
    assert [one.name for one in found.missing] == TAGS[3:]
    assert best_common_base(snaps(*TAGS), snaps(*TAGS[:3])).source.name == TAGS[2]


def test_a_name_alone_proves_nothing():
    source, target = snaps("s1", "s2"), snaps("s1")
    found = compare(source, target)
    assert (found.base, found.matches) == (None, ())
    assert [(doubt.source.name, doubt.target.name) for doubt in found.unproven] == [("s1", "s1")]
    asked = compare(source, target, by_name=True)
    assert names(asked.matches) == [("s1", "s1", Evidence.NAME)]


def test_a_name_like_a_tag_is_none():
    assert tag_instant("auto-v2-hourly-2026010199-4") is None
    assert compare(snaps("auto-backup"), snaps("auto-backup")).base is None


@pytest.mark.parametrize("by_name", [False, True])
def test_other_content_is_a_conflict_also_when_asked_by_name(by_name):
    found = compare(snaps("s1", contents=["x"]), snaps("s1", contents=["y"]), by_name=by_name)
    assert found.base is None
    assert [doubt.reason for doubt in found.conflicts] == ["they have other content"]


def test_a_tag_of_other_content_is_a_conflict():
    assert compare(snaps(TAGS[0], contents=["x"]), snaps(TAGS[0], contents=["y"])).base is None


def test_made_again_under_the_same_name():
    """Same name, another instant: never a base, the older one that is still the same is."""
    source = snaps("s1", "s2", at=[0, 100])
    target = snaps("s1", "s2", at=[0, 50])
    found = compare(source, target)
    assert found.base.source.name == "s1"
    assert [doubt.source.name for doubt in found.conflicts] == ["s2"]
    assert found.conflicts[0].reason == "they are of other instants, 50 s apart"
    # where a copy gets a date of its own, that proves nothing; and a tag still says its instant
    assert compare(source, target, dates=False).unproven
    assert names(compare(snaps(TAGS[0], at=[0]), snaps(TAGS[0], at=[9]), dates=False).matches)
    assert compare(snaps(TAGS[0], at=[0]), snaps(TAGS[0], at=[9])).conflicts


@pytest.mark.parametrize(("apart", "tolerance", "same"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 1, False)])
def test_tolerance_is_for_whole_seconds(apart, tolerance, same):
    found = compare(snaps("s", at=[0]), snaps("s", at=[apart]), tolerance=dt.timedelta(seconds=tolerance))
    assert bool(found.matches) is same
    assert bool(found.conflicts) is not same


def test_instants_are_compared_to_the_microsecond_in_any_zone():
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    one = Snapshot("v", "s", "1", EPOCH)
    assert compare([one], [one._replace(created=EPOCH.astimezone(zone))]).matches
    assert compare([one], [one._replace(created=EPOCH + dt.timedelta(microseconds=1))]).conflicts


def test_renamed():
    found = compare(snaps("s1", "s2", contents=["x", "y"]), snaps("s1", "kept", contents=["x", "y"]))
    assert names(found.renamed) == [("s2", "kept", Evidence.CONTENT)]
    assert found.base.target.name == "kept"
    assert not found.missing
    assert not found.extra


def test_two_names_that_changed_places():
    """Each is matched with what it is; that the names lead astray is told."""
    found = compare(snaps("a", "b", contents=["x", "y"]), snaps("b", "a", contents=["x", "y"]))
    assert names(found.matches) == [("a", "b", Evidence.CONTENT), ("b", "a", Evidence.CONTENT)]
    assert [doubt.reason for doubt in found.conflicts] == ["its content is in 'b' there", "its content is in 'a' there"]


def test_equal_contents_are_matched_once_each_the_same_name_first():
    found = compare(snaps("a", "b", "c", contents=["x"] * 3), snaps("b", "z", contents=["x"] * 2))
    assert names(found.matches) == [("a", "z", Evidence.CONTENT), ("b", "b", Evidence.CONTENT)]
    assert [one.name for one in found.missing] == ["c"]


def test_a_name_that_stands_twice_is_never_a_base():
    for source, target in ((["s", "s"], ["s"]), (["s"], ["s", "s"]), ([TAGS[0]] * 2, [TAGS[0]] * 2)):
        found = compare(snaps(*source), snaps(*target), by_name=True)
        assert found.base is None
        assert {doubt.reason for doubt in found.conflicts} == {"the name stands more than once on a side"}


def test_equal_instants_keep_the_order_of_the_storage():
    source = snaps("b", "a", at=[7, 7])
    assert best_common_base(source, snaps("a", "b", at=[7, 7])).source.name == "a"
    assert [str(pair) for pair in increments(source)] == ["v@b", "v@b -> v@a"]


def test_order_is_not_that_of_names_or_clocks():
    """A clock that went back: the ids of the storage say which was first."""
    source = snaps("s10", "s9", at=[50, 10])
    assert increments(source) == (SnapshotPair(None, source[0]), SnapshotPair(source[0], source[1]))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([Snapshot("v", "a", "1"), Snapshot("v", "b", "1")], id="id-twice"),
        pytest.param([Snapshot("v", "a"), Snapshot("v", "a")], id="twice"),
        pytest.param([Snapshot("v", "")], id="no-name"),
        pytest.param([Snapshot("v", "a", "1", dt.datetime(2026, 1, 1))], id="no-zone"),
    ],
)
def test_what_cannot_be_a_list_of_snapshots(wrong):
    for source, target in ((wrong, []), ([], wrong)):
        with pytest.raises(InvalidInput):
            compare(source, target)
    with pytest.raises(InvalidInput):
        increments(wrong)


def test_steps_go_on_from_the_base():
    source, target = snaps("old", *TAGS), snaps(*TAGS[:2], first=70)
    steps = next_steps(source, target, compare(source, target))
    assert steps.base.source.name == TAGS[1]
    assert [(pair.base.name, pair.target.name) for pair in steps.pairs] == [(TAGS[1], TAGS[2]), (TAGS[2], TAGS[3])]
    assert (steps.held_back, steps.ahead, steps.refusal) == ((), (), "")


def test_steps_to_an_empty_target_begin_with_everything():
    source = snaps("a", "b")
    assert next_steps(source, [], compare(source, [])).pairs == increments(source)


def test_steps_to_a_stranger_are_refused():
    source, target = snaps("a"), snaps("a", first=9)
    steps = next_steps(source, target, compare(source, target))
    assert steps.pairs == ()
    assert "nothing proves" in steps.refusal


def test_what_the_target_has_of_its_own_is_told():
    source = snaps(TAGS[0], "s1", TAGS[1])
    target = snaps(TAGS[0], "s1", "mine")
    steps = next_steps(source, target, compare(source, target))
    assert [(pair.base.name, pair.target.name) for pair in steps.pairs] == [(TAGS[0], TAGS[1])]
    assert [one.name for one in steps.held_back] == ["s1"]
    assert [one.name for one in steps.ahead] == ["s1", "mine"]


@given(sides(twice=False), sides(twice=False), options)
def test_the_base_is_what_the_plainest_words_say(source, target, chosen):
    found = best_common_base(source, target, **chosen)
    assert (found and tuple(found)[:2]) == oracle.best(source, target, **chosen)


@given(sides(), sides(), options)
def test_nothing_is_left_out_and_nothing_is_matched_twice(source, target, chosen):
    found = compare(source, target, **chosen)
    for side, rest in ((0, found.missing), (1, found.extra)):
        told = [pair[side] for pair in (*found.matches, *found.conflicts, *found.unproven)]
        assert {*told, *rest} == {*(source, target)[side]}
        matched = [match[side] for match in found.matches]
        assert len(matched) == len(set(matched))
        assert not {*told} & {*rest}
    for match in found.matches:
        assert not (match.source.content and match.target.content and match.source.content != match.target.content)
        assert match.source.name == match.target.name or match.by is Evidence.CONTENT
        assert match.by is not Evidence.NAME or chosen["by_name"]
    assert [source.index(match.source) for match in found.matches] == sorted(
        source.index(match.source) for match in found.matches
    )
    assert found == compare(source, target, **chosen)


@given(sides(), sides(), options)
def test_steps_are_a_chain_over_what_is_proven(source, target, chosen):
    found = compare(source, target, **chosen)
    steps = next_steps(source, target, found)
    for one, other in itertools.pairwise(steps.pairs):
        assert other.base == one.target
    if steps.pairs and steps.base:
        assert steps.pairs[0].base == steps.base.source
    doubtful = {doubt.source for doubt in (*found.conflicts, *found.unproven)}
    assert not doubtful & {pair.target for pair in steps.pairs} or not target
    if target and not steps.base:
        assert not steps.pairs


@pytest.mark.slow
def test_a_hundred_thousand_snapshots():
    source = [
        Snapshot("v", f"s{n}", str(n), EPOCH + dt.timedelta(hours=n), f"c{n}" if n % 2 else "") for n in range(100_000)
    ]
    target = [one._replace(id=f"t{one.id}") for one in source[:-10]]
    found = compare(source, target)
    assert len(found.matches) == 99_990
    assert len(next_steps(source, target, found).pairs) == 10


def test_equal_contents_are_matched_the_oldest_with_the_oldest():
    ours = [Snapshot("v", name, content="x") for name in ("a", "b")]
    theirs = [Snapshot("v", name, content="x") for name in ("c", "d", "e")]
    found = compare(ours, theirs)
    assert [(match.source.name, match.target.name) for match in found.matches] == [("a", "c"), ("b", "d")]
    assert [one.name for one in found.extra] == ["e"]
