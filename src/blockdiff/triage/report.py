"""What a triage has found, for the report and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.triage.evidence import BLOCK, SECTOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.triage.area import Found
    from blockdiff.triage.layout.image import Layout, Place
    from blockdiff.triage.naming.owner import Owner
    from blockdiff.triage.run import Result


class Named(NamedTuple):
    """A finding, where it is, and to whom its bytes belong (None: not asked, or not known)."""

    found: Found
    place: Place
    owner: Owner | None = None

    def to_dict(self, histories: Sequence[str]) -> dict[str, Any]:
        """Its JSON form."""
        found, evidence = self.found, self.found.evidence
        value: dict[str, Any] = {"offset": found.offset, "length": found.length, "finding": evidence.finding}
        if evidence.history:
            value["history"] = [histories[i] for i in evidence.history]
        if evidence.finding == "stale":
            value["whole_block"] = evidence.whole
        elif evidence.finding == "shifted":
            value |= {"shift": evidence.shift, "source_offset": found.offset + evidence.shift}
        elif evidence.finding == "torn":
            low, high = evidence.arrived
            value |= {"arrived_offset": found.block + low, "arrived_length": high - low, "rest": evidence.rest}
        elif evidence.finding == "bit-flip":
            value |= {"byte_offset": found.block + evidence.byte, "bit": evidence.bit}
            value |= {"source_byte": evidence.old, "target_byte": evidence.new}
        elif evidence.finding == "unreadable":
            value["reason"] = found.reason
        if evidence.finding in ("unknown", "src-zero") and evidence.shifts:
            value["ambiguous_shifts"] = list(evidence.shifts)
        return value | self._where()

    def _where(self) -> dict[str, Any]:
        partition, system = self.place
        value: dict[str, Any] = {}
        if partition is not None:
            value["partition"] = partition.number
        if system is not None:
            value["file_system"] = system.kind
        if self.owner is not None:
            value |= self.owner.to_dict()
        return value

    def words(self, histories: Sequence[str]) -> str:
        """The finding in a line."""
        where = self._where_in_words()
        return _WORDS[self.found.evidence.finding](self.found, histories) + (f" ({where})" if where else "")

    def _where_in_words(self) -> str:
        partition, system = self.place
        parts = [f"partition {partition.number}{_quoted(partition.name)}"] if partition is not None else []
        parts += [f"{system.kind}{_quoted(system.label)}"] if system is not None else []
        place = ", ".join(parts)
        return place if self.owner is None else f"{place}: {self.owner.words()}" if place else self.owner.words()


def _quoted(name: str) -> str:
    return f" {printable(name)!r}" if name else ""


def printable(text: str) -> str:
    """Names that come out of an image, with control characters escaped: they may be anything."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _of(found: Found, histories: Sequence[str]) -> str:
    return " and ".join(histories[i] for i in found.evidence.history)


def _stale(found: Found, histories: Sequence[str]) -> str:
    part = "" if found.evidence.whole else ", in all sectors that differ"
    return f"stale: as in {_of(found, histories)}{part}"


def _torn(found: Found, histories: Sequence[str]) -> str:
    low, high = found.evidence.arrived
    rest = f"as in {_of(found, histories)}" if found.evidence.rest == "history" else "zeroes"
    return f"torn: {high - low} bytes at {found.block + low} are the source's, the rest of the block is {rest}"


def _flip(found: Found, _: Sequence[str]) -> str:
    e = found.evidence
    return f"bit-flip: bit {e.bit} of byte {found.block + e.byte}, source {e.old:#04x}, target {e.new:#04x}"


def _shifted(found: Found, _: Sequence[str]) -> str:
    shift = found.evidence.shift
    sectors = f", {shift // SECTOR:+} sectors" if not shift % SECTOR else ""
    return f"shifted: the source has these bytes at {found.offset + shift} ({shift:+}{sectors})"


def _zero(found: Found, histories: Sequence[str]) -> str:
    also = f", as in {_of(found, histories)}" if found.evidence.history else ""
    return f"dst-zero: zeroes in the target only{also}"


def _unknown(found: Found, _: Sequence[str]) -> str:
    count = len(found.evidence.shifts)
    return f"unknown: the source has these bytes in {count} places or more nearby" if count else "unknown"


_WORDS = {
    "stale": _stale,
    "torn": _torn,
    "bit-flip": _flip,
    "shifted": _shifted,
    "dst-zero": _zero,
    "src-zero": lambda *_: "src-zero: zeroes in the source only",
    "size": lambda *_: "size: only the longer one has this",
    "src-hole": lambda *_: "src-hole: a hole in the source, allocated zeroes in the target",
    "dst-hole": lambda *_: "dst-hole: a hole in the target, allocated zeroes in the source",
    "equal-now": lambda *_: "equal-now: equal when it was read for triage",
    "unreadable": lambda found, _: f"unreadable: {found.reason}",
    "unknown": _unknown,
}


def summed(found: Sequence[Named]) -> dict[str, dict[str, int]]:
    """How many findings of each class, and their bytes; the commonest first."""
    sums: dict[str, dict[str, int]] = {}
    for one in found:
        entry = sums.setdefault(one.found.evidence.finding, {"findings": 0, "bytes": 0})
        entry["findings"] += 1
        entry["bytes"] += one.found.length
    return dict(sorted(sums.items(), key=lambda item: -item[1]["bytes"]))


def triage_dict(
    result: Result,
    found: Sequence[Named],
    histories: Sequence[str],
    layout: Layout,
    *,
    limit: int,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The report's key ``triage``."""
    return {
        "summary": summed(found),
        "histories": list(histories),
        "limit": limit,
        "block": BLOCK,
        "reach": result.reach,
        "ranges": result.ranges,
        "examined_bytes": result.examined_bytes,
        "not_triaged_ranges": result.left_ranges,
        "not_triaged_bytes": result.left_bytes,
        "unsearched_blocks": result.unsearched_blocks,
        "layout": layout.to_dict(),
        "notes": list(notes),
        "findings": [one.to_dict(histories) for one in found],
    }
