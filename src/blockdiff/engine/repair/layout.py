"""The bytes of an undo journal, version 1: docs/journal-format.md. Pure.

A header, two slots that are written in turn and say how far the journal is valid, then frames, only ever appended.
Integers are little-endian. What is damaged is InvalidInput.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from blockdiff._fast import xxh64, xxh64_pair
from blockdiff.errors import InvalidInput

MAGIC, SLOT_MAGIC, FRAME_MAGIC = b"\x89BDUNDO\n", b"BDSLOT\r\n", b"BDFRAME\n"
VERSION = 1
SECTOR = 512
SLOT_OFFSETS = (16384, 20480)
FIRST = 24576  # where the frames begin
MAX_BODY = 256 << 20
MAX_LENGTH = 1 << 30
OPEN, REPAIRED, UNDOING, UNDONE = range(4)
STATES = ("open", "repaired", "undoing", "undone")
SESSION, BATCH = 1, 2
OLD_ZERO, OLD_HOLE, NEW_ZERO, OLD_UNKNOWN = 1, 2, 4, 8
_FLAGS = OLD_ZERO | OLD_HOLE | NEW_ZERO | OLD_UNKNOWN

_HEAD = struct.Struct("<8sII16s")
_SUM = struct.Struct("<QQ")
_SLOT = struct.Struct("<8s16sQQQIQ")
_FRAME = struct.Struct("<8s16sQIIQ")
_CHECK = struct.Struct("<Q")
_ENTRY = struct.Struct("<QII")
_SEEDS = (0, 1)
FRAME_HEAD = _FRAME.size + _CHECK.size
FRAME_TAIL = _SUM.size


class Slot(NamedTuple):
    """How far a journal is valid: ``frames`` of them, up to byte ``end``. ``state`` is one of STATES, ``at`` the time
    (seconds since 1970) when it became so.
    """

    generation: int
    frames: int
    end: int
    state: int
    at: int


class Entry(NamedTuple):
    """A range of the device: whole sectors, except at the device's end.

    ``digests`` has 8 bytes for each sector of the new bytes, nothing for zeroes; ``old`` the old bytes, nothing for
    zeroes or where they are not known.
    """

    offset: int
    length: int
    flags: int
    digests: bytes | memoryview
    old: bytes | memoryview

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


class Frame(NamedTuple):
    """The head of a frame: what it is, how many entries it has, and the bytes of its body."""

    sequence: int
    type: int
    entries: int
    body: int

    @property
    def size(self) -> int:
        """All its bytes in the file."""
        return FRAME_HEAD + self.body + FRAME_TAIL


def sectors(length: int) -> int:
    """How many sectors so many bytes are in; the last may be cut."""
    return -(-length // SECTOR)


def digest_sectors(data: Any) -> bytes:
    """XXH64 of each sector, 8 bytes each."""
    with memoryview(data) as view:
        found = [xxh64(view[at : at + SECTOR]) for at in range(0, len(view), SECTOR)]
    return struct.pack(f"<{len(found)}Q", *found)


def checksum(data: Any) -> bytes:
    """XXH64 with the seeds 0 and 1: 16 bytes."""
    return _SUM.pack(*xxh64_pair(data, _SEEDS))


# ---- header and slots ----


def encode_header(identifier: bytes, facts: dict[str, Any]) -> bytes:
    """The first bytes of a journal. ``facts`` say which device it is of."""
    text = json.dumps(facts).encode()
    head = _HEAD.pack(MAGIC, VERSION, len(text), identifier) + text
    if len(head) + _SUM.size > SLOT_OFFSETS[0]:
        raise InvalidInput("the name of the device is too long for a journal")
    return head + checksum(head)


def decode_header(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The journal's number and its facts."""
    if data[: len(MAGIC)] != MAGIC or len(data) < _HEAD.size:
        raise InvalidInput("it is no undo journal of blockdiff")
    _, version, length, identifier = _HEAD.unpack_from(data)
    if version != VERSION:
        raise InvalidInput(f"it is an undo journal of version {version}: this blockdiff knows version {VERSION}")
    end = _HEAD.size + length
    if end + _SUM.size > min(len(data), SLOT_OFFSETS[0]) or checksum(data[:end]) != data[end : end + _SUM.size]:
        raise InvalidInput("it is damaged: its header does not match its checksum")
    facts: dict[str, Any] = json.loads(data[_HEAD.size : end])
    return identifier, facts


