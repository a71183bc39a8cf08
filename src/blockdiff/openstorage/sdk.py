"""Intervals in the JSON of the SDK: ``[{"retain":"7","daily":{"hour":12,"minute":0}}]``.

Format: openstorage.api's SdkSchedulePolicyInterval as protobuf's JSON: numbers of 64 bits are strings (numbers are
read, too), and what is 0 may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.openstorage.interval import FIELDS, WEEKDAYS, Interval
from blockdiff.schedule.strict import decoded
from blockdiff.schedule.words import integer

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECOND = 10**9
_DAY = "SdkTimeWeekday"
_KEYS = {"periodic": ("seconds",), "daily": ("hour", "minute"), "weekly": ("day", "hour", "minute")}
_KEYS["monthly"] = _KEYS["weekly"]


def write(intervals: Iterable[Interval]) -> bytes:
    """The JSON array. How many are kept is always said. Raises InvalidInput for a part of a second."""
    return msgspec.json.encode([to_dict(one) for one in intervals])


def read(text: str | bytes) -> tuple[Interval, ...]:
    """The intervals of an array, of one object, or of a policy (``schedules``). Raises InvalidInput."""
    value = decoded(text)
    if isinstance(value, dict) and "schedules" in value:
        _known(value, ("name", "schedules"))
        value = value["schedules"]
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise InvalidInput("no schedule: an array of intervals is wanted, or a policy with schedules")
    found = []
    for number, item in enumerate(items):
        try:
            found.append(from_dict(item))
        except InvalidInput as error:
            raise InvalidInput(f"interval {number}: {error}") from None
    return tuple(found)


def to_dict(one: Interval) -> dict[str, Any]:
    """The JSON object of one interval."""
    clock: dict[str, Any] = {"hour": one.hour, "minute": one.minute}
    if one.period % _SECOND:
        raise InvalidInput(f"{one}: the SDK has whole seconds only")
    what = {
        "periodic": {"seconds": str(one.period // _SECOND)},
        "daily": clock,
        "weekly": {"day": f"{_DAY}{WEEKDAYS[one.weekday]}", **clock},
        "monthly": {"day": one.day, **clock},
    }[one.freq]
    return {"retain": str(one.keep), one.freq: what}


def from_dict(value: object) -> Interval:
    """An interval of its JSON object. Raises InvalidInput."""
    if not isinstance(value, dict):
        raise InvalidInput("no interval: an object is wanted")
    _known(value, ("retain", *FIELDS))
    kinds = [kind for kind in FIELDS if value.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidInput(f"Invalid schedule period type: one of {', '.join(FIELDS)} is wanted, found {len(kinds)}")
    kind = kinds[0]
    what = value[kind]
    if not isinstance(what, dict):
        raise InvalidInput(f"invalid {kind}: an object is wanted")
    _known(what, _KEYS[kind])
    fields = {
        name: _weekday(what) if (kind, name) == ("weekly", "day") else _number(what, name) for name in _KEYS[kind]
    }
    if kind == "periodic":
        fields["period"] = fields.pop("seconds") * _SECOND
    elif kind == "weekly":
        fields["weekday"] = fields.pop("day")
    return Interval(kind, **fields, retain=_number(value, "retain"))


def _known(value: dict[str, Any], names: tuple[str, ...]) -> None:
    unknown = sorted(set(value) - set(names))
    if unknown:
        raise InvalidInput(f"unknown key {unknown[0]!r}: accepted are {', '.join(names)}")


def _number(value: dict[str, Any], name: str) -> int:
    number = value.get(name)
    if number is None:
        return 0
    if isinstance(number, str):
        return integer(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidInput(f"invalid {name}: a number is wanted")
    return number


def _weekday(value: dict[str, Any]) -> int:
    day = value.get("day")
    names = [_DAY + name for name in WEEKDAYS]
    return names.index(day) if day in names else _number(value, "day")
