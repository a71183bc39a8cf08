"""What a run found, in a few words that never promise more than the report does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.report.consistency import KNOWN_EQUAL, NOT_LISTED, is_repaired, left_out
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.report.facts import Facts
    from blockdiff.report.reading import Run


_PARTIAL = {"sample", "ledger"}


class Verdict(NamedTuple):
    """``tone``: good, changed, bad or doubt. ``word`` is for a table, ``title`` and ``text`` for the top of a page."""

    tone: str
    word: str
    title: str
    text: str


def judge(run: Run) -> Verdict:
    """The verdict of a run: trouble first, then what differs, then what was left out."""
    facts = run.facts
    if facts.unreadable or facts.unreadable_bytes:
        text = f"{format_size(facts.unreadable_bytes)} could not be read{_and_differs(facts)}"
        return Verdict("bad", "unreadable", "Unreadable", text)
    if not facts.complete and not facts.error and _PARTIAL & run.sections.keys():
        return _part(run)
    if not facts.complete:
        why = facts.error or "it stopped at the first difference"
        return Verdict("doubt", "not finished", "Not finished", f"{why}{_and_differs(facts)}")
    return {"audit": _audit, "copy": _copy}.get(facts.command, _verify)(run)


def _verify(run: Run) -> Verdict:
    facts = run.facts
    if facts.identical and (is_repaired(run.sections) or not facts.difference_count):
        return _identical(run)
    if facts.difference_count or facts.differing_bytes:
        return Verdict("changed", "different", "Different", _differs(facts))
    if "recheck" in run.sections:
        text = "What differed was equal when it was read again. This does not prove the two identical"
        return Verdict("doubt", "no confirmed difference", "No confirmed difference", text)
    text = "No difference was found, but the report does not say that the two are identical"
    return Verdict("doubt", "not proved", "Not proved identical", text)


def _identical(run: Run) -> Verdict:
    """Of what the report calls identical: never more than was compared."""
    facts, others = run.facts, left_out(run.facts)
    before = f"{_differed(facts)}, were written, and were read back equal" if facts.difference_count else ""
    scope = text = ""
    if any(item.bytes and item.reason not in (*KNOWN_EQUAL, NOT_LISTED) for item in facts.skipped):
        text = f"{format_size(others)} were not compared: this is no proof that the two are identical"
        return Verdict("doubt", "not proved", "Not proved identical", f"{before}; {text}" if before else text)
    if others:
        scope, text = "listed ranges", f"{format_size(others)} were not compared, because they were not listed"
    elif facts.length < run.size:
        scope = "range"
        text = f"{format_size(facts.length)} of {format_size(run.size)} were compared, from byte {facts.offset:,} on"
    word = {"": "identical", "range": "identical in the range", "listed ranges": "identical where listed"}[scope]
    if before:
        title = f"Repaired, and proved identical{f' in the {scope}' if scope else ''}"
        return Verdict("good", f"repaired, {word}", title, f"{before}; {text}" if text else before)
    title = f"Identical{f' in the {scope}' if scope else ''}"
    return Verdict("good", word, title, text or f"All {facts.length:,} bytes are the same on both sides")


def _part(run: Run) -> Verdict:
    """Of a run that was to compare a part only: a sample, or what a budget allowed."""
    what = "sample" if "sample" in run.sections else "part that was read"
    if run.facts.difference_count:
        return Verdict("changed", "different", "Different", f"{_differs(run.facts)}, and not all was compared")
    text = f"What was not in the {what} was not compared: this is no proof that the two are identical"
    return Verdict("doubt", f"nothing in the {what}", f"No difference found in the {what}", text)


def _audit(run: Run) -> Verdict:
    facts = run.facts
    if facts.correct is True and not facts.under_reported_bytes:
        over = facts.over_reported_bytes
        text = "Every changed block is listed" + (f"; {format_size(over)} are listed for nothing" if over else "")
        return Verdict("good", "list is correct", "The list is correct", text)
    if facts.correct is False:
        text = f"{format_size(facts.under_reported_bytes)} changed and are not listed: a backup by this list loses them"
        return Verdict("changed", "list misses blocks", "The list misses changed blocks", text)
    return Verdict("doubt", "not judged", "Not judged", "The report does not say whether the list is correct")


def _copy(run: Run) -> Verdict:
    facts = run.facts
    done = f"{format_size(facts.copied_bytes)} were written, {format_size(facts.zeroed_bytes)} made zeroes"
    if facts.identical and facts.verified:
        return Verdict("good", "copied, identical", "Copied, and proved identical", done)
    if facts.verified:
        return Verdict("good", "copied, verified", "Copied, and read back", done)
    return Verdict("doubt", "copied, not verified", "Copied, not verified", f"{done}; nothing was read back")


def _differs(facts: Facts) -> str:
    return f"{facts.differing_bytes:,} bytes differ, in {_ranges(facts)}"


def _differed(facts: Facts) -> str:
    return f"{facts.differing_bytes:,} bytes in {_ranges(facts)} differed"


def _ranges(facts: Facts) -> str:
    return "1 range" if facts.difference_count == 1 else f"{facts.difference_count:,} ranges"


def _and_differs(facts: Facts) -> str:
    return f"; {_differs(facts)}" if facts.difference_count else ""
