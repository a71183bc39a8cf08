"""The languages in which schedules are written, by name. Their modules are imported when they are used."""

from __future__ import annotations

import datetime as dt
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.rule import Rule

# the module of each, which has the object LANGUAGE; in the order in which they are listed
_MODULES = {
    "snapper": "blockdiff.schedule.dialect",
    "lxd": "blockdiff.pool.lxd.schedule",
    "snapsentry": "blockdiff.cinder.policy",
    "openstorage": "blockdiff.openstorage.schedule",
}

LANGUAGES = tuple(_MODULES)


@dataclass(frozen=True, slots=True)
class Context:
    """What a text does not say itself.

    ``zone`` is the one of texts that name none; ``id`` that of the object whose schedule it is (LXD spreads by it);
    ``anchor`` when intervals began; ``original`` reads as the original program does where that is different;
    ``json`` takes the text for JSON.
    """

    zone: dt.tzinfo = dt.UTC
    id: str = ""
    original: bool = False
    json: bool = False
    anchor: dt.datetime | None = None


class Parsed(Protocol):
    """What a text says; ``str()`` gives its canonical form."""

    def to_json(self) -> bytes:
        """The JSON of its language."""

    def rules(self) -> Sequence[Rule]:
        """Its rules, in the order of the text."""


def never_due(parsed: Parsed) -> Sequence[str]:
    """The names of what a text says that has no rule, because it is never due: ``@never``, a disabled policy."""
    return getattr(parsed, "never", ())


class Language(Protocol):
    """One language of schedules."""

    @property
    def name(self) -> str:
        """The name that it is chosen by."""

    def parse(self, text: str, context: Context) -> Parsed:
        """What a text says. Raises InvalidInput with line, column and a caret."""

    def from_rules(self, rules: Sequence[Rule]) -> Parsed:
        """What says the same as the rules. Raises InvalidInput that names the rule which it cannot say, and why."""


def language(name: str) -> Language:
    """The language of a name. Raises InvalidInput that names those there are."""
    if name not in _MODULES:
        raise InvalidInput(f"there is no language {quoted(name)}: accepted are {', '.join(LANGUAGES)}")
    found: Language = importlib.import_module(_MODULES[name]).LANGUAGE
    return found


def read(text: str, name: str, context: Context) -> Parsed:
    """What a text says in the language of a name. Raises InvalidInput, also for what the language has no use for."""
    found = language(name)
    if context.id and name != "lxd":
        raise InvalidInput("--id goes with lxd: schedules of other languages are the same for all objects")
    if context.anchor and name != "openstorage":
        raise InvalidInput(f"--anchor goes with openstorage: schedules of {name} begin at no time of their own")
    if context.original and name == "openstorage":
        raise InvalidInput("--original: texts of openstorage are read in one way only")
    return found.parse(text, context)
