"""A report that contradicts itself is refused: a page must not say identical where anything says otherwise."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.report.facts import Facts, MapFacts
    from blockdiff.report.reading import Listed


KNOWN_EQUAL = ("hole", "shared", "osd-checksum")  # reasons to skip what is proved to be equal
NOT_LISTED = "not-listed"


def check(name: str, facts: Facts, listed: Listed, sections: Mapping[str, Any]) -> None:
    """Raises InvalidInput where the facts, the list of ranges and the map do not fit together."""
    size = max(facts.source.size, facts.target.size)
    _check_list(name, facts, listed, size)
    if facts.offset + facts.length > size:
        _refuse(name, f"the range that was judged ends past the devices, which have {size} bytes at most")
    bad = [(item.offset, item.length) for item in facts.unreadable]
    if any(a + n > b for (a, n), (b, _) in pairwise(bad)):
        _refuse(name, '"unreadable" is not ascending')
    if bad and sum(bad[-1]) > size:
        _refuse(name, f'"unreadable" ends past the devices, which have {size} bytes at most')
    if sum(length for _, length in bad) > facts.unreadable_bytes:
        _refuse(name, f'"unreadable" lists more than {facts.unreadable_bytes} bytes')
    if facts.blockmap is not None:
        _check_map(name, facts.blockmap, size)
    if facts.command == "audit" and facts.correct is True:
        _check_correct(name, facts, listed)
    if facts.identical:
        _check_identical(name, facts, listed, repaired=is_repaired(sections))
        _check_proved(name, facts)
        _check_sections(name, facts, sections)


def _check_list(name: str, facts: Facts, listed: Listed, size: int) -> None:
    if listed.end > size:
        _refuse(name, f"a range ends at {listed.end}, past the devices, which have {size} bytes at most")
    if facts.command == "copy" and listed.count:
        _refuse(name, "a report of copy lists no ranges")
    if facts.command == "verify" and listed.count > facts.difference_count:
        _refuse(name, f"{listed.count} ranges are listed, but difference_count is {facts.difference_count}")
    if facts.command == "verify" and listed.bytes > facts.differing_bytes:
        _refuse(name, f"the ranges have {listed.bytes} bytes, but differing_bytes is {facts.differing_bytes}")


def is_repaired(sections: Mapping[str, Any]) -> bool:
    """Whether all that differed was written, and read back equal."""
    repair = sections.get("repair")
    if not isinstance(repair, dict) or repair.get("planned") is not False:
        return False
    return repair.get("remaining_ranges") == 0 and repair.get("remaining_bytes") == 0


def _check_identical(name: str, facts: Facts, listed: Listed, *, repaired: bool) -> None:
    """What would make "identical" a lie. A copy that was verified found differences before, and so did a repair."""
    before = facts.command == "copy" or repaired
    against = {
        "complete is false": not facts.complete,
        "there is an error": bool(facts.error),
        "something was unreadable": bool(facts.unreadable or facts.unreadable_bytes),
        "ranges differ": not before and bool(facts.difference_count or facts.differing_bytes),
        "ranges are listed": not before and facts.command == "verify" and listed.count > 0,
        "classes differ": not before and any(facts.bytes_by_class.values()),
    }
    if facts.blockmap is not None:
        runs = facts.blockmap.runs
        against["its map has changed bytes"] = not before and any(run.changed for run in runs)
        against["its map has bad bytes"] = any(run.bad for run in runs)
    _refuse_any(name, against)


def _check_proved(name: str, facts: Facts) -> None:
    """An identity is one of bytes that were compared, or were skipped for a reason."""
    skipped = sum(item.bytes for item in facts.skipped)
    against = {
        f"{skipped} bytes were skipped of {facts.length}": skipped > facts.length,
        "something was left out of a copy": facts.command == "copy" and left_out(facts) > 0,
    }
    if facts.command == "verify":
        sizes = {facts.source.size, facts.target.size}
        against["the sizes differ"] = len(sizes) > 1 and facts.size_policy != "min"
        against["not everything was compared"] = facts.bytes_compared + skipped < facts.length
        if facts.blockmap is not None:
            unknown = sum(run.cells * run.unverified for run in facts.blockmap.runs)
            against["its map has unverified bytes"] = unknown > max(sizes) - facts.length + left_out(facts)
    _refuse_any(name, against)


def _check_sections(name: str, facts: Facts, sections: Mapping[str, Any]) -> None:
    """What other options of verify found, and does not go with an identity."""
    repair, recheck = sections.get("repair"), sections.get("recheck")
    verdict = recheck.get("verdict") if isinstance(recheck, dict) else None
    left = [repair.get("remaining_ranges"), repair.get("remaining_bytes")] if isinstance(repair, dict) else []
    against = {
        "it is of a sample": sections.get("sample", ...) is not ...,
        "a repair left ranges that differ": any(left),
        "a recheck found differences": not is_repaired(sections) and verdict in ("confirmed", "transient", "unstable"),
    }
    if facts.command == "verify":
        _refuse_any(name, against)


def _check_correct(name: str, facts: Facts, listed: Listed) -> None:
    """A list that an audit calls correct misses nothing."""
    missed = sum(length for kind, length in listed.sums.items() if kind != Kind.OVER)
    if missed or facts.under_reported_bytes:
        _refuse(name, f"the list is called correct, but misses {missed or facts.under_reported_bytes} bytes")


def left_out(facts: Facts) -> int:
    """Bytes of the range of which nothing is known: a list left them out, or it is for a reason unknown here."""
    return sum(item.bytes for item in facts.skipped if item.reason not in KNOWN_EQUAL)


def _refuse_any(name: str, against: Mapping[str, bool]) -> None:
    for what, holds in against.items():
        if holds:
            _refuse(name, f"the report says identical, but {what}")


def _check_map(name: str, value: MapFacts, size: int) -> None:
    """The states of each cell add up to its bytes, and the cells to the larger device."""
    if value.size != size:
        _refuse(name, f"the map is of {value.size} bytes, the larger device has {size}")
    if value.cells != -(-size // value.cell_bytes) or value.cells != sum(run.cells for run in value.runs):
        _refuse(name, f"the map's cells of {value.cell_bytes} bytes do not add up to {size} bytes")
    at = 0
    for run in value.runs:
        at += run.cells
        last = min(value.cell_bytes, size - (at - 1) * value.cell_bytes)
        if sum(run.counts()) != last or (run.cells > 1 and last != value.cell_bytes):
            _refuse(name, f"the states of the map's cell {at - 1} do not add up to its bytes")


def _refuse(name: str, what: str) -> None:
    raise InvalidInput(f"{name}: the report contradicts itself: {what}")
