"""Writes an undo journal: what a repair is about to overwrite is on stable storage before it is overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from blockdiff.engine.repair.contents import Contents, is_stub
from blockdiff.engine.repair.layout import (
    BATCH,
    FIRST,
    OPEN,
    SESSION,
    SLOT_OFFSETS,
    UNDOING,
    Entry,
    Slot,
    encode_entries,
    encode_frame,
    encode_header,
    encode_slot,
)
from blockdiff.engine.repair.storage import FileStorage
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.engine.repair.storage import Storage


class Journal:
    """A journal that is written to. Raises DeviceError where that fails: nothing may be overwritten then.

    ``contents`` is what was in it when it was opened; None for a new one.
    """

    def __init__(self, storage: Storage, identifier: bytes, slot: Slot, contents: Contents | None) -> None:
        self._storage, self._identifier, self._slot, self.contents = storage, identifier, slot, contents
        self.name = storage.name
        self._used = False
        self._frames = contents.frames if contents is not None else 0
        self._end = contents.end if contents is not None else FIRST

    @classmethod
    def create(cls, storage: Storage, device: dict[str, Any]) -> Journal:
        """A new journal for a device; durable when this returns, but for its name."""
        identifier = os.urandom(16)
        slot = Slot(1, 0, FIRST, OPEN, int(time.time()))
        first = encode_header(identifier, {"device": device, "created": slot.at}).ljust(SLOT_OFFSETS[0], b"\0")
        first += encode_slot(identifier, slot._replace(generation=0)).ljust(SLOT_OFFSETS[1] - SLOT_OFFSETS[0], b"\0")
        first += encode_slot(identifier, slot)
        storage.cut(0)
        storage.write(first.ljust(FIRST, b"\0"), 0)
        storage.sync()
        return cls(storage, identifier, slot, None)

    @classmethod
    def open(cls, storage: Storage) -> Journal:
        """One that exists. InvalidInput where it is not whole."""
        try:
            contents = Contents(storage)
        except InvalidInput as error:
            raise InvalidInput(f"cannot use the journal {storage.name}: {error}") from error
        return cls(storage, contents.identifier, contents.slot, contents)

    @property
    def end(self) -> int:
        """The bytes of it that count."""
        return self._end

    def begin(self, facts: dict[str, Any], reserve: int = 0) -> None:
        """Begins a repair, which ``facts`` describe; first of all ``reserve`` bytes of space are made sure of.

        What a crash left of a record that was never applied is cut off. InvalidInput after an undo.
        """
        if self._slot.state >= UNDOING:
            raise InvalidInput(
                f"the journal {self.name} was undone, at least in part, and cannot go on: name a new one, or none"
            )
        if self.contents is not None and self.contents.torn:
            self._storage.cut(self._end)
        if reserve:
            self._storage.reserve(self._end, reserve)
        if self.contents is not None:
            self.mark(OPEN)  # also mends a slot that a crash left half-written
        self._append(SESSION, 0, [json.dumps(facts).encode()])
        self._commit()

    def add(self, entries: list[Entry]) -> None:
        """Takes ranges that are about to be overwritten; they may be when this returns."""
        self._used = True
        self._append(BATCH, len(entries), encode_entries(entries))
        self._commit()

    def mark(self, state: int) -> None:
        """Says durably how far the journal is valid, and what became of it."""
        last = self._slot
        self._slot = Slot(last.generation + 1, self._frames, self._end, state, int(time.time()))
        self._storage.write(encode_slot(self._identifier, self._slot), SLOT_OFFSETS[self._slot.generation % 2])
        self._storage.sync()

    def finish(self) -> None:
        """Gives space back that was reserved and not needed."""
        self._storage.cut(self._end)

    def settle(self) -> bool:
        """Closes it. False where it is new and holds nothing that could be undone: then it is removed."""
        keep = self.contents is not None or self._used
        if not keep:
            with contextlib.suppress(OSError):
                os.unlink(self.name)
        self._storage.close()
        return keep

    def _commit(self) -> None:
        """The record first: a slot that speaks of it is never there without it."""
        self._storage.sync()
        self.mark(OPEN)

    def _append(self, kind: int, count: int, parts: list[Any]) -> None:
        data = encode_frame(self._identifier, self._frames, kind, count, parts)
        self._storage.write(data, self._end)
        self._frames, self._end = self._frames + 1, self._end + len(data)


def open_journal(name: str, device: dict[str, Any]) -> Journal:
    """A new journal of this name, or an existing one of the same device, which is continued.

    InvalidInput where the file is something else, or of another device; DeviceBusy where it is in use.
    """
    from blockdiff.engine.repair.identity import check_device

    storage = FileStorage.open(name, writable=True) if os.path.lexists(name) else FileStorage.create(name)
    try:
        if is_stub(storage):
            journal = Journal.create(storage, device)
            storage.publish()
            return journal
        journal = Journal.open(storage)
        assert journal.contents is not None
        check_device(journal.contents.device, device, name)
    except BaseException:
        storage.close()
        raise
    return journal
