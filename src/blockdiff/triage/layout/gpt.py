"""GUID partition tables, as the UEFI specification 2.10, chapter 5.3, defines them."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from blockdiff.triage.layout.partition import Partition, Table

if TYPE_CHECKING:
    from blockdiff.triage.layout.partition import Read

SIGNATURE = b"EFI PART"
# signature, revision, header size, header CRC, reserved, this LBA, the other's LBA, first and last usable LBA, disk
# GUID, LBA of the entries, their number, bytes of one, CRC of all
_HEADER = struct.Struct("<8s4I4Q16sQ3I")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MOST_ENTRIES = 4096  # 128 is the rule; Linux takes what there is, and more than this nobody makes
_LONGEST_ENTRY = 4096
_UNUSED = bytes(16)
KINDS = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux file system",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "ca7d7ccb-63ed-4c53-861c-1742536059cc": "LUKS",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
}


class Header(NamedTuple):
    """A header whose checksum is right. Places are sectors."""

    own: int
    other: int
    entries: int
    entry_count: int
    entry_size: int
    entries_crc: int


def read_gpt(read: Read, size: int, sector: int) -> tuple[Table | None, tuple[str, ...]]:
    """The table at sector 1, or the backup at the last sector; and what was wrong.

    Nothing is said where there is no sign of a GPT.
    """
    primary = parse_header(read(sector, sector), 1)
    backup_at = size // sector - 1
    if isinstance(primary, Header):
        partitions = _entries(read, primary, size, sector)
        if not isinstance(partitions, str):
            notes = _backup_notes(read, primary, size, sector)
            return Table("gpt", partitions, notes, sector), notes
        primary = partitions
    if backup_at <= 1:
        return None, _said(primary, "")
    backup = parse_header(read(backup_at * sector, sector), backup_at)
    if isinstance(backup, Header):
        partitions = _entries(read, backup, size, sector)
        if not isinstance(partitions, str):
            notes = (f"the GPT at the begin is not used: {primary or 'there is none'}; its backup at the end is",)
            return Table("gpt", partitions, notes, sector), notes
        backup = partitions
    return None, _said(primary, backup)


def _said(primary: Header | str, backup: Header | str) -> tuple[str, ...]:
    """Notes on a table that is there and cannot be used."""
    places = (("GPT", primary), ("backup GPT", backup))
    return tuple(f"the {name} is not used: {why}" for name, why in places if why and isinstance(why, str))


def parse_header(data: bytes, place: int) -> Header | str:
    """The header in a sector, which is sector ``place``; or why there is none, empty where nothing is of a GPT."""
    if len(data) < _HEADER.size or data[:8] != SIGNATURE:
        return ""
    _, _, length, crc, _, own, other, _, _, _, entries, count, entry_size, entries_crc = _HEADER.unpack_from(data)
    if not _HEADER.size <= length <= len(data):
        return f"its header says that it has {length} bytes"
    if zlib.crc32(data[:16] + bytes(4) + data[20:length]) != crc:
        return "the checksum of its header is wrong"
    if own != place:
        return f"its header says that it is at sector {own}, and it is at {place}"
    if not 1 <= count <= _MOST_ENTRIES or not _ENTRY.size <= entry_size <= _LONGEST_ENTRY or entry_size & 7:
        return f"its header says that there are {count} entries of {entry_size} bytes"
    return Header(own, other, entries, count, entry_size, entries_crc)


def _entries(read: Read, header: Header, size: int, sector: int) -> tuple[Partition, ...] | str:
    """The partitions, or why they are not to be trusted."""
    length = header.entry_count * header.entry_size
    if header.entries < 2 or header.entries * sector + length > size:
        return f"its entries would be at sector {header.entries}, outside of the device"
    data = read(header.entries * sector, length)
    if len(data) < length or zlib.crc32(data) != header.entries_crc:
        return "the checksum of its entries is wrong"
    found = (_partition(data, header, i, size, sector) for i in range(header.entry_count))
    return tuple(sorted((part for part in found if part is not None), key=lambda part: (part.start, part.number)))


def _partition(data: bytes, header: Header, index: int, size: int, sector: int) -> Partition | None:
    kind, _, first, last, _, name = _ENTRY.unpack_from(data, index * header.entry_size)
    if kind == _UNUSED or first < 1 or last < first or first * sector >= size:
        return None
    length = min(size, (last + 1) * sector) - first * sector
    label = name.decode("utf-16-le", "replace").split("\0", 1)[0]
    code = str(UUID(bytes_le=kind))
    return Partition(index + 1, first * sector, length, KINDS.get(code, code), label)


def _backup_notes(read: Read, primary: Header, size: int, sector: int) -> tuple[str, ...]:
    """What is to be said of the other copy, where the first is right."""
    if not 1 < primary.other < size // sector:
        return (f"the backup GPT would be at sector {primary.other}, outside of the device",)
    backup = parse_header(read(primary.other * sector, sector), primary.other)
    if isinstance(backup, str):
        return (f"the backup GPT is damaged: {backup or 'there is none'}",)
    if backup.entries_crc != primary.entries_crc:
        return ("the backup GPT has other partitions",)
    return ()
