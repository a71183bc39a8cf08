"""The tokens that calls carry: fixed, read anew, or asked of the API server before they expire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.csi.kube import Token

SPARE = 0.2  # of its life that a token must have left when a stream begins


class Tokens(Protocol):
    """Where tokens come from."""

    def get(self) -> str:
        """A token that is good now."""

    def renew(self, *, used: bool) -> bool:
        """Told that the token was refused; ``used`` when it was good before. True when another one can be had."""


class FixedToken:
    """One token for ever."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get(self) -> str:
        return self._text

    def renew(self, *, used: bool) -> bool:
        return False


class GivenToken:
    """What a function gives, asked for each attempt: a file that somebody keeps fresh, or the caller's own ways."""

    def __init__(self, function: Callable[[], str]) -> None:
        self._function, self._last = function, ""

    def get(self) -> str:
        self._last = self._function()
        return self._last

    def renew(self, *, used: bool) -> bool:
        return self._function() != self._last


class AccountToken:
    """Tokens of a service account, of a function that asks for one. Before its time is up a new one is asked for."""

    def __init__(self, request: Callable[[], Token]) -> None:
        self._request = request
        self._held: Token | None = None
        self._begun, self._given = 0.0, 0

    def get(self) -> str:
        held = self._held
        if held is None or time.time() > held.expires - SPARE * (held.expires - self._begun):
            held = self.first()
        self._given += 1
        return held.text

    def first(self) -> Token:
        """Asks for a token now: a refusal is told before anything else is done."""
        self._begun, self._given = time.time(), 0
        self._held = self._request()
        return self._held

    def renew(self, *, used: bool) -> bool:
        if self._given <= 1 and not used:
            return False  # refused although it is new: another one would be refused too
        self._held = None
        return True


def make_tokens(given: str | Callable[[], str]) -> Tokens:
    """Of a text or a function."""
    return GivenToken(given) if callable(given) else FixedToken(given)


def file_token(path: str) -> Callable[[], str]:
    """A function that reads a token from a file, each time anew: kubelet keeps such files fresh."""

    def read() -> str:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read(1 << 20).strip()
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"cannot read a token from {path}: {getattr(error, 'strerror', None) or error}"
            ) from None
        if not text:
            raise InvalidInput(f"there is no token in {path}: it is empty")
        return text

    return read
