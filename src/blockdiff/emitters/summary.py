"""A stream of records in a few lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.engine.output import Output
from blockdiff.extent import Kind
from blockdiff.units import format_size

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.record import Record


class SummaryEmitter:
    """Counts records, extents and bytes, by kind where there are several, and writes the sums at the end."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = Output(out)
        self.extents = 0
        self.capacity = 0
        self.bytes_by_kind: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """All bytes covered so far."""
        return sum(self.bytes_by_kind.values())

    def record(self, number: int, record: Record) -> None:  # the protocol
        """Counts a record."""
        self.extents += len(record.extents)
        self.capacity = record.capacity
        for kind, count in record.extents.totals().items():
            self.bytes_by_kind[kind] = self.bytes_by_kind.get(kind, 0) + count

    def done(self, count: int) -> None:
        """Writes the sums."""
        share = f", {self.bytes / self.capacity:.2%} of {format_size(self.capacity)}" if self.capacity else ""
        what = f"{_plural(self.extents, 'extent')} in {_plural(count, 'record')}"
        lines = [f"{what}: {_plural(self.bytes, 'byte')} ({format_size(self.bytes)}{share})"]
        if len(self.bytes_by_kind) > 1:
            lines += [
                f"  {Kind(kind).label}: {_plural(count, 'byte')} ({format_size(count)})"
                for kind, count in sorted(self.bytes_by_kind.items())
            ]
        self._out.write("".join(line + "\n" for line in lines).encode())
        self._out.flush()


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
