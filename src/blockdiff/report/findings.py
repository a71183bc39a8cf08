"""What a triage says of single ranges, for the rows of the table: the finding, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.report.facts import LARGEST
from blockdiff.report.tree import text

if TYPE_CHECKING:
    from blockdiff.report.reading import Run

MOST = 10_000  # in a page
_LONGEST = 160


def findings(run: Run, room: int) -> list[list[Any]]:
    """``[offset, length, words]`` of the first findings, ascending; what is not of this shape is left out."""
    triage = run.sections.get("triage")
    items = triage.get("findings") if isinstance(triage, dict) else None
    if not isinstance(items, list):
        return []
    found = [[item["offset"], item["length"], _words(item)] for item in items[:room] if _is_finding(item)]
    return sorted(found, key=lambda item: (item[0], item[1]))


def _is_finding(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("finding"), str):
        return False
    return all(type(item.get(key)) is int and 0 <= item[key] <= LARGEST for key in ("offset", "length"))


def _words(item: dict[str, Any]) -> str:
    names = [key for key in item if key not in ("offset", "length", "finding")]
    others = [f"{name.replace('_', ' ')} {text(name, item[name])}" for name in names]
    return ", ".join([item["finding"], *others])[:_LONGEST]
