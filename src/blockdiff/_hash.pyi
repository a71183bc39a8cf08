"""Digests of blocks, natively."""

from typing import Any

from typing_extensions import Buffer

class Xxh3:
    """XXH3-128 with a seed. ``instructions``: ``base``, ``avx2`` or ``avx512``; asked for none, the best there are."""

    instructions: str
    def __init__(self, seed: int = 0, instructions: str = "") -> None: ...
    def capsule(self) -> Any:
        """For a Digester, as long as this object is there (native/hasher.h)."""

    def blocks(self, data: Buffer, block: int, /) -> bytes:
        """A digest (16 bytes, as xxhsum writes it) for each block of the buffer; the last may be shorter."""
