"""How runs are summed up and told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.engine.checkpoint.form import Part

MAX_PARTS = 1000  # runs that are told; of more, the oldest are told as one

Sums = tuple[dict[str, int], dict[str, int]]
"""Bytes of source and target, by path."""


def sums(one: dict[str, int], two: dict[str, int]) -> dict[str, int]:
    """The sums by key."""
    return {key: one.get(key, 0) + two.get(key, 0) for key in dict.fromkeys((*one, *two))}


def more(one: Any, two: Any) -> Any:
    """Two facts of one name: numbers are added, lists joined."""
    if one is None or two is None:
        return two if one is None else one
    if isinstance(one, list):
        return one + [item for item in two if item not in one]
    return one + two if isinstance(one, int | float) else two


def joined(parts: list[Part]) -> list[Part]:
    """At most so many as are told."""
    while len(parts) > MAX_PARTS:
        from msgspec.structs import replace

        one, two = parts[:2]
        parts[:2] = [
            replace(
                two,
                start=one.start,
                began=one.began,
                seconds=one.seconds + two.seconds,
                bytes_read=one.bytes_read + two.bytes_read,
            )
        ]
    return parts


def parts_told(parts: list[Part]) -> dict[str, Any]:
    """What each run settled, as JSON."""
    told = [
        {
            "run": part.run,
            "stage": part.stage,
            "offset": part.start,
            "length": part.end - part.start,
            "began": part.began,
            "ended": part.saved,
            "seconds": part.seconds,
            "bytes_read": part.bytes_read,
        }
        for part in parts
    ]
    return {"runs": parts[-1].run, "parts": told}


def now() -> str:
    """The time, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
