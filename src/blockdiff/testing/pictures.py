"""Extents and images drawn as text: a letter is data, ``0`` is zeroes, ``-`` is a hole, ``.`` is nothing at all."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from blockdiff._fast import Extents
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(r"(\d+)([kmgt]?):([A-Za-z0-])", re.ASCII)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_STEP = 1 << 20


def extents(picture: str, block: int = 4096) -> Extents:
    """The extents of a picture with one character a block: ``extents("A0-")`` is data, zero, hole, 4 KiB each.

    Neighbours of one kind are joined, whatever their letters are.
    """
    return _joined((i * block, block, char) for i, char in enumerate(picture.replace(" ", "")))


def content(picture: str, block: int = 4096) -> bytes:
    """The bytes of the same picture: each letter fills its block, all else is zeroes."""
    return b"".join(_byte(char) * block for char in picture.replace(" ", ""))


def image(picture: str, path: str | os.PathLike[str]) -> Extents:
    """Makes a real sparse file from ``"32k:A 64k:- 32k:0"`` and gives the extents that it should have.

    Zeroes are written, so that they take space: reading finds out (ZERO), the map of the file alone says DATA.
    Holes are real where they are whole blocks of the file system. Existing files are replaced.
    """
    parts = list(_parsed(picture))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for offset, length, char in parts:
            if char != "-":
                _fill(fd, offset, length, _byte(char))
        os.ftruncate(fd, sum(length for _, length, _ in parts))
    finally:
        os.close(fd)
    return _joined(iter(parts))


def _parsed(picture: str) -> Iterator[tuple[int, int, str]]:
    offset = 0
    for token in picture.split():
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise InvalidInput(f"not a part of an image: {token!r} (wanted for example 64k:A, 4096:0 or 1m:-)")
        length = int(match[1]) * _UNITS[match[2]]
        yield offset, length, match[3]
        offset += length


def _kind(char: str) -> Kind:
    if char == "-":
        return Kind.HOLE
    if char == "0":
        return Kind.ZERO
    if char.isascii() and char.isalpha():
        return Kind.DATA
    raise InvalidInput(f"not a part of a picture: {char!r} (a letter, 0, - or .)")


def _byte(char: str) -> bytes:
    return char.encode("ascii") if char.isalpha() else b"\0"


def _fill(fd: int, offset: int, length: int, byte: bytes) -> None:
    end = offset + length
    while offset < end:
        offset += os.pwrite(fd, byte * min(end - offset, _STEP), offset)


def _joined(parts: Iterator[tuple[int, int, str]]) -> Extents:
    return Extents((offset, length, _kind(char)) for offset, length, char in parts if char != "." and length).coalesce()
