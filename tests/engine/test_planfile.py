import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.engine.planfile import read_plan
from blockdiff.errors import InvalidInput

SNAP = {"name": "s", "volume": "v", "id": "1", "created": None, "content": "", "size": 1, "url": "a", "identity": ""}
PLAN = {
    "schema_version": 1,
    "command": "pairs",
    "for": "verify",
    "source": "a",
    "target": "b",
    "pairs": [
        {
            "number": n,
            "group": n,
            "volume": "v",
            "source": {**SNAP, "url": f"a{n}"},
            "target": {**SNAP, "url": f"b{n}"},
            "by": "instant",
        }
        for n in (1, 2)
    ],
    "groups": [{"number": n, "name": "v", "tag": "s", "complete": True, "pairs": [n], "lacking": []} for n in (1, 2)],
    "missing": [],
}


def read(value):
    return read_plan(json.dumps(value).encode(), "plan.json")


def lines(value):
    rest = {key: kept for key, kept in value.items() if key != "pairs"}
    return b"".join(json.dumps(item).encode() + b"\n" for item in [*value["pairs"], rest])


def test_both_forms():
    assert read(PLAN) == read_plan(lines(PLAN), "stdin")
    assert [pair.number for pair in read(PLAN).pairs] == [1, 2]


def test_new_keys_are_taken():
    assert len(read({**PLAN, "later": 1}).pairs) == 2


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_line_that_was_lost_is_noticed(lost):
    kept = [line for number, line in enumerate(lines(PLAN).splitlines(keepends=True)) if number != lost]
    with pytest.raises(InvalidInput):
        read_plan(b"".join(kept), "plan.json")


@given(st.integers(0, len(lines(PLAN)) - 2))
def test_a_plan_that_was_cut_is_refused(length):
    for whole in (lines(PLAN), json.dumps(PLAN).encode()):
        with pytest.raises(InvalidInput):
            read_plan(whole[: min(length, len(whole) - 1)], "plan.json")


@pytest.mark.parametrize("key", SNAP)
def test_what_a_snapshot_is_known_by_must_be_there(key):
    value = copy.deepcopy(PLAN)
    del value["pairs"][1]["target"][key]
    with pytest.raises(InvalidInput, match=f"missing required field `{key}`"):
        read(value)


@pytest.mark.parametrize("key", ["groups", "missing", "schema_version", "for"])
def test_no_part_may_be_missing(key):
    with pytest.raises(InvalidInput, match=r"is no plan|is a plan of version"):
        read({name: kept for name, kept in PLAN.items() if name != key})


def test_a_plan_without_pairs_in_its_only_line():
    empty = {**PLAN, "pairs": [], "groups": []}
    assert read_plan(lines(empty), "stdin") == read(empty)
    assert read(empty).pairs == []


def changed(*path, to):
    value = copy.deepcopy(PLAN)
    part = value
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param([], "no plan", id="list"),
        pytest.param({**PLAN, "command": "verify"}, "no plan", id="a-report"),
        pytest.param({**PLAN, "schema_version": 2}, "version 2", id="later-version"),
        pytest.param(changed("pairs", 1, "number", to=1), "number of another", id="number-twice"),
        pytest.param(changed("groups", 1, "number", to=1), "number of another", id="group-twice"),
        pytest.param(changed("pairs", 1, "group", to=7), "do not belong together", id="no-such-group"),
        pytest.param(changed("groups", 1, "pairs", to=[]), "do not belong together", id="group-without"),
        pytest.param(changed("groups", 0, "complete", to=False), "lacks something", id="complete-or-not"),
        pytest.param(changed("pairs", 0, "target", to=None), "pair 1 is none for verify", id="no-target"),
        pytest.param(changed("pairs", 0, "source", "name", to=3), "$.pairs[0].source.name", id="type"),
        pytest.param(changed("pairs", 0, "source", "size", to=-1), ">= 0", id="size"),
        pytest.param(changed("pairs", 0, "base", to=None), "pair 1 is none for verify", id="a-base"),
        pytest.param(changed("for", to="diff"), "pair 1 is none for diff", id="no-base"),
        pytest.param(
            {**PLAN, "groups": [*PLAN["groups"], {**PLAN["groups"][0], "number": 3, "pairs": []}]},
            "has no pairs, and lacks nothing",
            id="empty-group",
        ),
        pytest.param(changed("pairs", 0, "source", "url", to="a2"), "have one source, a2", id="compared-twice"),
        pytest.param(changed("pairs", 0, "target", "url", to="b2"), "have one target, b2", id="one-target"),
    ],
)
def test_what_is_no_plan(value, said):
    with pytest.raises(InvalidInput) as caught:
        read(value)
    assert said in str(caught.value)
    assert "plan.json" in str(caught.value)
