"""Partition tables of DOS: four primary partitions in sector 0, logical ones in a chain of tables of their own."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

from blockdiff.triage.layout.partition import Partition, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.triage.layout.partition import Read

_ENTRY = struct.Struct("<B3xB3xII")  # status, type, first sector, sectors
_PLACE, _SIGNATURE = 446, b"\x55\xaa"
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_MOST_LOGICAL = 128
KINDS = {
    0x01: "FAT12",
    0x04: "FAT16",
    0x06: "FAT16",
    0x07: "NTFS or exFAT",
    0x0B: "FAT32",
    0x0C: "FAT32",
    0x0E: "FAT16",
    0x82: "Linux swap",
    0x83: "Linux",
    0x8E: "Linux LVM",
    0xEE: "protective, of a GPT",
    0xEF: "EFI system",
    0xFD: "Linux RAID",
}


def read_mbr(read: Read, size: int, sector: int = 512) -> Table | None:
    """The table in sector 0, with the logical partitions; None where no table is to be seen.

    The boot sector of a file system ends with the same two bytes: a table is taken for one only if all that its entries
    say is possible.
    """
    entries = parse_sector(read(0, 512), size // sector)
    if not entries:
        return None
    if all(kind == _PROTECTIVE for _, kind, _, _ in entries):
        return Table("none", (), ("the MBR says that there is a GPT, and there is none that can be used",), sector)
    notes: list[str] = []
    found: list[Partition] = []
    for number, kind, first, count in entries:
        if kind in _EXTENDED:
            found += _logical(read, first, count, size, sector, notes)
        elif kind != _PROTECTIVE:
            found.append(_partition(number, kind, first, count, size, sector))
    return Table("mbr", tuple(sorted(found, key=lambda part: part.start)), tuple(notes), sector)


def parse_sector(data: bytes, sectors: int) -> list[tuple[int, int, int, int]]:
    """(number, type, first sector, sectors) of the entries in use; nothing where one of them is impossible."""
    if len(data) < 512 or data[510:512] != _SIGNATURE:
        return []
    found = []
    for number in range(4):
        status, kind, first, count = _ENTRY.unpack_from(data, _PLACE + number * _ENTRY.size)
        if status not in (0, 0x80):
            return []
        if kind and count:
            if not 0 < first < sectors:
                return []
            found.append((number + 1, kind, first, count))
    return [] if _overlap(found) else found


def _overlap(entries: list[tuple[int, int, int, int]]) -> bool:
    spans = sorted((first, first + count) for _, kind, first, count in entries if kind != _PROTECTIVE)
    return any(one[1] > other[0] for one, other in itertools.pairwise(spans))


def _partition(number: int, kind: int, first: int, count: int, size: int, sector: int) -> Partition:
    start = first * sector
    return Partition(number, start, min(size, start + count * sector) - start, KINDS.get(kind, f"type {kind:#04x}"))


def _logical(read: Read, base: int, count: int, size: int, sector: int, notes: list[str]) -> Iterator[Partition]:
    """The partitions of an extended one, from number 5 on. A chain that goes back, or on and on, is left."""
    at, number, end = base, 5, min(base + count, size // sector)
    while True:
        data = read(at * sector, 512)
        if len(data) < 512 or data[510:512] != _SIGNATURE:
            notes.append(f"the chain of logical partitions is broken at sector {at}")
            return
        after = 0
        for slot in range(2):
            _, kind, first, length = _ENTRY.unpack_from(data, _PLACE + slot * _ENTRY.size)
            if kind in _EXTENDED:
                after = base + first
            elif kind and length and first and at + first < end:
                yield _partition(number, kind, at + first, length, size, sector)
                number += 1
        if not after:
            return
        if not at < after < end or number > 4 + _MOST_LOGICAL:
            notes.append(f"the chain of logical partitions leads from sector {at} to {after}, and is left there")
            return
        at = after
