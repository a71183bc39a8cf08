"""Writes a manifest as the digests come: the blocks' own go to the file at once, the rest of the tree follows them."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Any

from blockdiff.engine.manifest.algorithm import SectionSum
from blockdiff.engine.manifest.form import RUN, Header, Level, encode_facts, header_length, level_counts, pack_header
from blockdiff.engine.manifest.pile import Pile
from blockdiff.engine.manifest.tree import TreeBuilder
from blockdiff.engine.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from blockdiff.engine.manifest.algorithm import Hasher


class ManifestWriter:
    """``add`` and ``add_zeroes`` take the blocks of a volume of ``size`` bytes in order, ``finish`` completes the file.

    ``file`` is a new one that can be sought; ``facts`` are kept with the root. Raises OutputError.
    """

    def __init__(self, file: BinaryIO, hasher: Hasher, size: int, facts: dict[str, Any]) -> None:
        self._file, self._out, self._hasher, self._size = file, Output(file), hasher, size
        self._counts = level_counts(size, hasher.block_size)
        self._facts = encode_facts(facts)
        self._header = header_length(len(self._counts), self._facts)
        self._stored = [_Stored() for _ in self._counts]
        self._tree = TreeBuilder(hasher, self._counts, self._store)
        self._sum = SectionSum()  # of the blocks' digests, which go straight to the file
        self.root = b""
        self._out.write(bytes(self._header))

    def add(self, digests: bytes, runs: Iterable[tuple[int, int]]) -> None:
        """Blocks that follow; ``runs`` (first of these, how many) are those that are not whole blocks of zeroes."""
        self._tree.add(digests, runs)

    def add_zeroes(self, count: int) -> None:
        """So many whole blocks of zeroes follow."""
        self._tree.add_zeroes(count)

    def _store(self, level: int, first: int, digests: bytes) -> None:
        stored = self._stored[level]
        if first != stored.end:
            stored.runs.add(RUN.pack(first, stored.count))
        count = len(digests) // self._hasher.size
        stored.end = first + count
        stored.count += count
        if level:
            stored.digests.add(digests)
        else:
            self._out.write(digests)
            self._sum.add(digests)

    def finish(self) -> Header:
        """Writes what is not there yet, the header last."""
        self.root = self._hasher.root(self._size, self._tree.finish())
        levels, at = [], self._header
        for number, stored in enumerate(self._stored):
            total = self._sum if number == 0 else SectionSum()
            for data in chain(stored.digests, stored.runs):
                total.add(data)
                self._out.write(data)
            row = Level(self._counts[number], stored.count, stored.runs.size // RUN.size, at, total.value())
            at += row.length(self._hasher.size)
            levels.append(row)
        name, block_size = self._hasher.algorithm.name, self._hasher.block_size
        header = Header(name, block_size, self._size, self.root, tuple(levels), {})
        self._file.seek(0)
        self._out.write(pack_header(header, self._facts))
        self._out.flush()
        self._file.seek(0, os.SEEK_END)
        self.close()
        return header

    def close(self) -> None:
        """Gives back what was kept beside the file."""
        for stored in self._stored:
            stored.digests.close()
            stored.runs.close()


class _Stored:
    """What is stored of one level: ``end`` is the node after the last one."""

    def __init__(self) -> None:
        self.digests, self.runs = Pile(), Pile()
        self.count, self.end = 0, -1
