"""Reads the trees of btrfs: a search by key, over the blocks of one device, trusting nothing that is read.

The layout is that of include/uapi/linux/btrfs_tree.h and fs/btrfs/fs.h. No program answers for an image that is
not mounted, and the trees lead from a block to its file in a few reads.
"""

from __future__ import annotations

import itertools
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.triage.naming.checksum import digest
from blockdiff.triage.naming.tool import SECONDS, ToolFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.triage.layout.partition import Read

    Key = tuple[int, int, int]
    """(object, type, offset), in the order of the trees."""

SUPER_AT, SUPER_SIZE = 65536, 4096
CHUNK_ITEM, ROOT_ITEM = 228, 132
ROOT_TREE, EXTENT_TREE = 1, 2
MOST = (1 << 64) - 1
_KEY = struct.Struct("<QBQ")
_ITEM = struct.Struct("<QBQII")
_POINTER = struct.Struct("<QBQQQ")
_CHUNK = struct.Struct("<QQQQIIIHH")
_STRIPE = struct.Struct("<QQ16s")
_HEADER = 101
_MOST_LEVELS, _KEPT, _MOST_CHUNKS = 8, 512, 1 << 17
_STRIPED = 0x8 | 0x40 | 0x80 | 0x100  # RAID0, RAID10, RAID5, RAID6
_UNKNOWN_FEATURES = 1 << 13 | 1 << 14  # extent tree v2, RAID stripe tree


class Chunk(NamedTuple):
    """``length`` bytes of the logical address space from ``logical`` on; ``places`` on this device, none if striped."""

    logical: int
    length: int
    places: tuple[int, ...]
    striped: bool


class Node(NamedTuple):
    """A block of a tree: a leaf's ``items`` are (key, data), those of the levels above it (key, place of a node)."""

    level: int
    owner: int
    keys: list[Key]
    places: list[int]
    data: list[bytes]


