"""Where a volume is: bare paths and URLs, parsed without touching anything."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from blockdiff.errors import InvalidInput

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_USER = re.compile(r"(://)[^/@\s]+@")
_SECRET = re.compile(r"([?&](?:key|secret|password|passphrase|token)=)[^&\s]+", re.IGNORECASE)


class Locator(NamedTuple):
    """``scheme`` names the backend, ``rest`` is what follows the colon, ``text`` what the user wrote."""

    scheme: str
    rest: str
    text: str


def parse_locator(target: str | os.PathLike[str] | Locator) -> Locator:
    """A bare path or ``file:PATH`` is a file; ``x:...`` is a URL of scheme ``x``.

    A path that holds a colon is written ``./a:b`` or ``file:a:b``. Raises InvalidInput for an empty name.
    """
    if isinstance(target, Locator):
        return target
    if isinstance(target, os.PathLike):
        path = os.fsdecode(target)
        return Locator("file", path, path)
    if not target:
        raise InvalidInput("the name of a device or file is empty")
    if "\0" in target:
        raise InvalidInput(f"{target!r} holds a NUL character and names nothing")
    match = _SCHEME.fullmatch(target)
    if match is None or target.startswith(("/", ".")):
        return Locator("file", target, target)
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme == "file":
        rest = rest[2:] if rest.startswith("///") else rest
        if rest.startswith("//"):
            raise InvalidInput(f"{target!r} names a host: write file:PATH or file:///PATH")
        if not rest:
            raise InvalidInput(f"{target!r} names no file")
    return Locator(scheme, rest, target)


def without_credentials(text: str) -> str:
    """A URL, or words with URLs in them, without users, passwords and the values of parameters that are secrets."""
    return _SECRET.sub(r"\1...", _USER.sub(r"\1", text))
