"""Flags exactly as Go's package ``flag`` reads them, for programs that stand in for programs written in Go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Value = str | int | bool
TRUE, FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
SYNTAX, RANGE = "parse error", "value out of range"
_INTEGER = re.compile(
    r"([+-]?)(?:0[xX]((?:_?[0-9a-fA-F])+)|0[bB]((?:_?[01])+)|0[oO]?((?:_?[0-7])+)|([1-9](?:_?[0-9])*|0))"
)
_BASES = (16, 2, 8, 10)
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; ``short`` is a second name of it. An int has 64 bits."""

    name: str
    text: str
    short: str = ""
    kind: Literal["string", "int", "bool"] = "string"
    default: Value = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All its names."""
        return (self.name, self.short) if self.short else (self.name,)


class FlagError(Exception):
    """The words cannot be understood; the text is Go's."""


class HelpWanted(Exception):
    """``-help``, which is known even where no flag of that name is."""


def parse(flags: Iterable[Flag], words: Sequence[str]) -> dict[str, Value]:
    """The value of each flag by its long name. What follows the first word that is no flag, or ``--``, is left out.

    Raises FlagError and HelpWanted.
    """
    known = {name: flag for flag in flags for name in flag.names}
    values = {flag.name: flag.default for flag in known.values()}
    left = iter(words)
    for word in left:
        if len(word) < 2 or word[0] != "-" or word == "--":
            break
        flag, value = _one(word, known, left)
        values[flag.name] = value
    return values


def _one(word: str, known: Mapping[str, Flag], left: Iterator[str]) -> tuple[Flag, Value]:
    name = word[2:] if word.startswith("--") else word[1:]
    if not name or name[0] in "-=":
        raise FlagError(f"bad flag syntax: {word}")
    name, equals, text = name.partition("=")
    flag = known.get(name)
    if flag is None:
        if name in ("help", "h"):
            raise HelpWanted
        raise FlagError(f"flag provided but not defined: -{name}")
    if flag.kind == "bool":
        return flag, _boolean(text, name) if equals else True
    given = text if equals else next(left, None)
    if given is None:
        raise FlagError(f"flag needs an argument: -{name}")
    return flag, given if flag.kind == "string" else _integer(given, name)


def _boolean(text: str, name: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise FlagError(f"invalid boolean value {quoted(text)} for -{name}: {SYNTAX}")


def _integer(text: str, name: str) -> int:
    try:
        return integer(text)
    except ValueError as error:
        raise FlagError(f"invalid value {quoted(text)} for flag -{name}: {error}") from None


def integer(text: str) -> int:
    """A number of 64 bits in any of Go's spellings: ``10``, ``0x_ff``, ``0b11``, ``0o7``, ``07``, ``1_000``.

    Raises ValueError with Go's reason.
    """
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(SYNTAX)
    digits, base = next((part, base) for part, base in zip(match.groups()[1:], _BASES, strict=True) if part is not None)
    digits = digits.replace("_", "")
    if len(digits) > 80:  # with leading zeroes it could still be a small number, which nobody writes
        raise ValueError(RANGE)
    value = int(digits, base) * (-1 if match[1] == "-" else 1)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(RANGE)
    return value


def quoted(text: str) -> str:
    """Text in double quotes, as Go's %q writes it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    code = ord(char)
    if char in '"\\':
        return "\\" + char
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if char in _ESCAPES or char.isprintable():
        return _ESCAPES.get(char, char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def described(flags: Iterable[Flag]) -> str:
    """The flags with their meanings and defaults, by name, as a help text."""
    lines, named = [], {name: flag for flag in flags for name in flag.names}
    for name, flag in sorted(named.items(), key=lambda item: item[0]):
        kind = "" if flag.kind == "bool" else f" {flag.kind}"
        text = flag.text if name == flag.name else f"Short for -{flag.name}."
        shown = quoted(flag.default) if isinstance(flag.default, str) else flag.default
        default = f" (default {shown})" if flag.default else ""
        lines.append(f"  -{name}{kind}\n    \t{text}{default}\n")
    return "".join(lines)
