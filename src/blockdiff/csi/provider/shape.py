"""Extents in the shape that was configured: joined ranges, or blocks of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Extents
from blockdiff.engine.options import MAX_GRANULARITY, MIN_GRANULARITY
from blockdiff.engine.stream import align
from blockdiff.errors import InvalidInput
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK_SIZE = 4096  # bytes
BATCH = 65536  # blocks made at once: memory does not grow with the volume


class Shape:
    """``fixed``: every tuple is one block of ``block_size`` bytes (a power of two from 512 to 1 MiB). InvalidInput.

    A volume whose size is no multiple of the block ends with a shorter block. Tuples of one length cannot say that
    without leaving the volume, so such a volume is told as VARIABLE_LENGTH.
    """

    def __init__(self, *, fixed: bool = False, block_size: int = BLOCK_SIZE) -> None:
        if not MIN_GRANULARITY <= block_size <= MAX_GRANULARITY or block_size & (block_size - 1):
            raise InvalidInput(f"the block size {block_size} is not a power of two from 512 to 1M")
        self.fixed, self.block_size = fixed, block_size

    def records(self, batches: Iterable[Extents], capacity: int) -> Iterator[Record]:
        """Records of a volume of ``capacity`` bytes; at least one, which says whose the empty list is."""
        kind = BlockMetadataType.VARIABLE_LENGTH
        plain: Iterator[Extents] = (batch.with_kind(0).coalesce() for batch in batches if len(batch))
        if self.fixed:
            plain = blocks(align(plain, self.block_size, limit=capacity), self.block_size)
            kind = kind if capacity % self.block_size else BlockMetadataType.FIXED_LENGTH
        given = False
        for extents in plain:
            given = True
            yield Record(kind, capacity, extents)
        if not given:
            yield Record(kind, capacity, Extents())


def blocks(batches: Iterable[Extents], size: int) -> Iterator[Extents]:
    """Aligned extents cut into blocks of ``size`` bytes; only an extent's last one may be shorter."""
    import numpy as np

    for batch in batches:
        table = np.asarray(batch)
        starts, lengths = table["offset"], table["length"]
        ends = np.cumsum(-(-lengths // size))
        total = int(ends[-1]) if len(ends) else 0
        for low in range(0, total, BATCH):
            number = np.arange(low, min(low + BATCH, total))
            extent = np.searchsorted(ends, number, side="right")
            before = np.where(extent > 0, ends[extent - 1], 0)
            offsets = starts[extent] + (number - before) * size
            left = starts[extent] + lengths[extent] - offsets
            yield Extents.from_arrays(offsets.data, np.minimum(left, size).data)
