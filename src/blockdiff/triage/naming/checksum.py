"""The checksums of btrfs: CRC32C, xxHash64, SHA-256 and BLAKE2b, by the number that its superblock gives."""

from __future__ import annotations

import functools
import hashlib

from blockdiff._fast import xxh64

_POLYNOMIAL = 0x82F63B78  # CRC32C, reflected: RFC 3720, appendix B.4


@functools.cache
def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        rest = value
        for _ in range(8):
            rest = rest >> 1 ^ (_POLYNOMIAL if rest & 1 else 0)
        table.append(rest)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """CRC32C: some milliseconds for each 16 KiB, which is enough for a few nodes."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def digest(kind: int, data: bytes) -> bytes | None:
    """The checksum as it is stored; None for a kind that is not known."""
    if kind == 0:
        return crc32c(data).to_bytes(4, "little")
    if kind == 1:
        return xxh64(data).to_bytes(8, "little")
    if kind == 2:
        return hashlib.sha256(data).digest()
    return hashlib.blake2b(data, digest_size=32).digest() if kind == 3 else None
