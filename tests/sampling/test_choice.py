"""Choosing blocks: each set as likely as the others, the same seed the same set."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.sampling import choice, choose


def chosen(population, count, seed="s"):
    return [number for batch in choose(population, count, str(seed)) for number in batch]


@given(population=st.integers(0, 500), data=st.data(), leaf=st.integers(1, 70), seed=st.text(max_size=5))
def test_ascending_and_as_many_as_asked(population, data, leaf, seed):
    count = data.draw(st.integers(0, population))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "LEAF", leaf)
        numbers = chosen(population, count, seed)
        assert all(len(batch) <= leaf for batch in choose(population, count, seed))
    assert len(numbers) == count
    assert all(0 <= number < population for number in numbers)
    assert all(one < other for one, other in itertools.pairwise(numbers))


def chi_square(counts, expected):
    return sum((counts[key] - mean) ** 2 / mean for key, mean in expected.items())


def limit(degrees):
    """Where one in some 30 000 of true samples would lie: five standard deviations and a bit."""
    return degrees + 5 * math.sqrt(2 * degrees) + 8


@pytest.mark.parametrize("leaf", [1, 2, 100], ids="leaf{}".format)
@pytest.mark.parametrize(("population", "count"), [(5, 2), (6, 3), (7, 6), (8, 1)])
def test_every_subset_is_as_likely(monkeypatch, leaf, population, count):
    monkeypatch.setattr(choice, "LEAF", leaf)
    subsets = list(itertools.combinations(range(population), count))
    runs = 60 * len(subsets)
    counts = Counter(tuple(chosen(population, count, seed)) for seed in range(runs))
    assert set(counts) <= set(subsets)
    assert chi_square(counts, dict.fromkeys(subsets, runs / len(subsets))) < limit(len(subsets) - 1)


@pytest.mark.parametrize(("size", "half", "wanted"), [(20, 10, 5), (21, 10, 15), (9, 4, 8), (300, 150, 40)])
def test_draws_are_hypergeometric(size, half, wanted):
    runs = 3000
    counts = Counter(choice._drawn(size, half, wanted, choice._Bits(str(seed), 0, 1)) for seed in range(runs))
    expected = {
        k: float(runs * Fraction(math.comb(half, k) * math.comb(size - half, wanted - k), math.comb(size, wanted)))
        for k in range(max(0, wanted - size + half), min(half, wanted) + 1)
    }
    likely = {k: mean for k, mean in expected.items() if mean >= 5}
    assert chi_square(counts, likely) < limit(len(likely))
    assert set(counts) <= set(expected)


def test_each_block_of_a_large_population_is_as_likely():
    cells, population, count = 64, 1 << 30, 200_000
    counts = Counter(number * cells // population for number in chosen(population, count))
    assert chi_square(counts, dict.fromkeys(range(cells), count / cells)) < limit(cells - 1)


@pytest.mark.parametrize("count", [1, 7, 65537], ids=str)
def test_a_seed_chooses_the_same(count):
    assert chosen(1 << 20, count) == chosen(1 << 20, count)
    assert count < 2 or chosen(1 << 20, count) != chosen(1 << 20, count, "t")


def test_it_stays_what_it_was():
    """A seed that somebody wrote down has to choose the same blocks in every version."""
    assert chosen(1000, 8, "blockdiff") == [111, 489, 665, 806, 824, 892, 899, 965]
    assert sum(chosen(1 << 22, 150_000, "blockdiff")) == 314_569_223_188


def test_memory_is_bounded():
    batches = choose(1 << 30, 1 << 24, "s")
    assert len(next(batches)) <= choice.LEAF
    batches.close()


def test_too_many():
    with pytest.raises(ValueError, match="cannot be chosen"):
        list(choose(3, 4, "s"))
