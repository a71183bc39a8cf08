"""Names that storage gives to volumes, both ways: what is made can be read, and what is read has one meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_Name = TypeVar("_Name")


class Placed(Protocol):
    """A name that says in which pool its volume is; empty if it does not."""

    @property
    def pool(self) -> str: ...


_Placed = TypeVar("_Placed", bound=Placed)


class NamingError(InvalidInput):
    """A text that is nobody's name, or that of two; or a volume that has no name on this storage."""


class Naming(Protocol[_Name]):
    """The names on one kind of storage. ``pool`` is where the volume is, if that is known."""

    def make(self, name: _Name) -> str:
        """The text of a name. Raises NamingError if it has none, or one that could be read otherwise."""

    def parse(self, text: str, *, pool: str | None = None) -> _Name:
        """The name of a text. Raises NamingError if there is none, or more than one."""


def only(text: str, readings: Iterable[_Placed], wanted: str, *, pool: str | None = None) -> _Placed:
    """The one reading of a text; with ``pool``, the one that is in it.

    Raises NamingError that says which there are, or what is wanted.
    """
    every = list(dict.fromkeys(readings))
    found = [one for one in every if pool in (None, one.pool)]
    if every and not found:
        said = " or ".join(quoted(one.pool) if one.pool else "no pool" for one in every)
        raise NamingError(f"{quoted(text)} is no name of a volume in the pool {quoted(pool or '')}: it names {said}")
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
