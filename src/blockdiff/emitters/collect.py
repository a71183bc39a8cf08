"""A stream of records in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.engine.stream import concatenate

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.record import Record


class CollectEmitter:
    """Keeps all records: 24 bytes for every extent."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.complete = False

    @property
    def extents(self) -> Extents:
        """All extents so far as one set."""
        return concatenate(record.extents for record in self.records)

    def record(self, number: int, record: Record) -> None:  # the protocol
        """Keeps a record."""
        self.records.append(record)

    def done(self, count: int) -> None:  # the protocol
        """Marks the collection as complete."""
        self.complete = True
