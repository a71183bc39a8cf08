"""The tree and the file of docs/manifest-format.md, written down once more with the packages of PyPI."""

import json
import struct

import blake3
import xxhash

FANOUT = 256
SIZE = {"xxh3-128": 16, "blake3": 32}
NODE, ROOT = "blockdiff 2026-11-21 manifest node v1", "blockdiff 2026-11-21 manifest root v1"


def block_digest(algorithm, data):
    return xxhash.xxh3_128_digest(data) if algorithm == "xxh3-128" else blake3.blake3(data).digest()


def node_digest(algorithm, data, seed=1, context=NODE):
    if algorithm == "xxh3-128":
        return xxhash.xxh3_128_digest(data, seed=seed)
    return blake3.blake3(data, derive_key_context=context).digest()


def blocks(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def tree(algorithm, leaves):
    """The levels, each a list of digests."""
    levels = [leaves] if leaves else []
    while levels and len(levels[-1]) > 1:
        below = levels[-1]
        groups = [below[i : i + FANOUT] for i in range(0, len(below), FANOUT)]
        levels.append([node_digest(algorithm, b"".join(group)) for group in groups])
    return levels


def root_of(algorithm, block_size, size, top):
    head = b"blockdiff manifest tree 1".ljust(32, b"\0") + algorithm.encode().ljust(16, b"\0")
    head += struct.pack("<IIQ", block_size, FANOUT, size)
    return node_digest(algorithm, head + top, 2, ROOT)


def root(data, algorithm="xxh3-128", block_size=65536):
    levels = tree(algorithm, [block_digest(algorithm, block) for block in blocks(data, block_size)])
    return root_of(algorithm, block_size, len(data), levels[-1][0] if levels else b"")


def parse(raw):
    """A manifest file: (algorithm, block size, size, root, levels, facts); a level is a dict of node: digest."""
    magic, version, length, name, block_size, fanout, size, end, count, found = struct.unpack_from(
        "<8sII16sIIQQI4x32s", raw
    )
    assert (magic, version, fanout, end) == (b"\x89BDMAN\r\n", 1, FANOUT, len(raw))
    assert length % 64 == 0
    assert xxhash.xxh3_128_digest(raw[: length - 16]) == raw[length - 16 : length]
    algorithm = name.rstrip(b"\0").decode()
    digest, at, levels = SIZE[algorithm], 96, []
    for _ in range(count):
        nodes, stored, runs, offset, checksum = struct.unpack_from("<QQQQ16s", raw, at)
        at += 48
        section = raw[offset : offset + stored * digest + runs * 16]
        pieces = b"".join(xxhash.xxh3_128_digest(piece) for piece in blocks(section, 1 << 20))
        assert (xxhash.xxh3_128_digest(pieces) if section else bytes(16)) == checksum
        pairs = list(struct.iter_unpack("<QQ", section[stored * digest :]))
        ends = [*(rank for _, rank in pairs[1:]), stored][: len(pairs)]
        levels.append(
            {
                first + i: section[(rank + i) * digest : (rank + i + 1) * digest]
                for (first, rank), stop in zip(pairs, ends, strict=True)
                for i in range(stop - rank)
            }
        )
        levels[-1]["nodes"] = nodes
    (told,) = struct.unpack_from("<I", raw, at)
    return algorithm, block_size, size, found[:digest], levels, json.loads(raw[at + 4 : at + 4 + told])
