"""What a qcow2 file says of itself: sizes, files that it needs, snapshots and bitmaps. Nothing is opened by its word.

Source: QEMU's docs/interop/qcow2 (versions 2 and 3). Everything is big-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]

MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4xIQIIQIIQQIIQ")  # the magic, then up to snapshots_offset
_FEATURES = struct.Struct(">QQQII")  # version 3: incompatible, compatible, autoclear, refcount_order, header_length
_SNAPSHOT = struct.Struct(">QIHHIIQII")
_BITMAPS = struct.Struct(">IIQQ")
_BITMAP = struct.Struct(">QIIBBHI")
_DIRTY, _DATA_FILE, _EXTENDED, _BITMAPS_VALID, _IN_USE, _AUTO = 1 << 0, 1 << 2, 1 << 4, 1 << 0, 1 << 0, 1 << 1
_BACKING_FORMAT, _DATA_NAME, _BITMAPS_EXTENSION = 0xE2792ACA, 0x44415441, 0x23852875
_MAX_NAME, _MAX_SNAPSHOTS, _MAX_BITMAPS, _MAX_DIRECTORY = 1023, 65536, 65535, 64 << 20


@dataclass(frozen=True, slots=True)
class ImageSnapshot:
    """An internal snapshot. ``size`` (bytes) is the disk's size then; 0 where an old file does not tell."""

    id: str
    name: str
    size: int
    l1_table: int = 0
    l1_entries: int = 0


@dataclass(frozen=True, slots=True)
class Bitmap:
    """A persistent dirty bitmap; ``in_use`` ones were not written back, so what they say is not to be believed.

    ``enabled`` ones note every write; others were told to stop, and know nothing of what was written since.
    """

    name: str
    granularity: int
    in_use: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class Header:
    """``backing`` and ``data_file`` are names as written in the file, as bytes; empty where there is none.

    ``has_data_file``: the data is in another file, whether or not that is named.
    """

    version: int
    size: int
    cluster: int
    encrypted: bool
    backing: bytes
    backing_format: str
    has_data_file: bool
    data_file: bytes
    snapshot_count: int
    snapshots_offset: int
    bitmaps: tuple[int, int, int]


def parse_header(read: Read, url: str) -> Header:
    """The header of a file; ``read(offset, length)`` gives what is there. InvalidInput says what is wrong."""
    head = read(0, _HEADER.size)
    fixed = _unpack(_HEADER, head, url, "its header")
    version, backing_at, backing_length, cluster_bits, size, crypt = fixed[:6]
    if head[:4] != MAGIC:
        raise InvalidInput(f"{url} is no qcow2 image: its first bytes are others")
    if version not in (2, 3):
        raise InvalidInput(f"{url} is of qcow2 version {version}; known are 2 and 3")
    if not 9 <= cluster_bits <= 21:
        raise InvalidInput(f"{url} is broken: its clusters have 2^{cluster_bits} bytes")
    incompatible = autoclear = 0
    length = _HEADER.size
    if version == 3:
        incompatible, _, autoclear, _, length = _unpack(_FEATURES, read(72, _FEATURES.size), url, "its header")
    cluster = 1 << cluster_bits
    if backing_at > cluster:
        raise InvalidInput(f"{url} is broken: the name of its backing file begins behind the first cluster")
    extensions = dict(_extensions(read, length, backing_at or cluster, url))
    bitmaps = (0, 0, 0)
    if autoclear & _BITMAPS_VALID and _BITMAPS_EXTENSION in extensions:
        count, _, directory, at = _unpack(_BITMAPS, extensions[_BITMAPS_EXTENSION], url, "its list of bitmaps")
        bitmaps = (count, at, directory)
    return Header(
        version=version,
        size=size,
        cluster=cluster,
        encrypted=crypt != 0,
        backing=_name(read, backing_at, backing_length, url),
        backing_format=extensions.get(_BACKING_FORMAT, b"").decode("ascii", "replace"),
        has_data_file=bool(incompatible & _DATA_FILE),
        data_file=extensions.get(_DATA_NAME, b""),
        snapshot_count=fixed[10],
        snapshots_offset=fixed[11],
        bitmaps=bitmaps,
    )


class Words(NamedTuple):
    """Where the tables are, as far as a check of the file needs them; offsets in bytes.

    ``dirty``: the reference counts are not to be believed.
    """

    l1_entries: int
    l1_table: int
    refcount_table: int
    refcount_clusters: int
    refcount_order: int
    extended: bool
    dirty: bool


