"""What a sample says, against counting: every subset of small populations, and exact fractions of large ones."""

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.sampling import chance, corrupt_blocks, detection, miss_bounds, sample_of_share, sample_size

SMALL = [(n, k, s) for n in range(1, 8) for k in range(n + 1) for s in range(n + 1)]
POPULATIONS = st.integers(1, 3000)


def exact(population, corrupt, sample):
    """The textbook's fraction."""
    return Fraction(math.comb(population - corrupt, sample), math.comb(population, sample))


@pytest.mark.parametrize(("population", "corrupt", "sample"), SMALL)
def test_against_every_subset(population, corrupt, sample):
    subsets = list(itertools.combinations(range(population), sample))
    missed = sum(all(block >= corrupt for block in subset) for subset in subsets)
    assert miss_bounds(population, corrupt, sample) == (Fraction(missed, len(subsets)),) * 2


@given(population=POPULATIONS, data=st.data())
def test_against_the_textbook(population, data):
    corrupt, sample = (data.draw(st.integers(0, population)) for _ in range(2))
    low, high = miss_bounds(population, corrupt, sample)
    assert low <= exact(population, corrupt, sample) <= high
    assert high - low < Fraction(1, 1 << 90)
    assert Fraction(detection(population, corrupt, sample)) <= 1 - exact(population, corrupt, sample) or not corrupt


@given(population=POPULATIONS, data=st.data())
def test_bounds_hold_where_products_are_cut(population, data):
    corrupt, sample = (data.draw(st.integers(0, population)) for _ in range(2))
    if corrupt + sample > population:
        return
    few, many = sorted((corrupt, sample))
    low, high = chance._products(population, many, few)
    assert Fraction(low, chance._ONE) <= exact(population, corrupt, sample) <= Fraction(high, chance._ONE)


@given(
    population=st.integers(1, 400),
    confidence=st.fractions(min_value=Fraction(1, 100), max_value=1),
    corruption=st.fractions(min_value=Fraction(1, 1000), max_value=1),
)
def test_the_size_is_the_smallest_that_suffices(population, confidence, corruption):
    size = sample_size(population, confidence, corruption)
    corrupt = corrupt_blocks(population, corruption)
    assert exact(population, corrupt, size) <= 1 - confidence
    assert size == 0 or exact(population, corrupt, size - 1) > 1 - confidence


@pytest.mark.parametrize(
    ("population", "confidence", "corruption", "size"),
    [
        (100, "99/100", "1/100", 99),  # one block: its chance is that of being chosen, and 99 are enough to the block
        (100, "99/100", "1/1000", 99),
        (1, "1/2", "1/2", 1),
        (10, "1", "1/10", 10),
        (10, "1", "1/2", 6),
        (0, "99/100", "1/100", 0),
    ],
)
def test_known_sizes(population, confidence, corruption, size):
    assert sample_size(population, Fraction(confidence), Fraction(corruption)) == size


def test_a_device_of_16_tib():
    population = 1 << 28  # blocks of 64 KiB
    size = sample_size(population, Fraction(99, 100), Fraction(1, 10000))
    corrupt = corrupt_blocks(population, Fraction(1, 10000))
    assert corrupt == 26843
    # the approximation for drawing with replacement is an upper bound, and near
    assert 0.995 < size / (math.log(0.01) / math.log1p(-corrupt / population)) <= 1
    assert miss_bounds(population, corrupt, size)[1] <= Fraction(1, 100) < miss_bounds(population, corrupt, size - 1)[0]


def test_many_factors_that_say_nothing_are_left_out():
    low, high = miss_bounds(1 << 40, 1 << 33, 1 << 33)
    assert low == 0
    assert 0 < high < Fraction(1, 1 << 90)
    assert detection(1 << 40, 1 << 33, 1 << 33) < 1


@pytest.mark.parametrize("bad", [(1, 2, 0), (1, 0, 2), (1, -1, 0), (1, 0, -1)])
def test_nonsense(bad):
    with pytest.raises(InvalidInput):
        miss_bounds(*bad)


@given(population=st.integers(0, 1 << 40), share=st.fractions(min_value=Fraction(1, 10**9), max_value=1))
def test_shares_are_rounded_to_the_safe_side(population, share):
    assert sample_of_share(population, share) >= population * share
    assert corrupt_blocks(population, share) <= max(1, population * share)


def test_simulated():
    rng = random.Random(5)
    population, corrupt, sample, runs = 60, 4, 9, 4000
    hit = sum(min(rng.sample(range(population), sample)) < corrupt for _ in range(runs))
    expected = detection(population, corrupt, sample)
    assert abs(hit / runs - expected) < 4 * math.sqrt(expected * (1 - expected) / runs)
