"""The text of retention, ``last=3,daily=7,weekly=4,zone=Europe/Berlin``, and its JSON, both ways.

    retention = term , { "," , term } ;
    term      = ( "count" | "days" ) , "=" , number | "age" , "=" , { number , unit } | gfs , "=" , ( number | "all" )
              | "zone" , "=" , zone ;
    gfs       = "last" | "hourly" | "daily" | "weekly" | "monthly" | "yearly" ;
    unit      = "y" | "mo" | "w" | "d" | "h" | "min" | "s" ;     (* a lone m would be months or minutes: refused *)

A snapshot is kept while one of the terms keeps it. Each term is given once.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.retention.keep import (
    AGE_UNITS,
    ALL,
    GFS,
    GFS_COUNTS,
    KeepAge,
    KeepAny,
    KeepCount,
    KeepDays,
    zone_text,
)
from blockdiff.schedule.spot import excerpt
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blockdiff.retention.keep import Retention

_UNITS = dict(zip(("y", "mo", "w", "d", "h", "min", "s"), AGE_UNITS, strict=True))
_TERMS = ("count", "days", "age", *GFS_COUNTS, "zone")
_PART = re.compile(r"([0-9]+)([A-Za-z]+)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})", re.ASCII)
_NO_ZONES = ("localtime", "posixrules", "Factory")  # files beside the zones: of this machine, or of nobody
_AGE_HINT = "write numbers with y, mo, w, d, h, min or s, such as 1y6mo"


class RetentionError(InvalidInput):
    """A text that is no retention. ``column`` counts from 1; ``excerpt`` is the text with a caret below."""

    line = 1
    column = 0
    excerpt = ""

    def __str__(self) -> str:
        return f"{self.reason}\n  column {self.column}:\n{self.excerpt}" if self.column else self.reason


def text_of(keep: Retention) -> str:
    """The canonical text, which ``parse_retention`` reads as the same value, if it keeps something."""
    return ",".join(f"{name}={_value_text(value)}" for name, value in to_dict(keep).items())


def _value_text(value: object) -> str:
    if isinstance(value, dict):
        return "".join(f"{value[name]}{unit}" for unit, name in _UNITS.items() if name in value) or "0s"
    return str(value)


def parse_retention(text: str) -> Retention:
    """The value of a text. Raises RetentionError with the column."""
    found: dict[str, Any] = {}
    for column, term in _terms(text):
        name, equals, value = term.partition("=")
        if not equals or name not in _TERMS:
            raise _wrong(
                text, column, term, f"no retention {quoted(term)}: accepted are {', '.join(_TERMS)}, each with =VALUE"
            )
        if name in found:
            raise _wrong(text, column, term, f"{name} is given twice")
        try:
            found[name] = _value(name, value)
        except InvalidInput as error:
            raise _wrong(text, column + len(name) + 1, value, str(error)) from None
    try:
        return _made(found)
    except InvalidInput as error:
        raise _wrong(text, 1, text, str(error)) from None


def _terms(text: str) -> Iterator[tuple[int, str]]:
    """Each term with its column."""
    column = 1
    for term in text.split(","):
        bare = term.strip(" ")
        yield column + len(term) - len(term.lstrip(" ")), bare
        column += len(term) + 1


def _wrong(text: str, column: int, part: str, reason: str) -> RetentionError:
    return RetentionError(reason, column=column, excerpt=excerpt(text, column - 1, len(part)))


def _value(name: str, text: str) -> object:
    if name == "zone":
        return zone_of(text)
    if name == "age":
        return _age(text)
    if text == "all" and name in GFS_COUNTS:
        return ALL
    if not _NUMBER.fullmatch(text):
        accepted = "a whole number, or all" if name in GFS_COUNTS else "a whole number"
        raise InvalidInput(f"{name} is {quoted(text)}: {accepted} is wanted")
    return int(text)


def _age(text: str) -> dict[str, int]:
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidInput(f"age is {quoted(text)}: {_AGE_HINT}")
    found: dict[str, int] = {}
    for number, unit in parts:
        if unit in ("m", "M"):
            raise InvalidInput(f"age is {quoted(text)}, and {unit} is months or minutes: write mo or min")
        if unit not in _UNITS or not _NUMBER.fullmatch(number):
            raise InvalidInput(f"age is {quoted(text)}: {_AGE_HINT}")
        if _UNITS[unit] in found:
            raise InvalidInput(f"age is {quoted(text)}: {unit} is given twice")
        found[_UNITS[unit]] = int(number)
    return found


def zone_of(text: str) -> dt.tzinfo:
    """The zone of ``UTC``, ``Europe/Berlin`` or ``+05:30``. Raises InvalidInput."""
    match = _OFFSET.fullmatch(text)
    if match and int(match[2]) < 24 and int(match[3]) < 60:
        offset = dt.timedelta(hours=int(match[2]), minutes=int(match[3]))
        return dt.timezone(-offset if match[1] == "-" else offset)
    if text == "UTC":
        return dt.UTC
    from zoneinfo import ZoneInfo

    try:
        if text in _NO_ZONES or text.startswith("right/"):
            raise ValueError
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise InvalidInput(f"no time zone {quoted(text)}: write UTC, one such as Europe/Berlin, or +05:30") from None


# ---- JSON ----


def to_dict(keep: Retention) -> dict[str, Any]:
    """The JSON object: the terms of the text as keys, ``age`` an object of units, ALL as ``"all"``."""
    found: dict[str, Any] = {}
    zone = None
    for member in keep.members if isinstance(keep, KeepAny) else (keep,):
        match member:
            case KeepCount(count):
                found["count"] = count
                continue
            case KeepDays(days):
                found["days"] = days
            case KeepAge():
                found["age"] = {name: value for name in AGE_UNITS if (value := getattr(member, name))}
            case GFS():
                found |= {name: "all" if n == ALL else n for name in GFS_COUNTS if (n := getattr(member, name))}
        zone = member.zone
    if zone is not None:
        found["zone"] = zone_text(zone)
    return found


def from_dict(value: object) -> Retention:
    """The value of its JSON object, or of its JSON text. Raises InvalidInput with the key."""
    if isinstance(value, str | bytes):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidInput(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"no retention: an object with {', '.join(_TERMS)} is wanted")
    found: dict[str, Any] = {}
    for name, item in value.items():
        if name not in _TERMS:
            raise InvalidInput(f"no retention {name!r}: accepted are {', '.join(_TERMS)}")
        found[name] = _item(name, item)
    return _made(found)


def _item(name: str, item: object) -> object:
    if name == "zone":
        if not isinstance(item, str):
            raise InvalidInput(f"zone is no text: {item!r}")
        return zone_of(item)
    if name == "age":
        if not isinstance(item, dict) or not set(item) <= set(AGE_UNITS):
            raise InvalidInput(f"age is no object of {', '.join(AGE_UNITS)}: {item!r}")
        return item
    return ALL if item == "all" and name in GFS_COUNTS else item


def _made(found: Mapping[str, Any]) -> Retention:
    """The value of its terms. Raises InvalidInput for one that keeps nothing, as a typing error may."""
    zone = found.get("zone")
    members: list[KeepCount | KeepDays | KeepAge | GFS] = []
    if "count" in found:
        members.append(KeepCount(found["count"]))
    if "days" in found:
        members.append(KeepDays(found["days"], zone))
    if "age" in found:
        members.append(KeepAge(**found["age"], zone=zone))
    counts = {name: found[name] for name in GFS_COUNTS if name in found}
    if counts:
        members.append(GFS(**counts, zone=zone))
    if not members:
        raise InvalidInput(f"nothing is kept: give one of {', '.join(_TERMS[:-1])}")
    if zone is not None and all(isinstance(member, KeepCount) for member in members):
        raise InvalidInput("a count has no zone: days, age, and hourly to yearly have one")
    for member in members:
        if not member.keeps_something:
            raise InvalidInput(
                f"{text_of(member) or ', '.join(f'{name}=0' for name in counts)} keeps nothing: 1 or more"
            )
    return members[0] if len(members) == 1 else KeepAny(tuple(members))
