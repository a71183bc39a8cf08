import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.pairs.merging import merged


def items(lists):
    return [lists[name][place] for name, place in merged(lists)]


def test_equal_things_stand_together():
    assert items({"a": "13", "b": "123", "c": "2"}) == list("112233")


def test_the_first_decides_a_contradiction():
    assert [name + "xy"[place] for name, place in merged({"a": "12", "b": "21"})] == ["ax", "ay", "bx", "by"]


@given(st.dictionaries(st.sampled_from("abc"), st.text("123456", max_size=6)))
def test_every_list_keeps_its_order(lists):
    found = list(merged(lists))
    for name, whole in lists.items():
        assert [place for where, place in found if where == name] == [*range(len(whole))]
    assert len(found) == sum(map(len, lists.values()))
    assert found == list(merged(lists))


@given(st.lists(st.text("123456789", max_size=9).map(lambda text: "".join(sorted(set(text)))), max_size=4))
def test_lists_that_agree_are_one(lists):
    made = items({str(number): text for number, text in enumerate(lists)})
    assert [item for place, item in enumerate(made) if item not in made[:place]] == list(dict.fromkeys(made))
    assert sum(one != other for one, other in itertools.pairwise(made)) == max(0, len(set(made)) - 1)


@pytest.mark.slow
def test_a_hundred_thousand():
    lists = {str(number): list(range(number, 100_000, 4)) for number in range(4)}
    assert len(items(lists)) == 100_000
