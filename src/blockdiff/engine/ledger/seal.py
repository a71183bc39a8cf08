"""The seal of a ledger: a sum over all rows, by which a flipped bit in any of them is found out.

SQLite notices a broken page, not a broken number. Each row has a hash, and the seal has the sum of all of them: it is
kept up with every change, in the same transaction, and compared when the ledger is opened.
"""

from __future__ import annotations

from struct import Struct

from blockdiff._fast import xxh64

_ROW = Struct("<5q")
_MASK = (1 << 63) - 1
_COVERAGE, _OTHER = 0x6C656467, 0x72756E73


def coverage_hash(row: tuple[int, int, int, int, int]) -> int:
    """That of a row of coverage."""
    return xxh64(_ROW.pack(*row), _COVERAGE) & _MASK


def row_hash(table: str, row: tuple[object, ...]) -> int:
    """That of a row of another table."""
    return xxh64(repr((table, *row)).encode("utf-8", "surrogateescape"), _OTHER) & _MASK


class Seal:
    """Rows counted, and the sum of their hashes modulo 2^63."""

    def __init__(self, rows: int = 0, total: int = 0) -> None:
        self.rows, self.total = rows, total

    def add(self, value: int) -> None:
        """A row was made."""
        self.rows += 1
        self.total = (self.total + value) & _MASK

    def remove(self, value: int) -> None:
        """A row was removed."""
        self.rows -= 1
        self.total = (self.total - value) & _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seal) and (self.rows, self.total) == (other.rows, other.total)

    __hash__ = None  # type: ignore[assignment]
