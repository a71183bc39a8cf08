"""Manifests against each other: nothing but their files is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from blockdiff._fast import SET_TABLES, Extents, Merge
from blockdiff.engine.manifest.run import Piece
from blockdiff.engine.stream import align
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.engine.manifest.manifest import Manifest

_STEP = 4096  # digests at a time


def refuse_other_kind(one: Manifest, other: Manifest) -> None:
    """Raises InvalidInput where the digests of two manifests say nothing about each other."""
    for what, a, b in (
        ("algorithms", one.algorithm, other.algorithm),
        ("block sizes", format_size(one.block_size), format_size(other.block_size)),
    ):
        if a != b:
            raise InvalidInput(
                f"{one.name} and {other.name} are of two {what}, {a} and {b}, and cannot be compared: make one anew "
                f"with blockdiff digest --algorithm {one.algorithm} --block-size {one.block_size} -o MANIFEST "
                f"{other.origin or 'IMAGE'}"
            )


def refuse_same_file(one: Manifest, other: Manifest) -> None:
    """A manifest is always identical with itself: that proves nothing and is somebody's mistake. InvalidInput."""
    if one.file_identity == other.file_identity:
        raise InvalidInput(f"{one.name} and {other.name} are one and the same: comparing it with itself proves nothing")


class ManifestRun:
    """Gives the digests of a manifest as a DigestRun gives those of a device."""

    workers = 1

    def __init__(
        self, manifest: Manifest, *, start: int, end: int, only: Iterable[Extents] | None = None, command: str = ""
    ) -> None:
        self._manifest, self._start, self._end, self._only = manifest, start, end, only
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.elapsed_seconds = 0.0
        self.bytes_digested = 0

    def __iter__(self) -> Iterator[Piece]:
        began = time.monotonic()
        try:
            whole = [Extents([(self._start, self._end - self._start)])] if self._end > self._start else []
            wanted: Iterable[Extents] = whole
            if self._only is not None:
                block = self._manifest.block_size
                wanted = Merge(align(self._only, block, limit=self._end), whole, SET_TABLES["intersect"])
            for batch in wanted:
                for offset, length, _ in batch:
                    yield from self._pieces(offset, length)
        finally:
            self.elapsed_seconds = time.monotonic() - began

    def _pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """What is stored, and the zeroes between."""
        block, end = self._manifest.block_size, offset + length
        at, last = offset // block, -(-end // block)
        for first, count in self._manifest.stored(at, last - at):
            yield from self._zeroes(at, first)
            for start in range(first, first + count, _STEP):
                n = min(_STEP, first + count - start)
                stop = min(end, (start + n) * block)
                yield self._piece(start * block, stop - start * block, self._manifest.digests(start, n))
            at = first + count
        yield from self._zeroes(at, last)

    def _zeroes(self, first: int, end: int) -> Iterator[Piece]:
        if end > first:
            block = self._manifest.block_size
            yield self._piece(first * block, (end - first) * block, None)

    def _piece(self, offset: int, length: int, digests: bytes | None) -> Piece:
        self.bytes_digested += length
        kinds = Extents() if digests is None else Extents([(offset, length, Kind.DATA)])
        return Piece(offset, length, digests, kinds, Extents())
