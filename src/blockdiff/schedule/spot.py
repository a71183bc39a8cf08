"""Pieces of a text that know where they stand, so that a fault can be shown with its line, column and a caret."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 100  # characters of a long line, the fault among them
_REPLACED = "\N{REPLACEMENT CHARACTER}"  # for what a terminal would obey, or not show


class ScheduleError(InvalidInput):
    """A text that is no schedule. ``line`` and ``column`` count from 1; ``excerpt`` is the line with a caret below.

    ``reason`` is in the words of the language's original; ``accepted`` says what would do.
    """

    line = column = 0
    excerpt = accepted = ""

    def __str__(self) -> str:
        what = f"{self.reason}: {self.accepted}" if self.accepted else self.reason
        return f"{what}\n  line {self.line}, column {self.column}:\n{self.excerpt}" if self.line else what


class Spot(NamedTuple):
    """``source[begin:end]``."""

    source: str
    begin: int
    end: int

    @classmethod
    def of(cls, source: str) -> Spot:
        """All of a text."""
        return cls(source, 0, len(source))

    @property
    def text(self) -> str:
        """The piece itself."""
        return self.source[self.begin : self.end]

    def after(self, count: int) -> Spot:
        """Without its first characters."""
        return Spot(self.source, min(self.begin + count, self.end), self.end)

    def first(self, count: int) -> Spot:
        """Its first characters."""
        return Spot(self.source, self.begin, min(self.begin + count, self.end))

    def stripped(self) -> Spot:
        """Without white space at its ends."""
        text = self.text
        begin = self.begin + len(text) - len(text.lstrip())
        return self._replace(begin=begin, end=begin + len(text.strip()))

    def split(self, separator: str) -> Iterator[Spot]:
        """What stands between separators of one character; one piece at least."""
        begin = self.begin
        while (at := self.source.find(separator, begin, self.end)) >= 0:
            yield Spot(self.source, begin, at)
            begin = at + 1
        yield Spot(self.source, begin, self.end)

    def partition(self, separator: str) -> tuple[Spot, bool, Spot]:
        """What stands before the first separator of one character, whether there is one, and what stands behind."""
        at = self.source.find(separator, self.begin, self.end)
        if at < 0:
            return self, False, Spot(self.source, self.end, self.end)
        return Spot(self.source, self.begin, at), True, Spot(self.source, at + 1, self.end)

    def wrong(self, reason: str, accepted: str = "") -> ScheduleError:
        """The error of a fault that is here."""
        start = self.source.rfind("\n", 0, self.begin) + 1
        stop = self.source.find("\n", self.begin)
        line = self.source[start : stop if stop >= 0 else len(self.source)]
        return ScheduleError(
            reason,
            accepted=accepted,
            line=self.source.count("\n", 0, self.begin) + 1,
            column=self.begin - start + 1,
            excerpt=excerpt(line, self.begin - start, self.end - self.begin),
        )


def excerpt(line: str, begin: int, length: int) -> str:
    """A line, or the part of it around ``line[begin : begin + length]``, with a caret below each of these."""
    left = max(0, min(begin - _SHOWN // 2, len(line) - _SHOWN))
    part = line[left : left + _SHOWN].replace("\t", " ")
    shown = "".join(char if char.isprintable() else _REPLACED for char in part)
    carets = "^" * max(1, min(begin - left + length, len(part)) - (begin - left))
    return f"    {shown}\n    {' ' * (begin - left)}{carets}"
