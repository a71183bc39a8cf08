"""The format of a manifest, version 1: docs/manifest-format.md. Packing and reading its header, and nothing else.

header    fixed part, a row for each level of the tree, facts as JSON, XXH3-128 of all that
level 0   the digests of the blocks that are not whole blocks of zeroes, then the runs that they are of
level 1   the same of the nodes over 256 blocks each, and so on up to one node
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from blockdiff.engine.manifest import MAGIC
from blockdiff.engine.manifest.algorithm import FANOUT, MAX_BLOCK, MIN_BLOCK, algorithm, checksum
from blockdiff.errors import InvalidInput

VERSION = 1
_START = struct.Struct("<8sII")  # magic, version, bytes of the header
_FIXED = struct.Struct("<8sII16sIIQQI4x32s")  # and algorithm, block size, fanout, size, file size, levels, root
_LEVEL = struct.Struct("<QQQQ16s")  # nodes, stored, runs, offset, XXH3-128 of digests and runs
RUN = struct.Struct("<QQ")  # the first node, and how many digests are stored before its own
_SUM = 16
_ALIGN = 64
MAX_HEADER = 1 << 20
MAX_SIZE = (1 << 63) - 1


class Level(NamedTuple):
    """One level of the tree: ``nodes`` of which ``stored`` are in the file, in ``runs``, from ``offset`` on."""

    nodes: int
    stored: int
    runs: int
    offset: int
    checksum: bytes

    def length(self, digest: int) -> int:
        """Bytes of the file."""
        return self.stored * digest + self.runs * RUN.size


class Header(NamedTuple):
    """All that a manifest says of itself. ``facts``: where it comes from."""

    algorithm: str
    block_size: int
    size: int
    root: bytes
    levels: tuple[Level, ...]
    facts: dict[str, Any]


def level_counts(size: int, block_size: int) -> list[int]:
    """How many nodes each level has, from the blocks up to the one node at the top; none where there is no byte."""
    counts = [-(-size // block_size)] if size else []
    while counts and counts[-1] > 1:
        counts.append(-(-counts[-1] // FANOUT))
    return counts


def encode_facts(facts: dict[str, Any]) -> bytes:
    """The facts as they are in the header."""
    import json

    return json.dumps(facts, separators=(",", ":")).encode()


def header_length(levels: int, facts: bytes) -> int:
    """Bytes of the header."""
    least = _FIXED.size + levels * _LEVEL.size + 4 + len(facts) + _SUM
    return -(-least // _ALIGN) * _ALIGN


def pack_header(header: Header, facts: bytes) -> bytes:
    """The bytes that a manifest begins with."""
    length = header_length(len(header.levels), facts)
    digest = algorithm(header.algorithm).size
    end = max((level.offset + level.length(digest) for level in header.levels), default=length)
    fixed = _FIXED.pack(
        MAGIC,
        VERSION,
        length,
        header.algorithm.encode(),
        header.block_size,
        FANOUT,
        header.size,
        end,
        len(header.levels),
        header.root,
    )
    rows = b"".join(_LEVEL.pack(*level) for level in header.levels)
    body = (fixed + rows + struct.pack("<I", len(facts)) + facts).ljust(length - _SUM, b"\0")
    return body + checksum(body)


def begin(data: bytes, name: str) -> int:
    """The bytes of the header, from a file's first 16 bytes. InvalidInput where it is none of ours, or a newer one."""
    if data[: len(MAGIC)] != MAGIC:
        raise InvalidInput(f"{name} is no manifest: blockdiff digest IMAGE -o MANIFEST makes one")
    if len(data) < _START.size:
        raise damaged(name, f"it has {len(data)} bytes")
    _, version, length = _START.unpack_from(data)
    if version != VERSION:
        raise InvalidInput(
            f"{name} is a manifest of version {version}, and this blockdiff knows version {VERSION}: "
            "use the blockdiff that made it, or a newer one"
        )
    if not _FIXED.size + 4 + _SUM <= length <= MAX_HEADER or length % _ALIGN:
        raise damaged(name, f"its header cannot have {length} bytes")
    return int(length)


def read_header(data: bytes, name: str, file_size: int) -> Header:
    """The header, proved to be whole and to make sense. InvalidInput says what is wrong."""
    length = begin(data, name)
    if len(data) < length:
        raise damaged(name, "it ends inside its header")
    data = data[:length]
    if checksum(data[:-_SUM]) != data[-_SUM:]:
        raise damaged(name, "the checksum of its header is wrong")
    try:
        header, end = _parse(data)
        _prove(header, length, end)
    except (ValueError, struct.error, RecursionError, InvalidInput) as error:
        raise damaged(name, str(error)) from error
    if end != file_size:
        raise damaged(name, f"it has {file_size} bytes in place of {end}: it was cut off, or something was added")
    return header


def damaged(name: str, why: str) -> InvalidInput:
    """The error of a manifest that cannot be trusted."""
    return InvalidInput(f"{name} is damaged: {why}; make it again from an image that is known to be good")


def _parse(data: bytes) -> tuple[Header, int]:
    import json

    _, _, _, name, block_size, fanout, size, end, levels, root = _FIXED.unpack_from(data)
    at = _FIXED.size
    if fanout != FANOUT or levels * _LEVEL.size > len(data) - at - 4 - _SUM:
        raise ValueError("its tree is of another shape")
    rows = tuple(Level(*_LEVEL.unpack_from(data, at + i * _LEVEL.size)) for i in range(levels))
    at += levels * _LEVEL.size
    (count,) = struct.unpack_from("<I", data, at)
    facts = data[at + 4 : at + 4 + count]
    if header_length(levels, facts) != len(data) or len(facts) != count:
        raise ValueError("its facts do not fit")
    known = algorithm(name.rstrip(b"\0").decode("ascii"))
    told = json.loads(facts)
    if not isinstance(told, dict) or root[known.size :].strip(b"\0"):
        raise ValueError("its facts are none")
    return Header(known.name, block_size, size, root[: known.size], rows, told), end


def _prove(header: Header, at: int, end: int) -> None:
    block = header.block_size
    if not MIN_BLOCK <= block <= MAX_BLOCK or block & (block - 1) or header.size > MAX_SIZE:
        raise ValueError("its sizes cannot be")
    if [level.nodes for level in header.levels] != level_counts(header.size, block):
        raise ValueError("its tree does not fit its size")
    digest = algorithm(header.algorithm).size
    for level in header.levels:
        if level.offset != at or level.stored > level.nodes or level.runs > level.stored:
            raise ValueError("its tree does not fit its file")
        if bool(level.stored) != bool(level.runs):
            raise ValueError("its tree has digests of nothing")
        at += level.length(digest)
    if at != end:
        raise ValueError("its tree does not fill its file")
