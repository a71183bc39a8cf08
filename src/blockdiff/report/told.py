"""The block map of a report, also of an older one that has none but says enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.report.facts import MapFacts, MapRun

if TYPE_CHECKING:
    from blockdiff.report.reading import Run


def block_map(run: Run) -> MapFacts | None:
    """The report's map, or a map of one cell that holds what a finished verify says of the whole; else None.

    What a report does not tell is never called equal: then there is no map.
    """
    facts = run.facts
    if facts.blockmap is not None or facts.command != "verify" or not facts.complete or not run.size:
        return facts.blockmap
    skipped = {item.reason: item.bytes for item in facts.skipped}
    tail = facts.bytes_by_class.get("size", 0)
    changed, bad, hole = facts.differing_bytes, facts.unreadable_bytes, skipped.get("hole", 0)
    unverified = run.size - facts.length - tail + skipped.get("not-listed", 0)
    equal = run.size - changed - bad - hole - unverified
    if min(equal, unverified) < 0 or not run.lists_all:
        return None
    one = MapRun(1, equal=equal, hole=hole, changed=changed, bad=bad, unverified=unverified)
    return MapFacts(run.size, run.size, 1, [one])
