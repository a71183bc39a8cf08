"""The enumerations of snapper's schedules and tags, with their text forms."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Self

from blockdiff.errors import InvalidInput

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_TOP = 1 << 63
_LONG = 300  # characters of a text that an error shows


class WordError(InvalidInput):
    """A text that names no value. ``reason`` is in the original's words; ``accepted`` says which do."""

    accepted = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.accepted}"


class Word(IntEnum):
    """An enumeration with a text for each value. Texts are read in any case."""

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    @property
    def text(self) -> str:
        """The canonical text."""
        return self.name.lower()

    @classmethod
    @lru_cache(256)
    def parse(cls, text: str) -> Self:
        """The value of a text. Raises WordError."""
        for value in cls:
            if text == value.text or text.lower() == value.text.lower():
                return value
        known = ", ".join(cls.strings())
        raise WordError(f"{plain(text)} does not belong to {cls.__name__} values", accepted=f"accepted are {known}")

    @classmethod
    def text_of(cls, value: int) -> str:
        """The text of a number, also of one that has no meaning: ``Period(-1)``."""
        return cls(value).text if value in cls.values() else f"{cls.__name__}({value})"

    @classmethod
    def strings(cls) -> list[str]:
        """All texts in the order of their values."""
        return [value.text for value in cls]

    @classmethod
    def values(cls) -> list[int]:
        """All numbers in order."""
        return [int(value) for value in cls]


class Destination(Word):
    """Where a snapshot goes: the volume's own pool, another cluster, or an archive of objects."""

    LOCAL = 0
    REMOTE = 1
    ARCHIVE = 2


class Option(Word):
    """What is done beside taking a snapshot. Values are bits."""

    PAUSE_VM = 1

    @property
    def text(self) -> str:
        return "PauseVM"


class Period(Word):
    """How often."""

    MINUTELY = 1
    HOURLY = 2
    DAILY = 3
    WEEKLY = 4
    MONTHLY = 5
    YEARLY = 6


class Type(Word):
    """Whether a schedule or a person asked for a snapshot."""

    AUTO = 0
    MANUAL = 1


def integer(text: str) -> int:
    """A decimal number as Go's ``strconv.Atoi`` takes it: ASCII digits, perhaps a sign. Raises InvalidInput in its
    words.
    """
    if not _INTEGER.fullmatch(text):
        raise InvalidInput(f"strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    digits = text.lstrip("+-").lstrip("0") or "0"
    value = int(digits) if len(digits) < 20 else _TOP * 2
    value = -value if text.startswith("-") else value
    if not -_TOP <= value < _TOP:
        raise InvalidInput(f"strconv.Atoi: parsing {quoted(text)}: value out of range")
    return value


def boolean(text: str) -> bool:
    """A truth value as Go's ``strconv.ParseBool`` takes it. Raises InvalidInput in its words."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise InvalidInput(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")


def quoted(text: str) -> str:
    """A text in double quotes, on one line, and not without end."""
    if len(text) > _LONG:
        return f"{quoted(text[:_LONG])}... ({len(text)} characters)"
    if text.isprintable():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'


def plain(text: str) -> str:
    """A text as it is, if a terminal would show it so; else ``quoted``."""
    return text if text.isprintable() and len(text) <= _LONG else quoted(text)