def header_words(read: Read, url: str) -> Words:
    """The places of the tables. The header was parsed before."""
    fixed = _unpack(_HEADER, read(0, _HEADER.size), url, "its header")
    incompatible, order = 0, 4
    if fixed[0] == 3:
        incompatible, _, _, order, _ = _unpack(_FEATURES, read(72, _FEATURES.size), url, "its header")
    if order > 6:
        raise InvalidInput(f"{url} is broken: its reference counts have 2^{order} bits")
    l1_entries, l1_table, refcount_table, refcount_clusters = fixed[6:10]
    extended = bool(incompatible & _EXTENDED)
    dirty = bool(incompatible & _DIRTY)
    return Words(l1_entries, l1_table, refcount_table, refcount_clusters, order, extended, dirty)


def snapshots(read: Read, header: Header, url: str) -> Iterator[ImageSnapshot]:
    """The internal snapshots, oldest first. Raises InvalidInput for a broken table."""
    if header.snapshot_count > _MAX_SNAPSHOTS:
        raise InvalidInput(f"{url} is broken: it says that it has {header.snapshot_count} snapshots")
    at = header.snapshots_offset
    for _ in range(header.snapshot_count):
        entry = _unpack(_SNAPSHOT, read(at, _SNAPSHOT.size), url, "its table of snapshots")
        id_length, name_length, extra = entry[2], entry[3], entry[8]
        if extra > 1024:
            raise InvalidInput(f"{url} is broken: an entry of its table of snapshots has {extra} bytes of extra data")
        rest = read(at + _SNAPSHOT.size, extra + id_length + name_length)
        size = int.from_bytes(rest[8:16], "big") if extra >= 16 else 0
        words = rest[extra:]
        id_, name = _text(words[:id_length]), _text(words[id_length : id_length + name_length])
        yield ImageSnapshot(id_, name, size, entry[0], entry[1])
        at += -(-(_SNAPSHOT.size + len(rest)) // 8) * 8


def bitmaps(read: Read, header: Header, url: str) -> Iterator[Bitmap]:
    """The persistent bitmaps. Raises InvalidInput for a broken directory."""
    count, start, length = header.bitmaps
    if count > _MAX_BITMAPS or length > _MAX_DIRECTORY:
        raise InvalidInput(f"{url} is broken: it says that it has {count} bitmaps in {length} bytes")
    directory, at = read(start, length), 0
    for _ in range(count):
        entry = _unpack(_BITMAP, directory[at : at + _BITMAP.size], url, "its list of bitmaps")
        _, _, flags, _, granularity_bits, name_length, extra = entry
        name_at = at + _BITMAP.size + extra
        name = directory[name_at : name_at + name_length]
        if len(name) != name_length or granularity_bits > 31:
            raise InvalidInput(f"{url} is broken: its list of bitmaps cannot be read")
        yield Bitmap(_text(name), 1 << granularity_bits, bool(flags & _IN_USE), bool(flags & _AUTO))
        at += -(-(_BITMAP.size + extra + name_length) // 8) * 8


def _extensions(read: Read, at: int, end: int, url: str) -> Iterator[tuple[int, bytes]]:
    while at + 8 <= end:
        kind, length = struct.unpack(">II", _whole(read(at, 8), 8, url, "its header"))
        if kind == 0:
            return
        if length > end - at - 8:
            raise InvalidInput(f"{url} is broken: an extension of its header has {length} bytes")
        yield kind, _whole(read(at + 8, length), length, url, "its header")
        at += 8 + -(-length // 8) * 8


def _name(read: Read, at: int, length: int, url: str) -> bytes:
    if not at or not length:
        return b""
    if length > _MAX_NAME:
        raise InvalidInput(f"{url} is broken: the name of its backing file has {length} bytes")
    return _whole(read(at, length), length, url, "the name of its backing file")


def _unpack(layout: struct.Struct, data: bytes, url: str, what: str) -> tuple[int, ...]:
    values: tuple[int, ...] = layout.unpack(_whole(data[: layout.size], layout.size, url, what))
    return values


def _whole(data: bytes, length: int, url: str, what: str) -> bytes:
    if len(data) < length:
        raise InvalidInput(f"{url} is cut off: {what} is not all there")
    return data


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
