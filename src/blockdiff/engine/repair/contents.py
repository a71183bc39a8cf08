"""Reads an undo journal, and refuses one that is not whole.

Of a crash in the middle of a record only that record is missing, and it is known that it was not applied: the slots say
how many were. Anything else that is missing or changed is damage.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.engine.repair.layout import (
    BATCH,
    FIRST,
    FRAME_HEAD,
    FRAME_MAGIC,
    FRAME_TAIL,
    MAGIC,
    SESSION,
    SLOT_OFFSETS,
    STATES,
    Entry,
    Frame,
    Slot,
    decode_entries,
    decode_head,
    decode_header,
    decode_slot,
    is_whole,
)
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.repair.storage import Storage

_STEP = 1 << 20


class Batch(NamedTuple):
    """Where a batch of ranges is in the journal, and which part ``[start, end)`` of the device they are in."""

    at: int
    frame: Frame
    session: int
    start: int
    end: int


class Contents:
    """What is in a journal. ``torn`` bytes at its end are of a record that was never applied.

    ``device`` describes the device (``name`` to open it by, ``url``, ``size``, ``identity``); ``sessions`` the repairs
    that wrote it. Raises InvalidInput.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        head = storage.read(0, FIRST)
        self.identifier, self.facts = decode_header(head)
        if len(head) < FIRST:
            raise InvalidInput("it ends before its first record: it was cut off, or nothing was ever written by it")
        self.device = _device(self.facts)
        found = [decode_slot(self.identifier, head[at : at + 4096]) for at in SLOT_OFFSETS]
        slots = [slot for slot in found if slot is not None]
        if not slots:
            raise InvalidInput("it is damaged: nothing says how far it goes")
        self.slot: Slot = max(slots)
        self.sessions: list[dict[str, Any]] = []
        self.batches: list[Batch] = []
        self.frames, self.end, self.torn = 0, FIRST, 0
        self._scan(sound=len(slots) == len(found))

    @property
    def size(self) -> int:
        """The size of the device in bytes."""
        size: int = self.device["size"]
        return size

    @property
    def state(self) -> str:
        """``open``, ``repaired``, ``undoing`` or ``undone``."""
        return STATES[self.slot.state]

    def entries(self, batch: Batch) -> list[Entry]:
        """The ranges of a batch, read and checked again. InvalidInput where it changed meanwhile."""
        body = self._body(batch.at, batch.frame)
        if body is None:
            raise self._damaged(batch.at)
        return decode_entries(body, batch.frame.entries, self.size)

    def walk(self) -> Iterator[tuple[Batch, list[Entry]]]:
        """All batches with their ranges, as they were written."""
        return ((batch, self.entries(batch)) for batch in self.batches)

    def _scan(self, *, sound: bool) -> None:
        total, reached = self._storage.size(), 0
        while self.end < total:
            frame = decode_head(self.identifier, self._storage.read(self.end, FRAME_HEAD))
            body = None
            if frame is not None and frame.sequence == self.frames and self.end + frame.size <= total:
                body = self._body(self.end, frame)
            if frame is None or body is None:
                break
            if self.slot.frames == self.frames and self.slot.end != self.end:
                raise self._damaged(self.end)
            reached = self._take(frame, body, reached)
            self.end, self.frames = self.end + frame.size, self.frames + 1
        self.torn = total - self.end
        missing = self.frames < self.slot.frames
        if missing or (self.torn and (not sound or self._goes_on(total))):
            raise self._damaged(self.end)

    def _take(self, frame: Frame, body: memoryview, reached: int) -> int:
        if frame.type == SESSION:
            self.sessions.append(_object(bytes(body)))
            return 0
        if frame.type != BATCH or not self.sessions:
            raise self._damaged(self.end)
        entries = decode_entries(body, frame.entries, self.size)
        if not entries or entries[0].offset < reached:
            raise self._damaged(self.end)
        batch = Batch(self.end, frame, len(self.sessions) - 1, entries[0].offset, entries[-1].end)
        self.batches.append(batch)
        return batch.end

    def _body(self, at: int, frame: Frame) -> memoryview | None:
        data = self._storage.read(at, frame.size)
        if len(data) < frame.size or not is_whole(memoryview(data)):
            return None
        return memoryview(data)[FRAME_HEAD:-FRAME_TAIL]

    def _goes_on(self, total: int) -> bool:
        """Whether there are records behind the one that is not whole: then it is no crash that cut it off."""
        mark = FRAME_MAGIC + self.identifier
        at = self.end + 1
        while at < total:
            data = self._storage.read(at, _STEP + FRAME_HEAD)
            found = data.find(mark)
            while found >= 0:
                if decode_head(self.identifier, data[found : found + FRAME_HEAD]) is not None:
                    return True
                found = data.find(mark, found + 1)
            at += _STEP
        return False

    def _damaged(self, at: int) -> InvalidInput:
        return InvalidInput(f"it is damaged: the record at byte {at} of it is missing or changed")


def is_stub(storage: Storage) -> bool:
    """Whether it is empty, or a journal that a crash cut off before it could be used: nothing was written by it."""
    data = storage.read(0, len(MAGIC))
    return storage.size() < FIRST and data == MAGIC[: len(data)]


def _device(facts: dict[str, Any]) -> dict[str, Any]:
    device = facts.get("device")
    if not isinstance(device, dict) or not isinstance(device.get("size"), int) or device["size"] < 0:
        raise InvalidInput("it is damaged: it does not say which device it is of")
    if not all(isinstance(device.get(key), str) for key in ("name", "url")):
        raise InvalidInput("it is damaged: it does not say which device it is of")
    return device


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("it is damaged: it does not say which repair wrote it")
    return found
