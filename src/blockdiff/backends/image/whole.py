"""Finds qcow2 files that were cut off. QEMU reads what is missing as zeroes, without a word.

Each cluster of a file has a reference count. Where the last one that has any lies behind the end of the file, the
tables that lead to the data are walked: clusters that nobody uses, as a crash leaves them, may be missing.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

from blockdiff.backends.image.qcow2 import header_words
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.backends.image.layer import Layer
    from blockdiff.backends.image.qcow2 import ImageSnapshot, Words

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_COPIED = 1 << 63
_MAX_TABLE = 8 << 20  # QEMU's own limits: of a table of reference counts, and 32 MiB of an L1 table
_MAX_L1 = 32 << 20
_SECTOR = 512


def refuse_cut_off(layer: Layer, length: int, snapshot: ImageSnapshot | None = None) -> None:
    """InvalidInput where something that the image needs lies behind the ``length`` bytes that the file has, or behind
    the end of its data file. Of the state of now, or of an internal ``snapshot``.
    """
    assert layer.header is not None
    words = header_words(layer.read, layer.url)
    size = layer.header.size
    if snapshot is not None:
        words = words._replace(l1_table=snapshot.l1_table, l1_entries=snapshot.l1_entries)
        size = snapshot.size or size
    _refuse_data_cut_off(layer, words, size)
    last = _last_used(layer, words.refcount_table, words.refcount_clusters, words.refcount_order)
    if last + layer.header.cluster <= length and not words.dirty:
        return
    if any(end > length for end in _ends(layer, words, size, length)):
        raise InvalidInput(
            f"{layer.url} is cut off: it has {length} bytes, and some of its data lies behind them "
            "(qemu-img check says more)"
        )


def _refuse_data_cut_off(layer: Layer, words: Words, size: int) -> None:
    """Clusters lie in a data file where the guest sees them, so one as long as the disk has them all."""
    assert layer.header is not None
    if layer.data is None or layer.data.size >= size:
        return
    for index, at in _tables(layer, words.l1_table, words.l1_entries):
        for word, held in _clusters(layer, index, at, words, size):
            if held and word & (_OFFSET | _COPIED) and held > layer.data.size - (word & _OFFSET):
                raise InvalidInput(
                    f"{layer.data.url}, the data file of {layer.url}, is cut off: it has {layer.data.size} bytes, and "
                    "some of the data lies behind them"
                )


def _last_used(layer: Layer, table: int, clusters: int, order: int) -> int:
    """Where the last cluster begins that has a reference; very far where the counts themselves are not all there."""
    assert layer.header is not None
    cluster = layer.header.cluster
    length = min(clusters * cluster, _MAX_TABLE)
    blocks = _words(layer.read(table, length))
    if len(blocks) * 8 < length:
        return sys.maxsize
    for number in range(len(blocks) - 1, -1, -1):
        if blocks[number]:
            block = layer.read(blocks[number] & _OFFSET, cluster)
            counts = block.rstrip(b"\0")
            if not block:
                return sys.maxsize
            if counts:
                per_block = cluster * 8 >> order
                # of counts smaller than a byte, the last one of the byte
                return (number * per_block + ((len(counts) * 8 - 1) >> order)) * cluster
    return 0


def _ends(layer: Layer, words: Words, size: int, length: int) -> Iterator[int]:
    """Where each table ends, and what the disk has in each cluster of data that ends behind ``length``.

    The last cluster of a file may be there as far as the disk goes, and of a compressed one the last sector in part.
    """
    assert layer.header is not None
    cluster = layer.header.cluster
    where = (1 << 70 - cluster.bit_length() + 1) - 1
    near = length - 2 * cluster - 2 * _SECTOR
    yield words.l1_table + words.l1_entries * 8
    for index, at in _tables(layer, words.l1_table, words.l1_entries):
        yield at + cluster
        for word, held in _clusters(layer, index, at, words, size):
            if word & _COMPRESSED:
                if word & where > near:
                    sectors = (word & _COMPRESSED - 1) >> where.bit_length()
                    yield (word & where) // _SECTOR * _SECTOR + sectors * _SECTOR + 1
            elif word & _OFFSET > near and held and layer.data is None:
                yield (word & _OFFSET) + held


def _clusters(layer: Layer, index: int, at: int, words: Words, size: int) -> Iterator[tuple[int, int]]:
    """The entries of a table, and how many bytes the disk has in the cluster of each: 0 where it reads as zeroes."""
    assert layer.header is not None
    cluster, table = layer.header.cluster, _words(layer.read(at, layer.header.cluster))
    if words.extended:
        first = index * (cluster // 16)
        for number, (word, pieces) in enumerate(zip(table[::2], table[1::2], strict=False), first):
            held = (pieces & 0xFFFFFFFF).bit_length() * cluster // 32
            yield word, max(0, min(held, size - number * cluster))
        return
    most = size - index * (cluster // 8) * cluster
    for word in table:
        yield word, 0 if word & 1 or most <= 0 else min(cluster, most)
        most -= cluster


def _tables(layer: Layer, l1_table: int, entries: int) -> list[tuple[int, int]]:
    """The L2 tables, as index and place: each once, however often a forged L1 table names it."""
    found: dict[int, int] = {}
    for index, entry in enumerate(_words(layer.read(l1_table, min(entries * 8, _MAX_L1)))):
        if entry & _OFFSET:
            found.setdefault(entry & _OFFSET, index)
    return sorted((index, at) for at, index in found.items())


def _words(data: bytes) -> array[int]:
    words = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        words.byteswap()
    return words
