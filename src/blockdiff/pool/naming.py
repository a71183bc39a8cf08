"""Names that storage gives to volumes, both ways: what is made can be read, and what is read has one meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_Name = TypeVar("_Name")


class NamingError(InvalidInput):
    """A text that is nobody's name, or that of two; or a volume that has no name on this storage."""


class Naming(Protocol[_Name]):
    """The names on one kind of storage. ``pool`` is where the volume is, if that is known."""

    def make(self, name: _Name) -> str:
        """The text of a name. Raises NamingError if it has none, or one that could be read otherwise."""

    def parse(self, text: str, *, pool: str | None = None) -> _Name:
        """The name of a text. Raises NamingError if there is none, or more than one."""


def only(text: str, readings: Iterable[_Name], wanted: str) -> _Name:
    """The one reading of a text. Raises NamingError that says which there are, or what is wanted."""
    found = list(dict.fromkeys(readings))
    if not found:
        raise NamingError(f"{quoted(text)} is no name of a volume: {wanted}")
    if len(found) > 1:
        listed = " or ".join(str(one) for one in found)
        raise NamingError(f"{quoted(text)} may be the name of {listed}")
    return found[0]


def proved(text: str, read: _Name, meant: _Name) -> str:
    """The text, if it is read as what was meant. Raises NamingError."""
    if read != meant:
        raise NamingError(f"{meant} has no name of its own here: {quoted(text)} is that of {read}")
    return text