class Trees:
    """The trees of a file system whose device begins at ``start``. Raises ToolFailed where they make no sense."""

    def __init__(self, read: Read, start: int) -> None:
        self._read, self._start = read, start
        self._end = time.monotonic() + SECONDS
        data = read(start + SUPER_AT, SUPER_SIZE)
        if len(data) < SUPER_SIZE or data[64:72] != b"_BHRfS_M":
            raise ToolFailed("it has no superblock")
        self._kind = struct.unpack_from("<H", data, 196)[0]
        self._prove(data, "superblock")
        self.sector, self.node_size = struct.unpack_from("<II", data, 144)
        features = struct.unpack_from("<Q", data, 188)[0]
        if features & _UNKNOWN_FEATURES:
            raise ToolFailed(f"it has features that are not known here ({features:#x})")
        if self.node_size & (self.node_size - 1) or not 4096 <= self.node_size <= 65536:
            raise ToolFailed(f"its nodes cannot have {self.node_size} bytes")
        self._device = struct.unpack_from("<Q", data, 201)[0]
        self._nodes: dict[int, Node] = {}
        self._roots: dict[int, int] = {}
        self.chunks: list[Chunk] = list(self._system_chunks(data))
        root, chunk_root = struct.unpack_from("<QQ", data, 80)
        self._roots[ROOT_TREE] = root
        self.chunks = sorted({c.logical: c for c in [*self.chunks, *self._all_chunks(chunk_root)]}.values())

    def _prove(self, data: bytes, what: str) -> None:
        """Nothing of a block is believed whose checksum is wrong."""
        known = digest(self._kind, data[32:])
        if known is None:
            raise ToolFailed(f"its checksums are of a kind that is not known here ({self._kind})")
        if data[: len(known)] != known:
            raise ToolFailed(f"the checksum of its {what} is wrong")

    def _system_chunks(self, data: bytes) -> Iterator[Chunk]:
        """Those that the superblock has, to find the tree of chunks with."""
        at, end = 811, 811 + min(struct.unpack_from("<I", data, 160)[0], 2048)
        while at + _KEY.size + _CHUNK.size <= end:
            _, kind, logical = _KEY.unpack_from(data, at)
            chunk, size = self._chunk(logical, data[at + _KEY.size : end])
            if kind != CHUNK_ITEM or chunk is None:
                raise ToolFailed("the chunks in its superblock make no sense")
            yield chunk
            at += _KEY.size + size

    def _all_chunks(self, root: int) -> Iterator[Chunk]:
        for count, ((_, kind, logical), data) in enumerate(self.items(root, (0, 0, 0))):
            if count > _MOST_CHUNKS:
                raise ToolFailed("it has more chunks than can be")
            if kind == CHUNK_ITEM:
                chunk, _ = self._chunk(logical, data)
                if chunk is not None:
                    yield chunk

    def _chunk(self, logical: int, data: bytes) -> tuple[Chunk | None, int]:
        """A chunk, and its bytes."""
        if len(data) < _CHUNK.size:
            return None, 0
        length, _, _, kind, _, _, _, stripes, _ = _CHUNK.unpack_from(data)
        size = _CHUNK.size + stripes * _STRIPE.size
        if len(data) < size or not length:
            return None, 0
        found = [_STRIPE.unpack_from(data, _CHUNK.size + i * _STRIPE.size) for i in range(stripes)]
        striped = bool(kind & _STRIPED)
        places = tuple(offset for device, offset, _ in found if device == self._device and not striped)
        return Chunk(logical, length, places, striped), size

    def physical(self, logical: int, length: int) -> int:
        """Where it is on this device."""
        for chunk in self.chunks:
            if chunk.logical <= logical and logical + length <= chunk.logical + chunk.length:
                if not chunk.places:
                    raise ToolFailed("it is spread over several devices, of which this is one")
                return chunk.places[0] + logical - chunk.logical
        raise ToolFailed(f"no chunk has its address {logical}")

    def logical(self, physical: int) -> int | None:
        """The address of a place on this device; None where no chunk is."""
        for chunk in self.chunks:
            for place in chunk.places:
                if place <= physical < place + chunk.length:
                    return chunk.logical + physical - place
        return None

    def root(self, tree: int) -> int:
        """The address of the root of a tree."""
        if tree not in self._roots:
            found = next(self.before(self._roots[ROOT_TREE], (tree, ROOT_ITEM, MOST)), None)
            if found is None or found[0][:2] != (tree, ROOT_ITEM) or len(found[1]) < 239:
                raise ToolFailed(f"it has no tree {tree}")
            self._roots[tree] = struct.unpack_from("<Q", found[1], 176)[0]
        return self._roots[tree]

    def node(self, address: int, level: int | None = None) -> Node:
        """A node, proved to be at its place; of this level, where one is named."""
        node = self._nodes.get(address)
        if node is None:
            data = self._read(self._start + self.physical(address, self.node_size), self.node_size)
            node = self._parsed(data, address)
            if len(self._nodes) >= _KEPT:
                self._nodes.clear()
            self._nodes[address] = node
        if level is not None and node.level != level:
            raise ToolFailed(f"its node at {address} has the level {node.level}, not {level}")
        return node

    def _parsed(self, data: bytes, address: int) -> Node:
        if len(data) < self.node_size or struct.unpack_from("<Q", data, 48)[0] != address:
            raise ToolFailed(f"its node at {address} says that it is another")
        self._prove(data, f"node at {address}")
        owner, count, level = struct.unpack_from("<QIB", data, 88)
        each = _POINTER if level else _ITEM
        if level >= _MOST_LEVELS or _HEADER + count * each.size > self.node_size:
            raise ToolFailed(f"its node at {address} makes no sense")
        rows = [each.unpack_from(data, _HEADER + i * each.size) for i in range(count)]
        keys = [(row[0], row[1], row[2]) for row in rows]
        if any(a >= b for a, b in itertools.pairwise(keys)):
            raise ToolFailed(f"its node at {address} is out of order")
        if level:
            return Node(level, owner, keys, [row[3] for row in rows], [])
        return Node(0, owner, keys, [], [data[_HEADER + row[3] : _HEADER + row[3] + row[4]] for row in rows])

    def items(self, address: int, key: Key) -> Iterator[tuple[Key, bytes]]:
        """The items of a tree from ``key`` on, ascending. ``address``: its root."""
        self._hurry()
        yield from self._upwards(self.node(address), key)

    def _hurry(self) -> None:
        """Trees that were made to lead astray are left after a while."""
        if time.monotonic() > self._end:
            raise ToolFailed("reading its trees takes too long")

    def _upwards(self, node: Node, key: Key) -> Iterator[tuple[Key, bytes]]:
        if not node.level:
            yield from ((k, d) for k, d in zip(node.keys, node.data, strict=True) if k >= key)
            return
        for i, place in enumerate(node.places):
            if i + 1 == len(node.keys) or node.keys[i + 1] > key:
                yield from self._upwards(self.node(place, node.level - 1), key)

    def before(self, address: int, key: Key) -> Iterator[tuple[Key, bytes]]:
        """The items from ``key`` on, descending."""
        self._hurry()
        yield from self._downwards(self.node(address), key)

    def _downwards(self, node: Node, key: Key) -> Iterator[tuple[Key, bytes]]:
        if not node.level:
            yield from ((k, d) for k, d in zip(node.keys[::-1], node.data[::-1], strict=True) if k <= key)
            return
        for first, place in zip(node.keys[::-1], node.places[::-1], strict=True):
            if first <= key:
                yield from self._downwards(self.node(place, node.level - 1), key)
