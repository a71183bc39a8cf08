"""Gives a device back the bytes that it had before a repair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff._fast import Extents
from blockdiff.engine.progress import NoProgress
from blockdiff.engine.repair.judging import Judge, is_new, old_bytes
from blockdiff.engine.repair.layout import (
    OLD_HOLE,
    OLD_UNKNOWN,
    OLD_ZERO,
    OPEN,
    REPAIRED,
    UNDOING,
    UNDONE,
    Entry,
)
from blockdiff.engine.repair.past import Reading
from blockdiff.engine.repair.team import Team
from blockdiff.errors import ContentsDoNotMatch, DeviceError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdiff.engine.device import WritableDevice
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.repair.journal import Journal

_SHOWN = 5


class Undo:
    """Restores what a journal holds of the bytes that ``target`` had.

    Everything is looked at before anything is written: where the target holds neither bytes of the repair nor the old
    ones, somebody else wrote since, and InvalidInput says where, unless ``force``. It may be stopped at any moment and
    run again. ``differing_bytes`` is what had to be restored, ``restored_bytes`` what was; ``lost_bytes`` were written
    without undo. Raises InvalidInput, DeviceError, ContentsDoNotMatch (the target does not keep what was written).
    """

    def __init__(
        self, journal: Journal, target: WritableDevice, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        assert journal.contents is not None
        self._journal, self._contents, self._target, self._force = journal, journal.contents, target, force
        self._progress = progress or NoProgress()
        self._judge = Judge(self._contents)
        self.ranges = self.bytes = self.differing_bytes = self.restored_bytes = self.lost_bytes = self.strange_bytes = 0
        self.was = self._contents.state
        self.strange: list[tuple[int, int]] = []
        self.elapsed_seconds = 0.0

    def check(self) -> None:
        """Looks at every range; writes nothing. InvalidInput where it must not be written."""
        reading = Reading(self._target)
        self._progress.start("check", sum(batch.frame.body for batch in self._contents.batches))
        try:
            with Team(self._target) as team:
                for parts in self._oldest():
                    for part, data in zip(parts, team.map(lambda part: self._read(part, reading), parts), strict=True):
                        self._check(part, data)
                    self._progress.advance(self.bytes)
        finally:
            self._progress.finish()
        if self.strange and not self._force:
            raise InvalidInput(self._refusal())
        if self.was == "undone" and not self.differing_bytes:
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._contents.slot.at))
            raise InvalidInput(
                f"the journal {self._journal.name} was undone already, on {when}, and {self._target.url} still holds "
                "the old bytes: there is nothing to do"
            )

    def run(self) -> None:
        """Checks, restores, reads back, and marks the journal as undone."""
        began = time.monotonic()
        try:
            self.check()
            self._restore()  # also what was restored before and perhaps never flushed
            self._journal.mark(UNDONE)
        finally:
            self.elapsed_seconds = time.monotonic() - began

    # ---- inside ----

    def _read(self, part: Part, reading: Reading) -> Any:
        """What is there now; None where that does not matter, or cannot be known and does not have to."""
        if part.entry.flags & OLD_UNKNOWN:
            return None
        try:
            return reading.read(part.offset, part.length)
        except DeviceError:
            if not self._force:
                raise
            return None

    def _check(self, part: Part, data: Any) -> None:
        self.ranges += 1
        if part.entry.flags & OLD_UNKNOWN:
            self.lost_bytes += part.length
            return
        self.bytes += part.length
        if data == part.old:
            return
        self.differing_bytes += part.length
        if data is None:
            self._note(part.offset, part.length)
        elif part.length != part.entry.length or not is_new(part.entry, data):
            for start, count, _ in self._judge.strange(part.offset, data):
                self._note(start, count)

    def _note(self, offset: int, length: int) -> None:
        self.strange_bytes += length
        if len(self.strange) < _SHOWN:
            self.strange.append((offset, length))

    def _refusal(self) -> str:
        places = ", ".join(f"[{offset}, {offset + length})" for offset, length in self.strange)
        return (
            f"{self._target.url} was written to since the repair: {self.strange_bytes} bytes are neither the repaired "
            f"nor the old ones, first {places}; --force writes the old bytes all the same"
        )

    def _restore(self) -> None:
        if self._contents.slot.state in (OPEN, REPAIRED, UNDONE):
            self._journal.mark(UNDOING)
        forget: Callable[[], None] = getattr(self._target, "drop_cache", lambda: None)
        forget()
        self._progress.start("undo", self.differing_bytes)
        try:
            with Team(self._target) as team:
                reading = Reading(self._target)
                for parts in self._oldest():
                    self.restored_bytes += sum(team.map(lambda part: self._put(part, reading), parts))
                    self._progress.advance(self.restored_bytes)
                self._target.flush()
                forget()
                proof = Reading(self._target, past_cache=True)
                for parts in self._oldest():
                    for _ in team.map(lambda part: self._prove(part, proof), parts):
                        pass
        finally:
            self._progress.finish()

    def _oldest(self) -> Iterator[list[Part]]:
        """Batch by batch what no earlier repair had changed before: that came from the beginning."""
        for number, batches in enumerate(self._judge.batches):
            for batch in batches:
                yield [part for entry in self._judge.entries(batch) for part in self._parts(entry, number)]

    def _parts(self, entry: Entry, number: int) -> list[Part]:
        rest = Extents([(entry.offset, entry.length)])
        for other in self._judge.overlapping(entry.offset, entry.end, number):
            rest = rest.subtract(Extents([(other.offset, other.length)]))
        return [Part(entry, offset, length) for offset, length, _ in rest]

    def _put(self, part: Part, reading: Reading) -> int:
        """Restores a part; the bytes that were written."""
        if part.entry.flags & OLD_UNKNOWN or self._read(part, reading) == part.old:
            return 0
        if part.entry.flags & OLD_ZERO:
            self._target.zero(part.offset, part.length, punch=bool(part.entry.flags & OLD_HOLE))
        else:
            self._target.pwrite(part.old, part.offset)
        return part.length

    def _prove(self, part: Part, reading: Reading) -> None:
        if part.entry.flags & OLD_UNKNOWN or reading.read(part.offset, part.length) == part.old:
            return
        raise ContentsDoNotMatch(
            f"{self._target.url} reads back differently from what was restored at offset {part.offset} (length "
            f"{part.length}): the device is not to be trusted; the journal is not marked as undone"
        )


class Part(NamedTuple):
    """A part of an entry."""

    entry: Entry
    offset: int
    length: int

    @property
    def old(self) -> bytes:
        """Its old bytes."""
        start = self.offset - self.entry.offset
        return bytes(old_bytes(self.entry)[start : start + self.length])
