"""Partitions, and the table that an image has: GPT, MBR with logical partitions, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int, int], bytes]
    """(offset, length) -> bytes, fewer where the device ends before."""


class Partition(NamedTuple):
    """``number`` is that of Linux, ``start`` and ``length`` bytes; ``kind`` says the type in words or as its code."""

    number: int
    start: int
    length: int
    kind: str
    name: str = ""

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.length


class Table(NamedTuple):
    """A partition table: ``scheme`` is ``gpt`` or ``mbr``; ``notes`` say what is wrong with it; ascending by start."""

    scheme: str
    partitions: tuple[Partition, ...]
    notes: tuple[str, ...] = ()
    sector: int = 512

    def at(self, offset: int) -> Partition | None:
        """The partition that holds this byte."""
        return next((part for part in self.partitions if part.start <= offset < part.end), None)


def read_table(read: Read, size: int, sectors: tuple[int, ...] = (512, 4096)) -> Table | None:
    """The table of a device of ``size`` bytes, or None. ``sectors``: bytes of a logical sector, the likeliest first.

    A GPT whose checksums are wrong in both places is no table: that would be guessing. A note says so.
    """
    from blockdiff.triage.layout.gpt import read_gpt
    from blockdiff.triage.layout.mbr import read_mbr

    notes: tuple[str, ...] = ()
    for sector in sectors:
        found, said = read_gpt(read, size, sector)
        if found is not None:
            return found
        notes += said
    legacy = read_mbr(read, size, sectors[0])
    if legacy is None:
        return Table("none", (), notes) if notes else None
    return legacy._replace(notes=(*notes, *legacy.notes))
