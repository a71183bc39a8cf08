"""How much of a volume a run may look at: a time, or bytes."""

from __future__ import annotations

import re

from blockdiff.errors import InvalidInput
from blockdiff.units import parse_size

_TIME = re.compile(r"\s*([0-9]{1,9})(?:\.([0-9]{1,9}))?\s*([smhd])\s*", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = re.compile(r"\s*[0-9.]+\s*[KMGTPE](i?B)?\s*", re.ASCII)


class Budget:
    """``seconds`` or ``bytes`` is what may be spent; the other one is None. ``text`` is what was written."""

    def __init__(self, text: str, *, seconds: float | None = None, size: int | None = None) -> None:
        self.text, self.seconds, self.bytes = text, seconds, size

    def __repr__(self) -> str:
        return f"Budget({self.text!r})"


def parse_budget(text: str) -> Budget:
    """A budget from ``2h``, ``30m``, ``90s``, ``1d``, or ``500G``; ``m`` is minutes and ``M`` is MiB. InvalidInput."""
    match = _TIME.fullmatch(text)
    if match is not None:
        whole, fraction, unit = match.groups()
        seconds = float(f"{whole}.{fraction or 0}") * _SECONDS[unit]
        if seconds:
            return Budget(text.strip(), seconds=seconds)
    elif _BYTES.fullmatch(text) and (size := parse_size(text, "budget")):
        return Budget(text.strip(), size=size)
    raise InvalidInput(
        f"budget {text[:40]!r} is neither a time (90s, 30m, 2h, 1d) nor a size (500G, with a large letter) above 0"
    )


def format_age(seconds: float) -> str:
    """A time for people: ``40 s``, ``5 min``, ``3.0 h``, ``12.5 d``; cut to what is worth saying."""
    if seconds < 120:
        return f"{max(0, int(seconds))} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} d"
