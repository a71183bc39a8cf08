"""What stands on what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.retention import chain
from blockdiff.retention.chain import State

# each may stand on one of a smaller number, in any order of the dictionary
TREES = st.lists(st.integers(-1, 30), min_size=1, max_size=12).flatmap(
    lambda parents: st.permutations(
        [(str(number), str(parent % number)) for number, parent in enumerate(parents) if number and parent >= 0]
    ).map(lambda links: (dict(links), [str(number) for number in range(len(parents))]))
)


@given(TREES)
def test_bases_by_recursion(tree):
    depends, names = tree
    chain.checked(depends, names)

    def under(name):
        return [depends[name], *under(depends[name])] if name in depends else []

    for name in names:
        assert list(chain.bases(name, depends)) == under(name)
    for name in names:
        assert set(chain.needed([name], depends)) == set(under(name))
    assert set(chain.needed(names, depends)) == set(depends.values())


@given(TREES, st.data())
def test_the_worst_of_a_chain(tree, data):
    depends, names = tree
    states = {name: data.draw(st.sampled_from(State)) for name in data.draw(st.permutations(names))}
    found = chain.worst(states, depends)
    assert set(found) == set(names)
    for name in names:
        assert found[name] == max([states[name], *(states[base] for base in chain.bases(name, depends))])


def test_who_needs_it():
    depends = {"c": "b", "b": "a", "x": "a"}
    assert chain.needed(["c", "x"], depends) == {"b": "c", "a": "c"}
    assert chain.needed(["x", "c"], depends) == {"a": "x", "b": "c"}
    assert chain.needed([], depends) == {}


@pytest.mark.parametrize(
    ("depends", "words"),
    [
        ({"a": "a"}, "'a' stands on itself: a on a"),
        ({"a": "b", "b": "a"}, "stands on itself: a on b on a"),
        ({"c": "a", "a": "b", "b": "a"}, "'a' stands on itself: a on b on a"),
        ({"a": "z"}, "'a' stands on 'z', which is not among the snapshots"),
        ({"z": "a"}, "'z' is said to stand on 'a', but is not among the snapshots"),
    ],
)
def test_refused(depends, words):
    with pytest.raises(InvalidInput, match=words):
        chain.checked(depends, ["a", "b", "c"])


def test_a_long_chain_takes_no_stack():
    names = [str(number) for number in range(50_000)]
    depends = dict(zip(names[1:], names, strict=False))
    chain.checked(depends, set(names))
    assert len(chain.needed(names[-1:], depends)) == len(names) - 1
    states = dict.fromkeys(names, State.COMPLETE) | {"0": State.FAILED}
    assert set(chain.worst(states, depends).values()) == {State.FAILED}
