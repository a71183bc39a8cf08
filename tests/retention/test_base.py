"""The newest snapshot in common with a replica stays."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from blockdiff.retention.base import common_bases
from blockdiff.retention.chain import State
from blockdiff.snapshot import Snapshot

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def tag(day):
    return Snapshot("here", f"auto-v2-daily-202601{day:02}0000-4")


def there(one, **fields):
    return one._replace(volume="there", created=NOW, **fields)


def named(name, day=None, **fields):
    return Snapshot("here", name, created=None if day is None else NOW - dt.timedelta(days=day), **fields)


def bases(own, replica, **options):
    return common_bases(own, [there(one) for one in replica], NOW, "B", **options)


@given(st.sets(st.integers(1, 28)), st.sets(st.integers(1, 28)), st.randoms())
def test_of_tags(mine, theirs, rng):
    own, replica = ([tag(day) for day in rng.sample(sorted(days), len(days))] for days in (mine, theirs))
    both = mine & theirs
    wanted = {tag(max(both)).name: "the newest in common with B"} if both else {}
    assert bases(own, replica) == wanted


def test_content():
    own = [named("a", 3, content="1"), named("b", 2, content="2"), named("c", 1, content="3")]
    assert list(bases(own, [own[0], own[1]._replace(name="renamed")])) == ["b"]
    assert list(bases(own, [own[0], own[1]._replace(content="other")])) == ["a"]


def test_one_name_and_nothing_else():
    """It may be the same, and nobody can prove it."""
    own = [named("a", 3), named("b", 2), named("c", 1)]
    assert bases(own, own[:2]) == {"b": "B has one of that name: it may be the newest in common"}
    assert list(bases([*own, tag(1)], [*own[:2], tag(1)])) == [tag(1).name, "b"]
    newest = Snapshot("here", "auto-v2-daily-202602282300-4")
    assert list(bases([*own[:2], newest], [*own[:2], newest])) == [newest.name]


def test_no_times_at_all():
    assert set(bases([named("a"), named("b"), named("c")], [named("a"), named("b")])) == {"a", "b"}


def test_times_that_have_not_come():
    own = [tag(1), tag(2), Snapshot("here", "auto-v2-daily-209901010000-4")]
    assert set(bases(own, own)) == {own[1].name, own[2].name}


def test_only_complete_ones_are_bases():
    own = [tag(1), tag(2)]
    for state in (State.FAILED, State.INCOMPLETE):
        assert set(bases(own, own, states={tag(2).name: state})) == {tag(1).name}


def test_nothing_in_common():
    assert bases([tag(1)], [tag(2)]) == {}
    assert bases([], []) == {}
