"""Files of btrfs: the extent tree says which inode of which subvolume has a block, the references lead to its name."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.triage.naming.btrfstree import EXTENT_TREE, MOST, ROOT_TREE, SUPER_AT, Trees
from blockdiff.triage.naming.owner import FREE, METADATA, UNKNOWN
from blockdiff.triage.naming.tool import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdiff.triage.layout.filesystem import FileSystem
    from blockdiff.triage.layout.partition import Read

_EXTENT_ITEM, _METADATA_ITEM = 168, 169
_TREE_BLOCK_REF, _DATA_REF, _SHARED_BLOCK_REF, _SHARED_DATA_REF = 176, 178, 182, 184
_SIZES = {_TREE_BLOCK_REF: 8, _DATA_REF: 28, _SHARED_BLOCK_REF: 8, _SHARED_DATA_REF: 12}
_INODE_REF, _EXTENT_DATA, _ROOT_BACKREF = 12, 108, 144
_TOP, _FS_TREE = 256, 5
_IS_TREE_BLOCK = 2
_LOOKED_AT, _LEADS, _DEPTH, _PATH = 64, 16, 256, 4096
_SUPERS = (SUPER_AT, 64 << 20, 256 << 30)


class _Lead(NamedTuple):
    """An inode of a subvolume that refers to an extent; the extent's begin would be at ``base`` of the file."""

    tree: int
    inode: int
    base: int


def name_blocks(system: FileSystem, read: Read, blocks: Sequence[int]) -> dict[int, tuple[bytes | None, str]]:
    """For each block (path, use), as in the module for ext4. Raises ToolFailed, BlockdiffError."""
    names = _Names(Trees(read, system.start))
    return {block: names.of(block * system.block) for block in blocks}


