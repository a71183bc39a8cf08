"""Deterministic pairs of disk images, and the truth about where they differ.

Every byte comes from a seeded generator, so two runs (and two machines) race over the same bits. A changed range is the
old bytes through an XOR, so every byte of it differs: ``cmp -l`` must count exactly ``truth.bytes``. Files are written,
never cloned: on a file system with reflinks a clone would share its blocks and nobody would have to read them.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK = 64 * 1024
CHUNK = 4 << 20
MASK = 0x5A
FLIP = bytes(byte ^ MASK for byte in range(256))

Range = tuple[int, int]


@dataclass(frozen=True)
class Truth:
    """Where two files of ``size`` bytes differ: (offset, length) ranges in which every byte differs."""

    size: int
    changed: tuple[Range, ...] = ()

    @property
    def identical(self) -> bool:
        return not self.changed

    @cached_property
    def bytes(self) -> int:
        return sum(length for _, length in self.changed)

    def at(self, granularity: int) -> list[Range]:
        """The ranges as a tool of this granularity must report them: grown outwards, joined, cut at the size."""
        grown = (
            (offset // granularity * granularity, min(self.size, -(-(offset + length) // granularity) * granularity))
            for offset, length in self.changed
        )
        return joined((start, end - start) for start, end in grown)

    def blocks(self, granularity: int) -> int:
        """How many blocks of this size differ."""
        return sum(-(-length // granularity) for _, length in self.at(granularity))


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Sorted ranges with neighbours and overlaps made one."""
    out: list[Range] = []
    for offset, length in ranges:
        if out and offset <= out[-1][0] + out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], offset + length - out[-1][0]))
        else:
            out.append((offset, length))
    return out


@dataclass(frozen=True)
class Pair:
    """Two files to compare. ``data`` is what a tool that knows about holes has to read of each side."""

    source: str
    target: str
    truth: Truth
    data: int

    @property
    def paths(self) -> tuple[str, str]:
        return self.source, self.target


class Store:
    """Makes the files of a run on demand, each once, in one directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, exist_ok=True)

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def made(self, name: str, size: int, make: Callable[[str], None]) -> str:
        """The file of this name and size, made under another name first, so that what is there is whole."""
        path = self.path(f"{name}-{size >> 20}m.raw")
        if not os.path.exists(path):
            make(path + ".part")
            os.rename(path + ".part", path)
        return path

    # ---- pairs ----

    def equal(self, size: int) -> Pair:
        """Random bytes, twice."""
        a = self.made("a", size, lambda path: write(path, noise(size)))
        b = self.made("b", size, lambda path: write(path, contents(a)))
        return Pair(a, b, Truth(size), size)

    def scattered(self, size: int, percent: int = 1) -> Pair:
        """One byte changed, anywhere, in this share of the 64 KiB blocks."""
        rng = random.Random(11)
        ranges = tuple((block * BLOCK + rng.randrange(BLOCK), 1) for block in sample(rng, size, percent))
        a = self.equal(size).source
        c = self.made(f"scattered{percent}", size, lambda path: changed_copy(a, path, ranges))
        return Pair(a, c, Truth(size, ranges), size)

    def rewritten(self, size: int, percent: int = 10, block: int = BLOCK) -> Pair:
        """A replica to update: the target is the base, the source has this share of whole blocks changed."""
        ranges = tuple((number * block, block) for number in sample(random.Random(21), size, percent, block))
        a = self.equal(size).source
        name = f"rewritten{percent}" if block == BLOCK else f"rewritten{percent}-{block}"
        source = self.made(name, size, lambda path: changed_copy(a, path, ranges))
        target = self.made("replica", size, lambda path: write(path, contents(a)))
        return Pair(source, target, Truth(size, ranges), size)

    def sparse(self, size: int, data: int, piece: int = 1 << 20) -> Pair:
        """Mostly holes: ``data`` bytes in pieces, equal on both sides."""

        def make(path: str) -> None:
            rng = random.Random(5)
            with open(path, "wb") as file:
                file.truncate(size)
                for slot in sorted(rng.sample(range(size // piece), data // piece)):
                    os.pwrite(file.fileno(), rng.randbytes(piece), slot * piece)
                os.fsync(file.fileno())

        tag = f"{data >> 20}-{piece >> 10}"
        return Pair(self.made(f"sparse-a{tag}", size, make), self.made(f"sparse-b{tag}", size, make), Truth(size), data)

    def zeroes(self, size: int) -> Pair:
        """Zeroes that were written, against a hole."""
        zeroes = (bytes(min(CHUNK, size - offset)) for offset in range(0, size, CHUNK))
        written = self.made("zeroes", size, lambda path: write(path, zeroes))
        hole = self.made("hole", size, lambda path: write(path, (), size))
        return Pair(written, hole, Truth(size), size)

    def tiny(self, size: int = 1 << 20) -> Pair:
        """Small enough that only the start counts."""
        return self.equal(size)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


# ---- writing ----


def noise(size: int, seed: int = 1) -> Iterator[bytes]:
    rng = random.Random(seed)
    for offset in range(0, size, CHUNK):
        yield rng.randbytes(min(CHUNK, size - offset))


def contents(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def write(path: str, chunks: Iterable[bytes], size: int = 0) -> None:
    with open(path, "wb", buffering=0) as file:
        for chunk in chunks:
            write_all(file.fileno(), chunk)
        if size:
            file.truncate(size)
        os.fsync(file.fileno())


def write_all(fd: int, chunk: bytes) -> None:
    done = 0
    while done < len(chunk):
        done += os.write(fd, memoryview(chunk)[done:])


def sample(rng: random.Random, size: int, percent: int, block: int = BLOCK) -> list[int]:
    blocks = size // block
    return sorted(rng.sample(range(blocks), max(1, blocks * percent // 100)))


def changed_copy(source: str, path: str, ranges: Iterable[Range]) -> None:
    write(path, contents(source))
    flip(path, path, ranges)


def flip(source: str, target: str, ranges: Iterable[Range]) -> None:
    """Writes the ranges of the source into the target with every byte changed; twice gives the old bytes again."""
    with open(source, "rb", buffering=0) as reader, open(target, "r+b", buffering=0) as writer:
        for offset, length in ranges:
            os.pwrite(writer.fileno(), os.pread(reader.fileno(), length, offset).translate(FLIP), offset)
        os.fsync(writer.fileno())


def restore(pair: Pair) -> None:
    """Makes the target of ``rewritten`` the base again, whatever a copy did to it."""
    flip(pair.source, pair.target, pair.truth.changed)


def same(a: str, b: str) -> bool:
    """The naive comparison that a copy's answer is checked with."""
    if os.path.getsize(a) != os.path.getsize(b):
        return False
    return all(x == y for x, y in zip(contents(a), contents(b), strict=True))
