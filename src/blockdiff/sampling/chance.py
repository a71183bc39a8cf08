"""What a sample can say: exact where that is feasible, else bounded on the safe side.

The model: of ``population`` blocks, ``corrupt`` ones differ, whichever they are, and the sample was chosen without
knowing them: uniformly, without replacement. The sample misses all of them with the probability

    C(population - corrupt, sample) / C(population, sample)

which is that of the hypergeometric distribution. Numbers here are integers and fractions; what is rounded is rounded
so that a sample never looks better than it is.
"""

from __future__ import annotations

import math
from fractions import Fraction

from blockdiff.errors import InvalidInput

_BITS = 192
_ONE = 1 << _BITS
_NOTHING = 1 << (_BITS - 96)  # a chance of 2^-96 to miss is none to speak of
_EXACT = 256  # factors that are multiplied without rounding


def corrupt_blocks(population: int, share: Fraction) -> int:
    """Blocks that "at least this share is corrupt" is judged by: rounded down, and at least one.

    Fewer corrupt blocks are harder to find, so what holds for them holds for more.
    """
    return min(population, max(1, math.floor(population * share))) if population else 0


def sample_of_share(population: int, share: Fraction) -> int:
    """Blocks of a sample of at least this share: rounded up."""
    return min(population, math.ceil(population * share))


def miss_bounds(population: int, corrupt: int, sample: int) -> tuple[Fraction, Fraction]:
    """The probability that the sample has no corrupt block lies between these two, often equal, values."""
    _check(population, corrupt, sample)
    if corrupt + sample > population:
        return Fraction(0), Fraction(0)
    few, many = sorted((corrupt, sample))
    if few <= _EXACT:
        # C(N-K, n)/C(N, n) is symmetric in K and n: the shorter product is taken
        top = math.prod(range(population - many - few + 1, population - many + 1))
        bottom = math.prod(range(population - few + 1, population + 1))
        return Fraction(top, bottom), Fraction(top, bottom)
    low, high = _products(population, many, few)
    return Fraction(low, _ONE), Fraction(high, _ONE)


def _products(population: int, many: int, few: int) -> tuple[int, int]:
    """The product of (population - many - i) / (population - i) for i < few, cut down and cut up, in 2^-192.

    It ends where the product says nothing any more: what follows only makes it smaller.
    """
    low = high = _ONE
    for whole in range(population, population - few, -1):
        low = low * (whole - many) // whole
        high = -(-high * (whole - many) // whole)
        if high < _NOTHING:
            return 0, high
    return low, high


def detection(population: int, corrupt: int, sample: int) -> float:
    """The probability that the sample holds at least one corrupt block, rounded down."""
    if not corrupt:
        return 0.0
    chance = 1 - miss_bounds(population, corrupt, sample)[1]
    value = float(chance)
    return math.nextafter(value, 0.0) if Fraction(value) > chance else value


def sample_size(population: int, confidence: Fraction, corruption: Fraction) -> int:
    """The smallest sample that finds, with at least this confidence, that at least this share is corrupt.

    Where rounding leaves a doubt, the larger one.
    """
    if not population:
        return 0
    corrupt, allowed = corrupt_blocks(population, corruption), 1 - confidence
    low, high = 0, population - corrupt + 1  # so many cannot miss
    while low < high:
        middle = (low + high) // 2
        if miss_bounds(population, corrupt, middle)[1] <= allowed:
            high = middle
        else:
            low = middle + 1
    return low


def _check(population: int, corrupt: int, sample: int) -> None:
    if not 0 <= corrupt <= population or not 0 <= sample <= population:
        raise InvalidInput(f"of {population} blocks, {corrupt} cannot be corrupt or {sample} sampled")
