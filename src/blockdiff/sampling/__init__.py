"""The rules of samples: how many blocks, which ones, and what their being equal says about all. No I/O."""

from __future__ import annotations

from blockdiff.sampling.chance import corrupt_blocks, detection, miss_bounds, sample_of_share, sample_size
from blockdiff.sampling.choice import choose
from blockdiff.sampling.share import format_chance, format_share, parse_share

__all__ = [
    "choose",
    "corrupt_blocks",
    "detection",
    "format_chance",
    "format_share",
    "miss_bounds",
    "parse_share",
    "sample_of_share",
    "sample_size",
]
