"""File systems, recognised by their superblocks: ext2, ext3 and ext4, XFS, btrfs; others by name only."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from blockdiff.triage.layout.partition import Read

_BTRFS_AT = 65536
_HEAD = 4096
# (offset, bytes there, name): what is only named, and not looked into
_OTHERS = (
    (0, b"LUKS\xba\xbe", "LUKS"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (82, b"FAT32   ", "FAT32"),
    (54, b"FAT16   ", "FAT16"),
    (54, b"FAT12   ", "FAT12"),
    (512, b"LABELONE", "LVM"),
    (4086, b"SWAPSPACE2", "swap"),
)


class FileSystem(NamedTuple):
    """``start`` and ``size`` in bytes of the device; ``block``: bytes of a block. XFS: blocks of an allocation group,
    and the bits that number them.
    """

    kind: str
    start: int
    size: int
    block: int
    label: str = ""
    uuid: str = ""
    group_blocks: int = 0
    group_bits: int = 0


def recognise(read: Read, start: int, length: int) -> FileSystem | None:
    """The file system that begins at ``start``; None where no known one is to be seen."""
    head = read(start, min(_HEAD, length))
    found = _ext(head, start) or _xfs(head, start) or _btrfs(read, start, length)
    if found is not None:
        return found if found.size > 0 and found.block <= found.size else None
    for at, magic, name in _OTHERS:
        if head[at : at + len(magic)] == magic:
            return FileSystem(name, start, length, 0)
    return None


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _ext(head: bytes, start: int) -> FileSystem | None:
    """The superblock at 1024: fs/ext4/ext4.h, struct ext4_super_block."""
    data = head[1024:2048]
    if len(data) < 1024 or data[56:58] != b"\x53\xef":
        return None
    blocks, log = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 24)[0]
    compatible, incompatible, read_only = struct.unpack_from("<3I", data, 92)
    if log > 6:
        return None
    if incompatible & 0x80:  # 64bit
        blocks |= struct.unpack_from("<I", data, 336)[0] << 32
    modern = incompatible & 0x2C0 or read_only & 0x78
    kind = "ext4" if modern else "ext3" if compatible & 0x4 else "ext2"
    block = 1024 << log
    return FileSystem(kind, start, blocks * block, block, _text(data[120:136]), str(UUID(bytes=data[104:120])))


def _xfs(head: bytes, start: int) -> FileSystem | None:
    """fs/xfs/libxfs/xfs_format.h, struct xfs_dsb; big endian."""
    if len(head) < 256 or head[:4] != b"XFSB":
        return None
    block, blocks = struct.unpack_from(">IQ", head, 4)
    group_blocks = struct.unpack_from(">I", head, 84)[0]
    bits = head[124]
    if block & (block - 1) or not 512 <= block <= 65536 or not group_blocks or bits > 31:
        return None
    if not group_blocks <= 1 << bits < 2 * max(group_blocks, 1):
        return None
    uuid = str(UUID(bytes=head[32:48]))
    return FileSystem("xfs", start, blocks * block, block, _text(head[108:120]), uuid, group_blocks, bits)


def _btrfs(read: Read, start: int, length: int) -> FileSystem | None:
    """The superblock at 64 KiB: fs/btrfs/ctree.h, struct btrfs_super_block."""
    if length < _BTRFS_AT + _HEAD:
        return None
    data = read(start + _BTRFS_AT, _HEAD)
    if len(data) < _HEAD or data[64:72] != b"_BHRfS_M":
        return None
    sector = struct.unpack_from("<I", data, 144)[0]
    if sector & (sector - 1) or not 512 <= sector <= 65536:
        return None
    # what this device of it has, which may be one of several
    size = struct.unpack_from("<Q", data, 201 + 8)[0]
    return FileSystem("btrfs", start, size, sector, _text(data[299:555]), str(UUID(bytes=data[32:48])))
