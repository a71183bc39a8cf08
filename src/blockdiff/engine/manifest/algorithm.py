"""What blocks, nodes and the root of a manifest are digested by. Each use has a domain of its own.

A block's digest is the plain one, as ``xxhsum -H2`` or ``b3sum`` print it. Nodes and the root are told from blocks, and
from each other: XXH3 by its seed, BLAKE3 by its key derivation. The root binds the version of the tree, the algorithm,
the block size and the size.
"""

from __future__ import annotations

import struct
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff._fast import Digester
    from blockdiff.engine.device import Buffer

FANOUT = 256
MIN_BLOCK, MAX_BLOCK = 4096, 1 << 20
_NODE_SEED, _ROOT_SEED = 1, 2
_NODE_CONTEXT, _ROOT_CONTEXT = "blockdiff 2026-11-21 manifest node v1", "blockdiff 2026-11-21 manifest root v1"
_PIECE = 1 << 20
_ROOT = struct.Struct("<32s16sIIQ")
_ROOT_NAME = b"blockdiff manifest tree 1"


class Algorithm(NamedTuple):
    """One way to digest: ``size`` is the bytes of a digest, ``block_size`` those of a block unless said otherwise."""

    name: str
    size: int
    block_size: int


ALGORITHMS = {
    # BLAKE3's digests are twice as long: with twice the block the manifest is as small
    "xxh3-128": Algorithm("xxh3-128", 16, 64 << 10),
    "blake3": Algorithm("blake3", 32, 128 << 10),
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name. InvalidInput names the known ones."""
    if name not in ALGORITHMS:
        raise InvalidInput(f"unknown algorithm {name!r}: known are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]


def check_block_size(size: int) -> None:
    """Raises InvalidInput where blocks cannot have so many bytes."""
    if not MIN_BLOCK <= size <= MAX_BLOCK or size & (size - 1):
        raise InvalidInput(f"block size {size} is not a power of two from 4K to 1M")


class Hasher:
    """Digests blocks and the tree over them, by an algorithm and for a block size. Raises InvalidInput."""

    def __init__(self, name: str = "xxh3-128", block_size: int = 0) -> None:
        self.algorithm = algorithm(name)
        self.block_size = block_size or self.algorithm.block_size
        check_block_size(self.block_size)
        self.size = self.algorithm.size
        self._blocks: Any = _blake3() if name == "blake3" else _xxh3(0).blocks

    @cached_property
    def zero(self) -> bytes:
        """The digest of a whole block of zeroes."""
        return self.hash_blocks(bytes(self.block_size))

    def hash_blocks(self, data: Buffer) -> bytes:
        """A digest for each block, joined; the last block may be shorter. The GIL is released."""
        digests: bytes = self._blocks(data, self.block_size)
        return digests

    def hash_nodes(self, children: Buffer) -> bytes:
        """The digests of the nodes over these nodes or blocks: one for each 256, the last may have fewer."""
        step = FANOUT * self.size
        if self.algorithm.name == "blake3":
            return _blake3(_NODE_CONTEXT)(children, step)
        nodes: bytes = _xxh3(_NODE_SEED).blocks(children, step)
        return nodes

    def root(self, size: int, top: bytes) -> bytes:
        """The root of ``size`` bytes whose tree ends in the node ``top`` (empty where there is no byte)."""
        name = self.algorithm.name.encode()
        data = _ROOT.pack(_ROOT_NAME, name, self.block_size, FANOUT, size) + top
        if self.algorithm.name == "blake3":
            return _blake3(_ROOT_CONTEXT)(data, len(data))
        root: bytes = _xxh3(_ROOT_SEED).blocks(data, len(data))
        return root

    def digester(self, end: int) -> Digester:
        """For a reader of one worker; ``end`` is where the last block ends."""
        from blockdiff._fast import Digester

        hasher = self._blocks if self.algorithm.name == "blake3" else _xxh3(0).capsule()
        return Digester(hasher, self.zero, end)


def checksum(data: Buffer) -> bytes:
    """XXH3-128 with the seed 0."""
    value: bytes = _xxh3(0).blocks(data, len(data)) if len(data) else bytes(16)
    return value


class SectionSum:
    """The checksum of bytes that come in parts: XXH3-128 over those of its pieces of 1 MiB."""

    def __init__(self) -> None:
        self._sums, self._rest = bytearray(), bytearray()

    def add(self, data: Buffer) -> None:
        """Bytes that follow."""
        self._rest += data
        whole = len(self._rest) - len(self._rest) % _PIECE
        if whole:
            self._sums += _xxh3(0).blocks(memoryview(self._rest)[:whole], _PIECE)
            self._rest = self._rest[whole:]

    def value(self) -> bytes:
        """The checksum of all of them."""
        return checksum(self._sums + (_xxh3(0).blocks(self._rest, _PIECE) if self._rest else b""))


@cache
def _xxh3(seed: int) -> Any:
    from blockdiff._hash import Xxh3

    return Xxh3(seed)


@cache
def _blake3(context: str = "") -> Callable[[Buffer, int], bytes]:
    from blake3 import blake3

    def blocks(data: Buffer, size: int) -> bytes:
        view = memoryview(data)
        if context:
            return b"".join(
                [blake3(view[at : at + size], derive_key_context=context).digest() for at in range(0, len(view), size)]
            )
        return b"".join([blake3(view[at : at + size]).digest() for at in range(0, len(view), size)])

    return blocks
