import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.pairs import Link, chains
from tests.pairs import oracle

links = st.lists(
    st.builds(Link, st.sampled_from(["", *"abcdef"]), st.sampled_from("abcdef"), st.sampled_from(["", "f1", "f2"])),
    max_size=12,
)


def made(*pairs):
    return [Link(base, target, f"{base}-{target}.diff") for base, target in pairs]


def test_a_whole_chain():
    found = chains(made(("", "a"), ("a", "b"), ("b", "c")))
    assert list(found.restorable) == ["a", "b", "c"]
    assert found.whole
    assert [str(link) for link in found.path("c")] == ["-a.diff", "a-b.diff", "b-c.diff"]


def test_in_any_order():
    assert list(chains(made(("b", "c"), ("a", "b"), ("", "a"))).restorable) == ["c", "b", "a"]


def test_a_missing_link_loses_all_that_follows():
    found = chains(made(("", "a"), ("b", "c"), ("c", "d")))
    assert found.lost == ("c", "d")
    assert [tuple(gap) for gap in found.gaps] == [("b", ("c", "d"))]
    with pytest.raises(InvalidInput, match="'d' cannot be restored"):
        found.path("d")


def test_no_whole_image_at_all():
    found = chains(made(("a", "b")))
    assert (dict(found.restorable), found.lost) == ({}, ("b",))


def test_a_fork_is_told_and_both_ends_are_fine():
    found = chains(made(("", "a"), ("a", "b"), ("a", "c")))
    assert found.forks == (("a", ("b", "c")),)
    assert list(found.restorable) == ["a", "b", "c"]
    assert found.whole


def test_a_cycle_restores_nothing():
    found = chains(made(("c", "a"), ("a", "b"), ("b", "c"), ("c", "d")))
    assert [set(cycle) for cycle in found.cycles] == [{"a", "b", "c"}]
    assert found.lost == ("a", "b", "c", "d")
    assert chains(made(("a", "a"))).cycles == (("a",),)


def test_the_shortest_way_is_taken():
    """A later whole image saves the links before it."""
    found = chains(made(("", "a"), ("a", "b"), ("b", "c"), ("", "c")))
    assert [str(link) for link in found.path("c")] == ["-c.diff"]
    assert [target for target, _ in found.doubles] == ["c"]


def test_a_link_that_makes_nothing():
    with pytest.raises(InvalidInput):
        chains([Link("a", "", "odd.diff")])


@given(links)
def test_any_links(listed):
    found = chains(listed)
    assert set(found.restorable) == oracle.reachable(listed)
    assert set(found.restorable) | set(found.lost) == {link.target for link in listed}
    assert not set(found.restorable) & set(found.lost)
    assert {one for cycle in found.cycles for one in cycle} == oracle.in_cycles(listed)
    assert {gap.base for gap in found.gaps} == {link.base for link in listed} - {link.target for link in listed} - {""}
    for target in found.restorable:
        way = found.path(target)
        assert [link.base for link in way] == ["", *(link.target for link in way[:-1])]
        assert way[-1].target == target


@pytest.mark.slow
def test_a_hundred_thousand_links():
    listed = [Link(f"s{n - 1}" if n % 100 else "", f"s{n}") for n in range(100_000)]
    random.Random(1).shuffle(listed)
    assert len(chains(listed).restorable) == 100_000
    assert len(chains([link for link in listed if link.base]).gaps) == 1000
