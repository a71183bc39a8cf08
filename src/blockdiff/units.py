"""Sizes as people write them."""

from __future__ import annotations

import re

from blockdiff.errors import InvalidInput

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_MAX_DIGITS = 40  # more than any size has; Python refuses to read thousands of them
_SIZE = re.compile(r"\s*([0-9]+)(?:\.([0-9]+))?\s*(?:([KMGTPE])(i?B)?|B)?\s*", re.IGNORECASE)


def parse_size(text: str | int, what: str = "size") -> int:
    """Bytes from ``4096``, ``4K``, ``200M``, ``1.5GiB``; K, M, G, ... are powers of 1024, as in qemu-img and cmp.

    ``KB``, ``MB``, ... are powers of 1000. Raises InvalidInput naming ``what``.
    """
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"{what} {text!r} is not a size: write bytes or a number with K, M, G, T, such as 4K or 1.5G"
        )
    whole, fraction, unit, suffix = (part or "" for part in match.groups())
    if len(whole) + len(fraction) > _MAX_DIGITS:
        raise InvalidInput(f"{what} {text[:_MAX_DIGITS]!r}... has too many digits for a size")
    base = 1000 if suffix.upper() == "B" else 1024
    scale: int = base ** _POWERS[unit.upper()]
    one: int = 10 ** len(fraction)
    value, rest = divmod(int(whole + fraction) * scale, one)  # in integers: a float loses the last bytes of large sizes
    if rest:
        raise InvalidInput(f"{what} {text!r} is not a whole number of bytes")
    if value >= 1 << 63:
        raise InvalidInput(f"{what} {text!r} is too large: sizes are below 2^63 bytes")
    return value


def format_size(count: float) -> str:
    """Bytes for people: ``0 B``, ``512 B``, ``4.0 KiB``, ``1.5 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(value) < 1024 or unit == "PiB":
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
