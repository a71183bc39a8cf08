"""JSON that says each thing once. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import quoted


def decoded(text: str | bytes, *, twice: bool = False) -> Any:
    """The value of a JSON text. Raises InvalidInput, also for a key that an object has twice, unless that is allowed:
    the last one would count, and the others be ignored.
    """
    try:
        value = msgspec.json.decode(text)
        if not twice:
            json.loads(text, object_pairs_hook=_once, parse_int=len, parse_float=len)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"no JSON: {error}") from None
    return value


def _once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        name = next(name for number, name in enumerate(names) if name in names[:number])
        raise InvalidInput(f"the key {quoted(name)} is given twice")
