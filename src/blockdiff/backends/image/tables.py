"""Where the disk's bytes are in a qcow2 file of the plain kind: its clusters are in the file, zero, or nowhere.

Everything else, and everything that is not quite as it should be, is QEMU's to read. Source: QEMU's docs/interop/qcow2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from blockdiff._fast import Places
from blockdiff.backends.image.qcow2 import header_words, parse_header

if TYPE_CHECKING:
    from blockdiff.backends.image.layer import Layer

_OFFSET = 0x00FFFFFFFFFFFE00
_COPIED = 1 << 63
_SMALLEST = 4096  # bytes of a cluster: of smaller ones there are too many tables
_MAX_TABLES = 64 << 20  # bytes of them that are read: 512 GiB of a disk with clusters of 64 KiB
_MAX_L1 = 1 << 20  # bytes of the table that names them: a broken header says anything
_MAX_PLACES = 1 << 19  # 12 MiB of memory
_FEATURES = struct.Struct(">QQQ")  # incompatible, compatible, autoclear
_BITMAPS = 1  # of autoclear
_SECTOR = 512


def places_of(layer: Layer) -> Places | None:
    """The places of all bytes of the disk; None where QEMU is to read it. The file must not change meanwhile."""
    header = layer.header
    if header is None or not _is_plain(layer) or parse_header(layer.read, layer.url) != header:
        return None
    words = header_words(layer.read, layer.url)
    file_size, per_table = layer.then.st_size, header.cluster // 8 * header.cluster
    needed = -(-header.size // per_table)
    if words.l1_entries < needed or words.l1_table % header.cluster or not header.size or needed * 8 > _MAX_L1:
        return None
    data = layer.read(words.l1_table, needed * 8)
    if len(data) != needed * 8:
        return None
    entries = struct.unpack(f">{needed}Q", data)
    if sum(1 for entry in entries if entry) * header.cluster > _MAX_TABLES:
        return None
    places = Places(header.size)
    for entry in entries:
        if not entry:
            places.add_nothing(per_table)
        elif not _add(places, layer, entry, file_size) or len(places) > _MAX_PLACES:
            return None
    # a file with fewer blocks than clusters has holes in them, which QEMU tells as zeroes
    return places if places.end == header.size and places.data <= layer.then.st_blocks * _SECTOR else None


def _is_plain(layer: Layer) -> bool:
    header = layer.header
    assert header is not None
    if layer.is_block or layer.data is not None or header.encrypted or header.has_data_file or header.backing:
        return False
    if header.snapshot_count or header.cluster < _SMALLEST or header.size % _SECTOR:
        return False
    if header.version < 3:
        return True
    features = layer.read(72, _FEATURES.size)
    if len(features) != _FEATURES.size:
        return False
    incompatible, _, autoclear = _FEATURES.unpack(features)
    return not incompatible and not autoclear & ~_BITMAPS  # one that says that its data is elsewhere is not whole


def _add(places: Places, layer: Layer, entry: int, file_size: int) -> bool:
    """Adds the table that an entry of level 1 names. False where it is not as it should be."""
    assert layer.header is not None
    cluster, at = layer.header.cluster, entry & _OFFSET
    if entry & ~(_OFFSET | _COPIED) or not at or at % cluster or at + cluster > file_size:
        return False
    table = layer.read(at, cluster)
    return len(table) == cluster and places.add_table(table, cluster, layer.header.version, file_size)
