"""Reads what a qcow2 image has as plain clusters straight from its files, as QEMU's tables say where they are.

Only the simplest cases are read here: everything else, and everything that is not quite as it should be, is left to
QEMU. Source: QEMU's docs/interop/qcow2, "L1 and L2 tables".
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from typing import TYPE_CHECKING

from blockdiff.backends.image.qcow2 import header_words, parse_header
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.backends.image.layer import Layer

_OFFSET = 0x00FFFFFFFFFFFE00
_KNOWN = 0x80FFFFFFFFFFFE00 | 1  # copied, offset, zero; everything else means something else
_MAX_L1 = 32 << 20
_CACHE = 4 << 20  # bytes of L2 tables of a file that are kept: 32 GiB of a disk with clusters of 64 KiB
_SAMPLE = 8192  # entries that are looked at for compressed clusters
_NOWHERE, _ZERO, _QEMU = -1, -2, -3


class Table:
    """Where the clusters of one file are."""

    def __init__(self, layer: Layer) -> None:
        assert layer.header is not None
        words = header_words(layer.read, layer.url)
        if parse_header(layer.read, layer.url) != layer.header:
            raise InvalidInput(f"{layer.url} was written to while it was opened")
        self.layer, self.size, self.version = layer, layer.header.size, layer.header.version
        self.cluster = layer.header.cluster
        self.per_table = self.cluster // 8
        self.extended = words.extended
        length = min(words.l1_entries * 8, _MAX_L1)
        self._l1 = _words(layer.read(words.l1_table, length))
        self._l2: dict[int, array[int]] = {}
        self._lock = threading.Lock()

    def l2(self, index: int) -> array[int] | None:
        """The table of entries, None where there is none, empty where it cannot be read here."""
        if index >= len(self._l1):
            return array("Q")
        entry = self._l1[index]
        if not entry & _OFFSET:
            return None
        with self._lock:
            found = self._l2.get(index)
            if found is None:
                found = self._read_table(entry & _OFFSET)
                if len(self._l2) * self.cluster >= _CACHE:
                    del self._l2[next(iter(self._l2))]
                self._l2[index] = found
        return found

    def _read_table(self, at: int) -> array[int]:
        data = self.layer.read(at, self.cluster) if not at % self.cluster else b""
        return _words(data) if len(data) == self.cluster else array("Q")

    def run(self, offset: int, length: int) -> tuple[int, int]:
        """Where the bytes from ``offset`` on are in the file, or a word of the above, and of how many that is true."""
        cluster = self.cluster
        number = offset // cluster
        index, slot = divmod(number, self.per_table)
        table = self.l2(index)
        inside = offset % cluster
        if table is None:
            return _NOWHERE, min(length, (self.per_table - slot) * cluster - inside)
        if not len(table):
            return _QEMU, min(length, cluster - inside)
        first = self._place(table[slot])
        have, expected = cluster - inside, first
        while have < length and slot + 1 < self.per_table:
            slot += 1
            if first >= 0:
                expected += cluster
            if self._place(table[slot]) != expected:
                break
            have += cluster
        return (first + inside if first >= 0 else first), min(have, length)

    def _place(self, entry: int) -> int:
        if not entry & ~(1 << 63):
            return _NOWHERE
        if entry & ~_KNOWN or (entry & 1 and self.version < 3):
            return _QEMU
        if entry & 1:
            return _ZERO
        place = entry & _OFFSET
        return place if not place % self.cluster else _QEMU

    def has_compressed(self) -> bool:
        """Whether the first table that there is knows compressed clusters: then QEMU reads them all."""
        for index in range(len(self._l1)):
            table = self.l2(index)
            if table:
                return any(entry >> 62 & 1 for entry in table[:_SAMPLE])
        return False


class DirectReader:
    """Reads a chain of files: qcow2 of the plain kind, and perhaps a raw one below."""

    def __init__(self, layers: list[Layer]) -> None:
        self._layers = layers
        self._tables = [Table(layer) if layer.format == "qcow2" else None for layer in layers]

    @property
    def simple(self) -> bool:
        """Whether it is worth while: of other clusters QEMU reads each."""
        return not any(table.extended or table.has_compressed() for table in self._tables if table is not None)

    def read(self, view: memoryview, offset: int) -> list[tuple[int, int]]:
        """Fills what it can; gives the (start, end) in the view of the rest, which QEMU is to read."""
        rest: list[tuple[int, int]] = []
        self._fill(0, view, offset, 0, len(view), rest)
        return rest

    def _fill(
        self, depth: int, view: memoryview, offset: int, start: int, end: int, rest: list[tuple[int, int]]
    ) -> None:
        """``view[start:end]`` is what the disk has from ``offset + start`` on, seen from the file at ``depth``."""
        if depth == len(self._layers):
            view[start:end] = bytes(end - start)
            return
        layer, table = self._layers[depth], self._tables[depth]
        known = max(start, min(end, layer.size - offset))
        if known < end:  # behind the end of a file in the chain there is nothing
            view[known:end] = bytes(end - known)
        while start < known:
            place, length = (
                (offset + start, known - start) if table is None else table.run(offset + start, known - start)
            )
            stop = start + length
            if place >= 0:
                if not _read_all(layer.fd, view[start:stop], place):
                    rest.append((start, stop))
            elif place == _NOWHERE:
                self._fill(depth + 1, view, offset, start, stop, rest)
            elif place == _ZERO:
                view[start:stop] = bytes(length)
            else:
                rest.append((start, stop))
            start = stop


def open_direct(layers: list[Layer]) -> DirectReader | None:
    """A reader of a chain that is simple enough; None where QEMU is to read it."""
    for layer in layers:
        if layer.format not in ("qcow2", "raw") or layer.data is not None:
            return None
    try:
        reader = DirectReader(layers)
    except InvalidInput:
        return None
    return reader if reader.simple else None


def _read_all(fd: int, view: memoryview, offset: int) -> bool:
    """Whether all of it could be read: an error, and the end of the file, are QEMU's to judge."""
    done = 0
    try:
        while done < len(view):
            n = os.preadv(fd, [view[done:]], offset + done)
            if n <= 0:
                return False
            done += n
    except OSError:
        return False
    return True


def _words(data: bytes) -> array[int]:
    words = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        words.byteswap()
    return words
