"""A ledger as a picture: a row of cells, each as bad as the worst range in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.engine.ledger.schema import CHANGED, DIFFERENT, EQUAL, KNOWN

if TYPE_CHECKING:
    from blockdiff.engine.ledger.store import Ledger

AGES = ((86400, "0"), (7 * 86400, "1"), (30 * 86400, "2"), (90 * 86400, "3"), (1 << 62, "4"))
LEGEND = {
    "0": "verified within a day",
    "1": "within a week",
    "2": "within 30 days",
    "3": "within 90 days",
    "4": "before that",
    "-": "known without reading",
    "*": "changed since it was verified, or not to be read",
    ".": "never verified",
    "!": "different",
}
_WORSE = {char: rank for rank, char in enumerate(LEGEND)}
_WORSE["-"] = -1


def picture(ledger: Ledger, cells: int, now: int) -> str:
    """One character a cell, see LEGEND, over the whole volume. A cell has a whole number of units."""
    if not ledger.size:
        return ""
    units = -(-ledger.size // ledger.unit)
    step = -(-units // cells) * ledger.unit
    made = [""] * -(-ledger.size // step)
    at = 0
    for row in ledger.rows():
        _paint(made, at, row.start, step, ".")
        _paint(made, row.start, row.end, step, _char(row.state, now - row.verified))
        at = row.end
    _paint(made, at, ledger.size, step, ".")
    return "".join(made)


def _char(state: int, age: int) -> str:
    if state == EQUAL:
        return next(char for limit, char in AGES if age <= limit)
    return {DIFFERENT: "!", CHANGED: "*", KNOWN: "-"}[state]


def _paint(made: list[str], start: int, end: int, step: int, char: str) -> None:
    """Makes the cells of a range no better than this."""
    for cell in range(start // step, -(-end // step)) if end > start else ():
        if not made[cell] or _WORSE[made[cell]] < _WORSE[char]:
            made[cell] = char


def by_age(ledger: Ledger, now: int) -> dict[str, int]:
    """Bytes that are verified, by the class of their age, as in LEGEND."""
    found = {char: 0 for _, char in AGES}
    for row in ledger.rows("state = ?", (EQUAL,)):
        found[_char(EQUAL, now - row.verified)] += row.end - row.start
    return found