class _Names:
    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._paths: dict[tuple[int, int], bytes | None] = {}

    def of(self, physical: int) -> tuple[bytes | None, str]:
        """The path of a file with this byte of the device, or what it is used for."""
        if any(at <= physical < at + 4096 for at in _SUPERS):
            return None, f"{METADATA}: superblock"
        try:
            logical = self._trees.logical(physical)
            return (None, FREE if not self._striped() else UNKNOWN) if logical is None else self._of(logical)
        except ToolFailed as error:
            return None, f"{UNKNOWN}: {error}"

    def _striped(self) -> bool:
        return any(chunk.striped for chunk in self._trees.chunks)

    def _of(self, logical: int) -> tuple[bytes | None, str]:
        extent = self._extent(logical)
        if extent is None:
            return None, FREE
        start, data, is_tree = extent
        if is_tree:
            return None, METADATA
        unused = False
        for lead in self._leads(start, data):
            if not self._has(lead, start, logical):
                unused = True
                continue
            path = self._path(lead.tree, lead.inode)
            return (path, "") if path is not None else (None, f"inode {lead.inode}, which has no name")
        return None, "a part of an extent that no file uses any more" if unused else UNKNOWN

    def _extent(self, logical: int) -> tuple[int, bytes, bool] | None:
        """(address, its item, whether of a tree) of the extent that holds the address."""
        root = self._trees.root(EXTENT_TREE)
        for count, ((start, kind, length), data) in enumerate(self._trees.before(root, (logical, 255, MOST))):
            if kind in (_EXTENT_ITEM, _METADATA_ITEM):
                size = length if kind == _EXTENT_ITEM else self._trees.node_size
                if logical >= start + size or len(data) < 24:
                    return None
                flags = struct.unpack_from("<Q", data, 16)[0]
                return start, data, kind == _METADATA_ITEM or bool(flags & _IS_TREE_BLOCK)
            if count > 4096:
                return None
        return None

    # ---- who refers to an extent ----

    def _leads(self, start: int, data: bytes) -> Iterator[_Lead]:
        """From the item itself, then from the items behind it; a few only."""
        found = (lead for kind, rest in self._references(start, data, 24) for lead in self._lead(kind, rest, start))
        yield from islice(found, _LEADS)

    def _references(self, start: int, data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        yield from _inline(data, at)
        yield from self._behind(start)

    def _behind(self, start: int) -> Iterator[tuple[int, bytes]]:
        for count, ((where, kind, offset), data) in enumerate(
            self._trees.items(self._trees.root(EXTENT_TREE), (start, _TREE_BLOCK_REF, 0))
        ):
            if where != start or kind > _SHARED_DATA_REF or count > _LOOKED_AT:
                return
            yield kind, data if kind == _DATA_REF else struct.pack("<Q", offset) + data

    def _lead(self, kind: int, data: bytes, start: int) -> Iterator[_Lead]:
        if kind == _DATA_REF and len(data) >= 28:
            yield _Lead(*struct.unpack_from("<QQQ", data))
        elif kind == _SHARED_DATA_REF and len(data) >= 8:
            address = struct.unpack_from("<Q", data)[0]
            leaf = self._trees.node(address, 0)
            for (inode, what, offset), item in zip(leaf.keys, leaf.data, strict=True):
                if what == _EXTENT_DATA and len(item) >= 53 and struct.unpack_from("<Q", item, 21)[0] == start:
                    base = (offset - struct.unpack_from("<Q", item, 37)[0]) & MOST
                    for root in islice(self._roots_of(address, 0), _LEADS):
                        yield _Lead(root, inode, base)

    def _roots_of(self, address: int, depth: int) -> Iterator[int]:
        """The trees that a node is in: a snapshot shares nodes, which keep the name of their first owner."""
        extent = self._extent(address)
        if extent is None or depth > 8:
            return
        start, data, _ = extent
        # an item of the older kind has a key and a level before its references
        for kind, rest in self._references(start, data, 24 if self._skinny(start) else 42):
            if kind == _TREE_BLOCK_REF and len(rest) >= 8:
                yield struct.unpack_from("<Q", rest)[0]
            elif kind == _SHARED_BLOCK_REF and len(rest) >= 8:
                yield from self._roots_of(struct.unpack_from("<Q", rest)[0], depth + 1)

    def _skinny(self, start: int) -> bool:
        found = next(self._trees.items(self._trees.root(EXTENT_TREE), (start, _EXTENT_ITEM, 0)), None)
        return found is None or found[0][:2] != (start, _EXTENT_ITEM)

    def _has(self, lead: _Lead, start: int, logical: int) -> bool:
        """Whether the file still uses the very block, and not only another part of its extent."""
        at = (lead.base + logical - start) & MOST
        items = self._trees.before(self._trees.root(lead.tree), (lead.inode, _EXTENT_DATA, at))
        (inode, kind, offset), item = next(items, ((0, 0, 0), b""))
        if (inode, kind) != (lead.inode, _EXTENT_DATA) or len(item) < 53:
            return self._compressed(lead, start)
        address, _, _, length = struct.unpack_from("<4Q", item, 21)
        return (address == start and at < offset + length) or self._compressed(lead, start)

    def _compressed(self, lead: _Lead, start: int) -> bool:
        """Of a compressed extent all blocks are used as long as any is."""
        key = (lead.inode, _EXTENT_DATA, 0 if lead.base > MOST >> 1 else lead.base)
        for count, ((inode, kind, _), item) in enumerate(self._trees.items(self._trees.root(lead.tree), key)):
            if (inode, kind) != (lead.inode, _EXTENT_DATA) or count > _LOOKED_AT:
                return False
            if len(item) >= 53 and item[16] and struct.unpack_from("<Q", item, 21)[0] == start:
                return True
        return False

    # ---- names ----

    def _path(self, tree: int, inode: int) -> bytes | None:
        key = (tree, inode)
        if key not in self._paths:
            self._paths[key] = self._way(tree, inode)
        return self._paths[key]

    def _way(self, tree: int, inode: int) -> bytes | None:
        """From the inode up to the top of its subvolume, and on from there to the top of all."""
        parts: list[bytes] = []
        for _ in range(_DEPTH):
            if inode == _TOP:
                if tree == _FS_TREE:
                    path = b"/" + b"/".join(parts[::-1])
                    return path[:_PATH]
                step = self._step(ROOT_TREE, tree, _ROOT_BACKREF, "<QQH", 0)
                if step is None:
                    return None
                tree, inode = step[0], step[2]
            else:
                step = self._step(tree, inode, _INODE_REF, "<QH", None)
                if step is None:
                    return None
                inode = step[0]
            parts.append(step[1])
        return None

    def _step(self, tree: int, key: int, kind: int, form: str, directory: int | None) -> tuple[int, bytes, int] | None:
        """(where it leads to, name, directory there) of the first reference of an inode or subvolume."""
        found = next(self._trees.items(self._trees.root(tree), (key, kind, 0)), None)
        if found is None or found[0][:2] != (key, kind) or len(found[1]) < struct.calcsize(form):
            return None
        fields = struct.unpack_from(form, found[1])
        name = found[1][struct.calcsize(form) :][: fields[-1]]
        return found[0][2], name, fields[0] if directory is not None else 0


def _inline(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The references that an extent's item has in itself, from ``at`` on."""
    for _ in range(_LOOKED_AT):
        kind = data[at] if at < len(data) else 0
        size = _SIZES.get(kind)
        if size is None:
            return
        yield kind, data[at + 1 : at + 1 + size]
        at += 1 + size
