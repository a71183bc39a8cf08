"""``blockdiff extents stat``: what is in lists, in numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blockdiff._fast import ExtentStatistics
from blockdiff.cli.extents.running import opened_lists
from blockdiff.engine.algebra import CHANGES, MAPS
from blockdiff.extent import Kind
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.engine.extentlist import ExtentList

_BAR = 40  # characters of the longest bar


def stat_lists(files: Sequence[str], output: str, *, capacity: int | None, block_size: int | None) -> int:
    """Reads each list and prints what it holds; the exit code."""
    with opened_lists(files, capacity=capacity, block_size=block_size) as lists:
        found = [_measure(listed, capacity) for listed in lists]
    if output == "json":
        import json

        print(json.dumps({"schema_version": 1, "command": "extents stat", "lists": found}, indent=2))
    else:
        print("\n\n".join("\n".join(_lines(item)) for item in found))
    sys.stdout.flush()
    return 0


def _measure(listed: ExtentList, given: int | None) -> dict[str, Any]:
    counted = ExtentStatistics()
    for batch in listed:
        counted.add(batch)
    complete = listed.format in MAPS and listed.gap is None
    capacity = given or listed.capacity or (listed.end if complete else None) or None
    members = {kind: facts for kind, facts in counted.kinds.items() if kind != Kind.HOLE}
    covered = sum(size for _, size in members.values())
    return {
        "file": listed.name,
        "format": listed.format,
        "context": listed.context,
        "capacity": capacity,
        "extents": sum(count for count, _ in members.values()),
        "bytes": covered,
        "share": covered / capacity if capacity else None,
        "kinds": [
            {"kind": _word(kind, listed.context), "extents": count, "bytes": size}
            for kind, (count, size) in sorted(counted.kinds.items())
        ],
        "end": listed.end,
        "gap": listed.gap if listed.format in MAPS else None,
        "block_size": listed.block_size or None,
        "smallest": counted.smallest,
        "largest": counted.largest,
        "granularity": counted.granularity(capacity),
        "lengths": [
            {"from": 1 << power, "to": (2 << power) - 1, "extents": count}
            for power, count in enumerate(counted.lengths)
            if count
        ],
    }


def _word(kind: int, context: str | None) -> str:
    return "unchanged" if kind == Kind.HOLE and context == CHANGES else Kind(kind).label


def _extents(count: int) -> str:
    return f"{count:,} extent" if count == 1 else f"{count:,} extents"


def _lines(found: dict[str, Any]) -> list[str]:
    what = {None: "", "changes": " of changes", "allocation": " of what is allocated"}[found["context"]]
    lines = [f"{found['file']}: {found['format']}, a list{what}"]
    share = f" ({found['share']:.2%} of {format_size(found['capacity'])})" if found["share"] is not None else ""
    lines.append(f"  {_extents(found['extents'])}, {found['bytes']:,} bytes, {format_size(found['bytes'])}{share}")
    lines += [
        f"  {item['kind']:<13} {item['extents']:>14,} extents {item['bytes']:>22,} bytes" for item in found["kinds"]
    ]
    if found["gap"] is not None:
        lines.append(f"  says nothing of the bytes from {found['gap']} on, though a map says all")
    if found["extents"]:
        lines.append(
            f"  lengths    {found['smallest']:,} to {found['largest']:,} bytes, "
            f"all ends at multiples of {found['granularity']:,}"
        )
        top = max(item["extents"] for item in found["lengths"])
        for item in found["lengths"]:
            bar = "#" * max(1, round(_BAR * item["extents"] / top))
            lines.append(f"    from {format_size(item['from']):>9} {item['extents']:>14,}  {bar}")
    return lines