def encode_slot(identifier: bytes, slot: Slot) -> bytes:
    """One of the two slots."""
    data = _SLOT.pack(SLOT_MAGIC, identifier, *slot)
    return data + checksum(data)


def decode_slot(identifier: bytes, data: bytes) -> Slot | None:
    """None where the slot is not whole."""
    size = _SLOT.size
    if len(data) < size + _SUM.size or checksum(data[:size]) != data[size : size + _SUM.size]:
        return None
    magic, number, *fields = _SLOT.unpack_from(data)
    slot = Slot(*fields)
    return slot if magic == SLOT_MAGIC and number == identifier and slot.state < len(STATES) else None


# ---- frames ----


def encode_frame(identifier: bytes, sequence: int, kind: int, count: int, parts: list[Any]) -> bytes:
    """A whole frame; ``parts`` are its body."""
    head = _FRAME.pack(FRAME_MAGIC, identifier, sequence, kind, count, sum(map(len, parts)))
    data = b"".join([head, _CHECK.pack(xxh64(head)), *parts])
    return data + checksum(data)


def decode_head(identifier: bytes, data: Any) -> Frame | None:
    """The head of a frame of this journal; None for anything else."""
    if len(data) < FRAME_HEAD or _CHECK.unpack_from(data, _FRAME.size)[0] != xxh64(data[: _FRAME.size]):
        return None
    magic, number, *fields = _FRAME.unpack_from(data)
    frame = Frame(*fields)
    return frame if magic == FRAME_MAGIC and number == identifier and frame.body <= MAX_BODY else None


def is_whole(data: Any) -> bool:
    """Whether all bytes of a frame are as they were written."""
    return bytes(data[-FRAME_TAIL:]) == checksum(data[:-FRAME_TAIL])


def encode_entries(entries: list[Entry]) -> list[Any]:
    """The body of a batch: a table, all digests, all old bytes."""
    table = b"".join([_ENTRY.pack(e.offset, e.length, e.flags) for e in entries])
    return [table, *(e.digests for e in entries), *(e.old for e in entries)]


def decode_entries(body: memoryview, count: int, size: int) -> list[Entry]:
    """The entries of a batch of a device of ``size`` bytes. InvalidInput where they contradict themselves."""
    if count * _ENTRY.size > len(body):
        raise InvalidInput("it is damaged: a table is longer than its frame")
    table = [_ENTRY.unpack_from(body, at) for at in range(0, count * _ENTRY.size, _ENTRY.size)]
    digest_at = count * _ENTRY.size
    old_at = digest_at + sum(_digest_size(length, flags) for _, length, flags in table)
    found, reached = [], 0
    for offset, length, flags in table:
        _check_entry(offset, length, flags, reached, size)
        reached = offset + length
        digest_end = digest_at + _digest_size(length, flags)
        old_end = old_at + _old_size(length, flags)
        found.append(Entry(offset, length, flags, body[digest_at:digest_end], body[old_at:old_end]))
        digest_at, old_at = digest_end, old_end
    if old_at != len(body):
        raise InvalidInput("it is damaged: a frame has another length than its table says")
    return found


def _digest_size(length: int, flags: int) -> int:
    return 0 if flags & NEW_ZERO else 8 * sectors(length)


def _old_size(length: int, flags: int) -> int:
    return 0 if flags & (OLD_ZERO | OLD_UNKNOWN) else length


def _check_entry(offset: int, length: int, flags: int, reached: int, size: int) -> None:
    end = offset + length
    aligned = not offset % SECTOR and (not end % SECTOR or end == size)
    if not aligned or not 0 < length <= MAX_LENGTH or offset < reached or end > size or flags & ~_FLAGS:
        raise InvalidInput(f"it is damaged: it lists a range [{offset}, {end}) that cannot be")
