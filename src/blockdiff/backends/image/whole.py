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
    from blockdiff.backends.image.qcow2 import Words

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_COPIED = 1 << 63
_MAX_TABLE = 8 << 20  # QEMU's own limits: of a table of reference counts, and 32 MiB of an L1 table
_MAX_L1 = 32 << 20


def refuse_cut_off(layer: Layer, length: int) -> None:
    """InvalidInput where something that the image needs lies behind the ``length`` bytes that the file has, or behind
    the end of its data file.
    """
    words = header_words(layer.read, layer.url)
    _refuse_data_cut_off(layer, words)
    if _last_used(layer, words.refcount_table, words.refcount_clusters, words.refcount_order) < length:
        return
    if any(at >= length for at in _used(layer, words.l1_table, words.l1_entries, words.extended)):
        raise InvalidInput(
            f"{layer.url} is cut off: it has {length} bytes, and some of its data lies behind them "
            "(qemu-img check says more)"
        )


def _refuse_data_cut_off(layer: Layer, words: Words) -> None:
    """Clusters lie in a data file where the guest sees them, so one as long as the disk has them all."""
    assert layer.header is not None
    if layer.data is None or layer.data.size >= layer.header.size:
        return
    for at in _tables(layer, words.l1_table, words.l1_entries):
        for word in _words(layer.read(at, layer.header.cluster))[:: 2 if words.extended else 1]:
            if word & (_OFFSET | _COPIED) and not word & 1 and word & _OFFSET >= layer.data.size:
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
                return (number * per_block + ((len(counts) - 1) * 8 >> order)) * cluster
    return 0


def _used(layer: Layer, l1_table: int, entries: int, extended: bool) -> Iterator[int]:
    """Where each table and each cluster of data begins."""
    assert layer.header is not None
    cluster = layer.header.cluster
    compressed_offset = (1 << 70 - cluster.bit_length() + 1) - 1
    yield l1_table
    for entry in _tables(layer, l1_table, entries):
        yield entry
        for word in _words(layer.read(entry, cluster))[:: 2 if extended else 1]:
            if word & _COMPRESSED:
                yield word & compressed_offset
            elif word & _OFFSET and not word & 1 and layer.data is None:
                yield word & _OFFSET


def _tables(layer: Layer, l1_table: int, entries: int) -> list[int]:
    """Where the L2 tables begin: each once, however often a forged L1 table names it."""
    return sorted({entry & _OFFSET for entry in _words(layer.read(l1_table, min(entries * 8, _MAX_L1)))} - {0})


def _words(data: bytes) -> array[int]:
    words = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        words.byteswap()
    return words
