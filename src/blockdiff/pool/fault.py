"""Faults of a text, with their place, as errors of a kind of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from blockdiff.schedule.spot import ScheduleError

if TYPE_CHECKING:
    from blockdiff.schedule.spot import Spot

_Error = TypeVar("_Error", bound=ScheduleError)


def fault(kind: type[_Error], spot: Spot, reason: str) -> _Error:
    """The error of a fault that is at a spot."""
    found = spot.wrong(printable(reason))
    return kind(found.reason, line=found.line, column=found.column, excerpt=found.excerpt)


def printable(text: str) -> str:
    """The text without what a terminal might obey."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
