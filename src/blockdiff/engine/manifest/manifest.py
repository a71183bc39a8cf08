"""Reads manifests. What is read is proved by the tree, up to the root, before it is given."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from blockdiff.engine.manifest.algorithm import FANOUT, Hasher, SectionSum
from blockdiff.engine.manifest.form import RUN, Header, begin, damaged, read_header
from blockdiff.engine.manifest.tree import zero_digests
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1 << 20


def open_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Opens a manifest and proves its header. InvalidInput says what is wrong with it."""
    name = os.fspath(path)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"cannot open {name}: {os.strerror(error.errno or 0)}") from error
    try:
        return Manifest(fd, name)
    except BaseException:
        os.close(fd)
        raise


class Manifest:
    """The digests of a volume: ``size`` and ``block_size`` (bytes), ``algorithm``, ``root``, ``blocks``, and ``facts``
    on where it comes from.

    It takes the descriptor over. A manifest that is not what its root says raises InvalidInput when that is read;
    ``check`` reads all of it. One serves one thread at a time.
    """

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self.header = self._read_header(fd)
        self._fd = fd
        self.size, self.block_size = self.header.size, self.header.block_size
        self.algorithm, self.root, self.facts = self.header.algorithm, self.header.root, self.header.facts
        self.hasher = Hasher(self.algorithm, self.block_size)
        self._levels = self.header.levels
        self.blocks = self._levels[0].nodes if self._levels else 0
        self.stored_blocks = self._levels[0].stored if self._levels else 0
        self._zeroes = zero_digests(self.hasher, len(self._levels))
        self._runs: dict[int, tuple[array[int], array[int]]] = {}
        self._kept: dict[int, tuple[int, bytes]] = {}
        self._prove_root()

    def _read_header(self, fd: int) -> Header:
        try:
            length = begin(os.pread(fd, 16, 0), self.name)
            return read_header(os.pread(fd, length, 0), self.name, os.fstat(fd).st_size)
        except OSError as error:
            raise InvalidInput(f"cannot read {self.name}: {os.strerror(error.errno or 0)}") from error

    def _prove_root(self) -> None:
        top = len(self._levels) - 1
        node = self._assemble(top, 0, 1) if self._levels else b""
        if self.hasher.root(self.size, node) != self.root:
            raise self._damaged("its digests do not give its root")

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the file back; every later use raises."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def url(self) -> str:
        """The file, as it was named."""
        return self.name

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells its content from others."""
        return "manifest", self.algorithm, str(self.block_size), str(self.size), self.root.hex()

    @property
    def origin(self) -> str:
        """What it was made of."""
        return str(self.facts.get("url", ""))

    @property
    def file_size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    @property
    def file_identity(self) -> tuple[int, int]:
        """What tells the file from others."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def check(self) -> None:
        """Reads the whole file and raises InvalidInput where a bit of it is not as it was written."""
        for number, level in enumerate(self._levels):
            total, left, at = SectionSum(), level.length(self.hasher.size), level.offset
            while left:
                data = self._pread(min(left, _PIECE), at)
                total.add(data)
                at += len(data)
                left -= len(data)
            if total.value() != level.checksum:
                raise self._damaged(f"the checksum of level {number} is wrong")

    def digests(self, first: int, count: int) -> bytes:
        """The digests of ``count`` blocks from ``first`` on, joined. InvalidInput where the manifest is damaged."""
        if first < 0 or count < 0 or first + count > self.blocks:
            raise InvalidInput(f"{self.name} has {self.blocks} blocks, not those from {first} to {first + count}")
        return self._proved(0, first, count)

    def stored(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """The runs (first, count) of blocks in this range that are not whole blocks of zeroes."""
        return self._stored(0, first, count)

    def _stored(self, level: int, first: int, count: int) -> Iterator[tuple[int, int]]:
        if not count:
            return
        if level + 1 == len(self._levels):
            if self._group(level, 0) != self._zeroes[level]:
                yield 0, 1
            return
        end = first + count
        low, high = first // FANOUT, -(-end // FANOUT)
        for start, groups in self._stored(level + 1, low, high - low):
            for group in range(start, start + groups):
                self._group(level, group)  # proves what the runs say of it
                a, b = max(first, group * FANOUT), min(end, (group + 1) * FANOUT)
                yield from ((node, n) for node, n, _ in self._present(level, a, b))

    def _proved(self, level: int, first: int, count: int) -> bytes:
        """Digests of a level, proved by the one above."""
        parts, at, end = [], first, first + count
        while at < end:
            group, inside = divmod(at, FANOUT)
            stop = min(end, (group + 1) * FANOUT)
            data = self._group(level, group)
            parts.append(data[inside * self.hasher.size : (inside + stop - at) * self.hasher.size])
            at = stop
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _group(self, level: int, group: int) -> bytes:
        """The digests of 256 nodes that have one above them."""
        kept = self._kept.get(level)
        if kept is not None and kept[0] == group:
            return kept[1]
        first = group * FANOUT
        count = min(FANOUT, self._levels[level].nodes - first)
        if level + 1 == len(self._levels):
            data = self._assemble(level, first, count)
            proof = self.hasher.root(self.size, data) == self.root
        else:
            above = self._proved(level + 1, group, 1)
            if count == FANOUT and above == self._zeroes[level + 1]:
                return self._zeroes[level] * FANOUT
            data = self._assemble(level, first, count)
            proof = self.hasher.hash_nodes(data) == above
        if not proof:
            raise self._damaged(f"the digests from node {first} of level {level} on are not what its root says")
        self._kept[level] = group, data
        return data

    def _assemble(self, level: int, first: int, count: int) -> bytes:
        """Digests as the file has them, those that are not stored filled in."""
        size, at, parts = self.hasher.size, first, []
        present = list(self._present(level, first, first + count))
        total, base = sum(n for _, n, _ in present), present[0][2] if present else 0
        stored = self._pread(total * size, self._levels[level].offset + base * size) if total else b""
        for node, n, rank in present:  # what is stored of neighbours is stored together
            if rank < base or rank + n > base + total:
                raise self._damaged(f"the runs of level {level} do not follow each other")
            parts += [self._zeroes[level] * (node - at), stored[(rank - base) * size : (rank - base + n) * size]]
            at = node + n
        parts.append(self._zeroes[level] * (first + count - at))
        return b"".join(parts)

    def _present(self, level: int, first: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What is stored of ``[first, end)``: node, how many, and which of the stored digests is the first one's."""
        firsts, ranks = self._runs_of(level)
        row = self._levels[level]
        for i in range(max(0, bisect_right(firsts, first) - 1), len(firsts)):
            node, rank = firsts[i], ranks[i]
            if node >= end:
                return
            last = i + 1 == len(firsts)
            stop = node + (row.stored if last else ranks[i + 1]) - rank
            if not node < stop <= (row.nodes if last else firsts[i + 1]) or rank >= row.stored:
                raise self._damaged(f"run {i} of level {level} cannot be")
            low, high = max(node, first), min(stop, end)
            if low < high:
                yield low, high - low, rank + low - node

    def _runs_of(self, level: int) -> tuple[array[int], array[int]]:
        runs = self._runs.get(level)
        if runs is None:
            row = self._levels[level]
            data = self._pread(row.runs * RUN.size, row.offset + row.stored * self.hasher.size)
            pairs = array("Q", data)
            if array("H", [1]).tobytes() == b"\0\1":
                pairs.byteswap()
            runs = self._runs[level] = pairs[::2], pairs[1::2]
            if runs[1] and runs[1][0]:
                raise self._damaged(f"the runs of level {level} do not begin with its first digest")
        return runs

    def _pread(self, count: int, offset: int) -> bytes:
        try:
            parts = []
            while count:
                data = os.pread(self._fd, count, offset)
                if not data:
                    raise self._damaged("it was cut off while it was read")
                parts.append(data)
                count -= len(data)
                offset += len(data)
        except OSError as error:
            raise InvalidInput(f"cannot read {self.name}: {os.strerror(error.errno or 0)}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _damaged(self, why: str) -> InvalidInput:
        return damaged(self.name, why)

    def to_dict(self) -> dict[str, Any]:
        """What it says of itself, ready for JSON."""
        return {
            **self.facts,
            "manifest": self.name,
            "algorithm": self.algorithm,
            "block_size": self.block_size,
            "size": self.size,
            "root": self.root.hex(),
            "blocks": self.blocks,
            "stored_blocks": self.stored_blocks,
        }
