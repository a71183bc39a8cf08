"""Chooses blocks at random: uniformly, without replacement, in ascending order, in bounded memory.

The blocks are halved again and again, and it is drawn how many of the chosen ones fall into the first half: a draw from
the hypergeometric distribution. Where few enough are left they are drawn one by one. All randomness comes from BLAKE2b
of the seed and of the place in the tree, so that a seed chooses the same blocks everywhere and for ever.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAF = 65536  # blocks that are drawn one by one; 64 bytes each while they are
_SCALE = 1 << 128
_PERSON = b"blockdiff sample"
_EIGHT = Struct("<8Q")


class _Bits:
    """Random numbers that belong to a seed and a range of blocks."""

    def __init__(self, seed: str, first: int, count: int) -> None:
        digest = blake2b(seed.encode("utf-8", "surrogateescape"), person=_PERSON)
        digest.update(b"\0%d %d" % (first, count))
        self._key, self._blocks = digest.digest(), 0
        self._pool, self._left = 0, 0

    def words(self) -> Iterator[int]:
        """Numbers of 64 bits, without end."""
        while True:
            digest = blake2b(self._blocks.to_bytes(8, "little"), key=self._key, person=_PERSON)
            self._blocks += 1
            yield from _EIGHT.unpack(digest.digest())

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1, each as likely as the others."""
        bits = (limit - 1).bit_length()
        words, mask = self.words(), (1 << bits) - 1
        while True:
            value = 0
            for _ in range(-(-bits // 64)):
                value = value << 64 | next(words)
            if (value & mask) < limit:
                return value & mask


def choose(population: int, count: int, seed: str) -> Iterator[array[int]]:
    """``count`` of the numbers 0 to ``population`` - 1, ascending, in batches of at most LEAF."""
    if not 0 <= count <= population:
        raise ValueError(f"{count} of {population} cannot be chosen")
    todo = [(0, population, count)]
    while todo:
        first, size, wanted = todo.pop()
        if not wanted:
            continue
        if wanted <= LEAF or wanted == size:
            yield from _leaf(first, size, wanted, seed)
            continue
        half = size // 2
        left = _drawn(size, half, wanted, _Bits(seed, first, size))
        todo += [(first + half, size - half, wanted - left), (first, half, left)]


def _leaf(first: int, size: int, wanted: int, seed: str) -> Iterator[array[int]]:
    if wanted == size:
        for at in range(first, first + size, LEAF):
            yield array("q", range(at, min(first + size, at + LEAF)))
        return
    if size <= 2 * LEAF and 2 * wanted > size:  # what is left out is drawn
        left_out = _distinct(size, size - wanted, _Bits(seed, first, size))
        yield array("q", (first + i for i in range(size) if i not in left_out))
        return
    yield array("q", sorted(first + i for i in _distinct(size, wanted, _Bits(seed, first, size))))


def _distinct(size: int, wanted: int, bits: _Bits) -> set[int]:
    """Draws until so many different ones are there: each set of them is as likely as the others."""
    chosen: set[int] = set()
    mask = (1 << (size - 1).bit_length()) - 1
    words = bits.words()
    while len(chosen) < wanted:
        if (value := next(words) & mask) < size:
            chosen.add(value)
    return chosen


def _drawn(size: int, half: int, wanted: int, bits: _Bits) -> int:
    """How many of ``wanted`` blocks chosen out of ``size`` fall into the first ``half``.

    The weights of the hypergeometric distribution are walked outwards from the likeliest number until they are nothing,
    in units of 2^-128 of the largest: the error is far below what could ever be seen.
    """
    least, most = max(0, wanted - (size - half)), min(half, wanted)
    mode = min(most, max(least, (wanted + 1) * (half + 1) // (size + 2)))
    up = list(_weights(mode, most, lambda k: ((half - k) * (wanted - k), (k + 1) * (size - half - wanted + k + 1)), 1))
    down = list(
        _weights(mode, least, lambda k: (k * (size - half - wanted + k), (half - k + 1) * (wanted - k + 1)), -1)
    )
    left = bits.below(_SCALE + sum(up) + sum(down)) - _SCALE
    if left < 0:
        return mode
    for step, weights in ((1, up), (-1, down)):
        for place, weight in enumerate(weights, 1):
            if left < weight:
                return mode + step * place
            left -= weight
    raise AssertionError


def _weights(mode: int, last: int, ratio: Callable[[int], tuple[int, int]], step: int) -> Iterator[int]:
    """The weights after the mode's, up or down to the last number or to nothing."""
    weight, k = _SCALE, mode
    while k != last and weight:
        top, bottom = ratio(k)
        weight = weight * top // bottom
        k += step
        yield weight
