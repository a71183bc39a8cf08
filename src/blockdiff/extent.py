"""The words for a range of bytes and what is known about it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What is known about an extent's bytes, or (from 16) how two devices differ there.

    A hole is not allocated here (its content may come from a parent); a zero extent reads as zeroes. Two different
    facts. OVER marks bytes that a list of changes holds although they are equal.
    """

    DATA = 0
    ZERO = 1
    HOLE = 2

    DIFF_DATA = 16
    SRC_ZERO = 17
    DST_ZERO = 18
    BIT_FLIP = 19
    SIZE = 20
    SRC_HOLE = 21
    DST_HOLE = 22

    OVER = 23

    @property
    def label(self) -> str:
        """The name used in every output: ``data``, ``zero``, ``hole``, ``src-zero``, ``bit-flip``, ..."""
        if self is Kind.OVER:
            return "over-reported"
        return "data" if self is Kind.DIFF_DATA else self.name.lower().replace("_", "-")


class Extent(NamedTuple):
    """A half-open byte range ``[offset, offset + length)``; units are bytes."""

    offset: int
    length: int
    kind: Kind = Kind.DATA

    @property
    def end(self) -> int:
        """The first byte after the extent."""
        return self.offset + self.length
