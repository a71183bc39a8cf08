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

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_MAX_TABLE = 8 << 20  # QEMU's own limits: of a table of reference counts, and 32 MiB of an L1 table
_MAX_L1 = 32 << 20


def refuse_cut_off(layer: Layer, length: int) -> None:
    """InvalidInput where something that the image needs lies behind the ``length`` bytes that the file has."""
    words = header_words(layer.read, layer.url)
    if _last_used(layer, words.refcount_table, words.refcount_clusters, words.refcount_order) < length:
        return
    if any(at >= length for at in _used(layer, words.l1_table, words.l1_entries, words.extended)):
        raise InvalidInput(
            f"{layer.url} is cut off: it has {length} bytes, and some of its data lies behind them "
            "(qemu-img check says more)"
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
    for entry in _words(layer.read(l1_table, min(entries * 8, _MAX_L1))):
        if not entry & _OFFSET:
            continue
        yield entry & _OFFSET
        for word in _words(layer.read(entry & _OFFSET, cluster))[:: 2 if extended else 1]:
            if word & _COMPRESSED:
                yield word & compressed_offset
            elif word & _OFFSET and not word & 1 and layer.data is None:
                yield word & _OFFSET


def _words(data: bytes) -> array[int]:
    words = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        words.byteswap()
    return words
