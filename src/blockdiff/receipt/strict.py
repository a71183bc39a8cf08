"""JSON read strictly: what two readers could understand in two ways is refused, since a signature covers only bytes."""

from __future__ import annotations

from typing import Any, NoReturn

from blockdiff.errors import InvalidInput

_DEEP = 100  # levels of nesting; ours have five


def parse(data: bytes, what: str) -> Any:
    """The value. Raises InvalidInput for anything but one JSON value in UTF-8 (RFC 8259), for a key that is there
    twice, and for values nested too deep. ``what`` names the data in messages.
    """
    import json

    try:
        value = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except _RefusedError as error:
        raise InvalidInput(f"{what} is malformed: {error}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is malformed: byte {error.start} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{what} is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise InvalidInput(f"{what} is malformed: it is nested too deep") from None
    except ValueError:  # a number of more digits than Python reads
        raise InvalidInput(f"{what} is malformed: it has a number that is too long") from None
    if _depth(value) > _DEEP:
        raise InvalidInput(f"{what} is malformed: it is nested too deep")
    return value


class _RefusedError(Exception):
    """Carries a reason out of the JSON reader."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f"the key {key!a} is there twice")
            seen.add(key)
    return made


def _float(text: str) -> float:
    """Such as 1e400 would be infinite here, and something else elsewhere."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _RefusedError(f"the number {text[:40]} is too large")
    return value


def _constant(text: str) -> NoReturn:
    raise _RefusedError(f"{text} is no number of JSON")


def _depth(value: Any) -> int:
    """How deep lists and objects stand in each other; stops counting where it is too deep already."""
    depth, level = 0, [value]
    while level and depth <= _DEEP:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        depth += 1
        level = [item for item in below if isinstance(item, dict | list)]
    return depth
