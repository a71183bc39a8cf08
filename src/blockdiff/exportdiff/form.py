"""The words of the format. See docs/export-diff.md."""

from __future__ import annotations

import os
from typing import NamedTuple

DIFF_V1 = b"rbd diff v1\n"
DIFF_V2 = b"rbd diff v2\n"
IMAGE_V2 = b"rbd image v2\n"
IMAGE_DIFFS_V2 = b"rbd image diffs v2\n"

FROM, TO, SIZE, PROTECTED = b"f", b"t", b"s", b"p"
DATA, ZERO, END = b"w", b"z", b"e"

MAX_NAME = 4096  # what rbd itself takes
MAX_SIZE = (1 << 63) - 1
MAX_RECORD = 4 << 20  # of data that we write: rbd import-diff holds a whole record in memory


class Header(NamedTuple):
    """The snapshots that a diff leads from (None: nothing) and to (None: HEAD), and the size of the image after it."""

    from_name: str | None
    to_name: str | None
    size: int


class Piece(NamedTuple):
    """One record: ``[offset, offset + length)`` is zero, or its data stands at ``position`` in the file."""

    offset: int
    length: int
    zero: bool
    position: int


def shown(name: str | None, otherwise: str) -> str:
    """A snapshot's name for people, whatever bytes a file has for one; ``otherwise`` where there is none."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name or otherwise)


def is_stream(start: bytes) -> bool:
    """Whether a file that begins with these bytes is one of these streams, of this or any later version."""
    return start.startswith((b"rbd diff v", b"rbd image v"))


def begins_like_stream(path: str | os.PathLike[str]) -> bool:
    """Whether there is a regular file of this name that begins like one of these streams."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb", buffering=0) as file:
            return is_stream(file.read(len(DIFF_V1)))
    except OSError:
        return False
