"""Builds the tree over the blocks of a volume, from its first to its last, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.engine.manifest.algorithm import FANOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockdiff.engine.manifest.algorithm import Hasher

    Run = tuple[int, int]
    Store = Callable[[int, int, bytes], None]
    """Is told level, first node and the digests to be stored."""


def zero_digests(hasher: Hasher, levels: int) -> list[bytes]:
    """The digest of a node with nothing but whole blocks of zeroes below it, for each level."""
    zeroes = [hasher.zero]
    while len(zeroes) < levels:
        zeroes.append(hasher.hash_nodes(zeroes[-1] * FANOUT))
    return zeroes


class TreeBuilder:
    """``add`` and ``add_zeroes`` take the blocks in order, ``finish`` gives the node at the top (empty: none).

    ``store`` is given the digests that a manifest holds: of all blocks but whole ones of zeroes, and of all nodes but
    those that have 256 children of which none is stored.
    """

    def __init__(self, hasher: Hasher, counts: list[int], store: Store | None = None) -> None:
        self._zeroes = zero_digests(hasher, len(counts))
        self._levels = [_Level(self, hasher, number) for number in range(len(counts))]
        self._counts = counts
        self.store: Store = store or (lambda *_: None)

    def add(self, digests: bytes, runs: Iterable[Run]) -> None:
        """Blocks that follow. ``runs`` (first of these digests, how many) are those that are to be stored."""
        self._levels[0].add(digests, runs)

    def add_zeroes(self, count: int) -> None:
        """So many whole blocks of zeroes follow."""
        if count:
            self._levels[0].add_zeroes(count, self._zeroes)

    def passed(self, level: int, nodes: bytes | int, runs: list[Run]) -> None:
        """A level has finished nodes of the one above: their digests, or how many that are all zeroes."""
        if level + 1 >= len(self._levels):
            return
        above = self._levels[level + 1]
        if isinstance(nodes, int):
            above.add_zeroes(nodes, self._zeroes)
        else:
            above.add(nodes, runs)

    def finish(self) -> bytes:
        """All blocks were added. ValueError where they were too few or too many."""
        for number, level in enumerate(self._levels):
            if level.count != self._counts[number]:
                raise ValueError(f"level {number} of the tree has {level.count} nodes, not {self._counts[number]}")
            if number + 1 < len(self._levels):
                level.close()
        return bytes(self._levels[-1].pending) if self._levels else b""


class _Level:
    """The nodes of one level: ``pending`` are those whose node above is not finished."""

    def __init__(self, tree: TreeBuilder, hasher: Hasher, number: int) -> None:
        self._tree, self._hasher, self._number = tree, hasher, number
        self._size, self._top = hasher.size, FANOUT * hasher.size
        self.pending = bytearray()
        self.count = 0
        self._touched: list[tuple[int, int]] = []  # runs of nodes above that have something stored below

    def add(self, digests: bytes, runs: Iterable[Run]) -> None:
        size, base = self._size, self.count
        for start, count in runs:
            self._tree.store(self._number, base + start, digests[start * size : (start + count) * size])
            self._touch((base + start) // FANOUT, (base + start + count - 1) // FANOUT + 1)
        self.pending += digests
        self.count += len(digests) // size
        self._pass()

    def _touch(self, first: int, end: int) -> None:
        if self._touched and first <= self._touched[-1][1]:
            self._touched[-1] = self._touched[-1][0], max(end, self._touched[-1][1])
        else:
            self._touched.append((first, end))

    def _pass(self) -> None:
        """Gives finished nodes to the level above."""
        full = len(self.pending) // self._top
        if not full:
            return
        end = self.count // FANOUT
        first = end - full
        nodes = self._hasher.hash_nodes(memoryview(self.pending)[: full * self._top])
        runs = [(max(a, first) - first, min(b, end) - max(a, first)) for a, b in self._touched if a < end]
        self._touched = [(max(a, end), b) for a, b in self._touched if b > end]
        self.pending = self.pending[full * self._top :]
        self._tree.passed(self._number, nodes, runs)

    def add_zeroes(self, count: int, zeroes: list[bytes]) -> None:
        zero = zeroes[self._number]
        if fill := min(count, -self.count % FANOUT):
            self.add(zero * fill, ())
        whole, rest = divmod(count - fill, FANOUT)
        if whole:
            self.count += whole * FANOUT
            if self._number + 1 < len(zeroes):
                self._tree.passed(self._number, whole, [])
        if rest:
            self.add(zero * rest, ())

    def close(self) -> None:
        """The last node above may have fewer children; it is stored whatever they are."""
        if self.pending:
            self._tree.passed(self._number, self._hasher.hash_nodes(self.pending), [(0, 1)])
            self.pending = bytearray()
