"""Says whether a device still holds what a journal knows of: the old bytes or the new ones, sector by sector."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from blockdiff._fast import Extents, xxh64
from blockdiff.engine.repair.layout import NEW_ZERO, OLD_UNKNOWN, OLD_ZERO, SECTOR, Entry, digest_sectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.repair.contents import Batch, Contents

_KEPT = 2  # decoded batches


class Judge:
    """Knows all ranges of a journal, several repairs included, which may have been of the same ranges."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        count = len(contents.sessions)
        self.batches: list[list[Batch]] = [[] for _ in range(count)]
        for batch in contents.batches:
            self.batches[batch.session].append(batch)
        self._ends = [[batch.end for batch in batches] for batches in self.batches]
        self._decoded: dict[int, list[Entry]] = {}

    def covers(self, start: int, end: int) -> bool:
        """Whether the journal has anything of the range."""
        return next(self.overlapping(start, end), None) is not None

    def overlapping(self, start: int, end: int, sessions: int | None = None) -> Iterator[Entry]:
        """The entries that have bytes of the range; of the first so many sessions, or all."""
        for batches, ends in list(zip(self.batches, self._ends, strict=True))[:sessions]:
            for index in range(bisect_right(ends, start), len(batches)):
                if batches[index].start >= end:
                    break
                entries = self.entries(batches[index])
                first = bisect_right(entries, start, key=lambda entry: entry.end)
                for entry in entries[first:]:
                    if entry.offset >= end:
                        break
                    yield entry

    def entries(self, batch: Batch) -> list[Entry]:
        """The ranges of a batch; the last few are kept."""
        found = self._decoded.get(batch.at)
        if found is None:
            if len(self._decoded) >= _KEPT:
                del self._decoded[next(iter(self._decoded))]
            found = self._decoded[batch.at] = self._contents.entries(batch)
        return found

    def strange(self, offset: int, data: bytes | bytearray) -> Extents:
        """The sectors of what is read at ``offset`` that some repair changed and that hold none of its bytes."""
        end = offset + len(data)
        known: dict[int, bool] = {}
        for entry in self.overlapping(offset, end):
            for at in range(max(entry.offset, offset), min(entry.end, end), SECTOR):
                if not known.get(at):
                    stop = min(at + SECTOR, entry.end, end)
                    known[at] = accepts(entry, at, data[at - offset : stop - offset])
        odd = ((at, min(at + SECTOR, end) - at) for at, good in sorted(known.items()) if not good)
        return Extents(odd).coalesce()


def old_bytes(entry: Entry) -> bytes | memoryview:
    """What was there before the repair."""
    return bytes(entry.length) if entry.flags & OLD_ZERO else entry.old


def is_new(entry: Entry, data: bytes | bytearray) -> bool:
    """Whether this is what the repair wrote."""
    return data == bytes(entry.length) if entry.flags & NEW_ZERO else digest_sectors(data) == entry.digests


def accepts(entry: Entry, at: int, data: bytes | bytearray) -> bool:
    """Whether a sector of the entry has its old bytes, where they are known, or its new ones."""
    start = at - entry.offset
    if entry.flags & OLD_ZERO and not any(data):
        return True
    if not entry.flags & (OLD_ZERO | OLD_UNKNOWN) and data == entry.old[start : start + len(data)]:
        return True
    if entry.flags & NEW_ZERO:
        return not any(data)
    index = start // SECTOR
    return xxh64(data) == int.from_bytes(entry.digests[8 * index : 8 * index + 8], "little")
