"""Faults of a text, with the place: the column, and the text with a caret below."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.schedule.chronish import ScheduleError

_Error = TypeVar("_Error", bound="TextError | ScheduleError")


class TextError(InvalidInput):
    """``line`` and ``column`` count from 1; ``excerpt`` is the line with a caret below."""

    line = 1
    column = 0
    excerpt = ""

    def __str__(self) -> str:
        return f"{self.reason}\n  column {self.column}:\n{self.excerpt}" if self.column else self.reason


def fault(kind: type[_Error], reason: str, whole: str, start: int, length: int = 1, *, line: int = 1) -> _Error:
    """An error about ``whole[start : start + length]``, the text of a ``line``."""
    caret = " " * start + "^" * max(1, length)
    return kind(reason, line=line, column=start + 1, excerpt=f"    {printable(whole)}\n    {caret}")


def printable(text: str) -> str:
    """The text, as wide, without what a terminal might obey."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
