"""Reads lists and plans from files and stdin."""

from __future__ import annotations

import sys

from blockdiff.errors import InvalidInput

LARGEST = 1 << 30  # bytes; a plan of a million pairs is smaller


def read_input(name: str) -> bytes:
    """All of a file, or of stdin (-). InvalidInput if it cannot be read."""
    shown = "stdin" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(name.removeprefix("file:"), "rb") as file:
                data = file.read(LARGEST + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {shown}: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise InvalidInput(f"{shown} has more than {LARGEST:,} bytes: that is no list of snapshots")
    return data
