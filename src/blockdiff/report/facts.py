"""What a report says beside its ranges, checked: types, versions, and that it does not contradict itself."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

from blockdiff.errors import InvalidInput

VERSION = 1
COMMANDS = ("verify", "audit", "copy")
LARGEST = 1 << 53  # 8 PiB: a page's numbers are exact up to here
MAX_DEPTH = 64
MAX_CELLS = 65536
STATES = ("equal", "zero", "hole", "changed", "bad", "unverified")

Bytes = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Count = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


class SideFacts(msgspec.Struct):
    """One of the two devices."""

    url: str
    size: Bytes
    read_path: str = ""
    bytes_by_path: dict[str, Bytes] = {}
    note: str = ""
    made_of: list[str] = []


class Skipped(msgspec.Struct):
    """Bytes that were not read, and why."""

    reason: str
    bytes: Bytes


class Unreadable(msgspec.Struct):
    """A range that could not be read."""

    offset: Bytes
    length: Count
    side: Literal["source", "target", "both"]


class MapRun(msgspec.Struct):
    """Neighbouring cells of a block map, with the bytes of each state in each of them."""

    cells: Annotated[int, msgspec.Meta(ge=1, le=MAX_CELLS)]
    equal: Bytes = 0
    zero: Bytes = 0
    hole: Bytes = 0
    changed: Bytes = 0
    bad: Bytes = 0
    unverified: Bytes = 0

    def counts(self) -> tuple[int, ...]:
        """The bytes in the order of STATES."""
        return (self.equal, self.zero, self.hole, self.changed, self.bad, self.unverified)


class MapFacts(msgspec.Struct):
    """A block map."""

    size: Bytes
    cell_bytes: Count
    cells: Annotated[int, msgspec.Meta(ge=0, le=MAX_CELLS)]
    runs: list[MapRun]


class Facts(msgspec.Struct, rename={"blockmap": "map"}):
    """A report without its ranges."""

    schema_version: int
    command: str
    identical: bool
    complete: bool
    source: SideFacts
    target: SideFacts
    method: str
    granularity: Count
    offset: Bytes
    length: Bytes
    difference_count: Bytes
    differing_bytes: Bytes
    bytes_compared: Bytes
    bytes_read: Bytes
    elapsed_seconds: Annotated[float, msgspec.Meta(ge=0)]
    size_policy: str = "strict"
    bytes_by_class: dict[str, Bytes] = {}
    skipped: list[Skipped] = []
    unreadable: list[Unreadable] = []
    unreadable_bytes: Bytes = 0
    warnings: list[str] = []
    workers: int = 1
    started_at: str = ""
    error: str = ""
    method_refusal: str = ""
    blockmap: MapFacts | None = None
    # of audit
    correct: bool | None = None
    under_reported_bytes: Bytes = 0
    over_reported_bytes: Bytes = 0
    # of copy
    copied_bytes: Bytes = 0
    zeroed_bytes: Bytes = 0
    verified: bool | None = None


FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Facts)}
Values = dict[str, tuple[int, int, bytes | None]]


def read_facts(name: str, values: Values) -> tuple[Facts, dict[str, Any]]:
    """The facts, and what else the report says, by key. Raises InvalidInput with the place of what is wrong."""
    _check_version(name, values)
    known: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, (line, column, raw) in values.items():
        place = f"{name}:{line}:{column}"
        if key in FIELDS:
            if raw is None:
                raise InvalidInput(f'{place}: "{key}" has more than 8 MiB')
            known[FIELDS[key].name] = _typed(place, key, _value(place, raw), FIELDS[key].type)
        else:
            others[key] = None if raw is None else _value(place, raw)
    for field in FIELDS.values():
        if field.required and field.name not in known:
            raise InvalidInput(f'{name}: no report of blockdiff: it has no "{field.encode_name}"')
    return Facts(**known), others


def _check_version(name: str, values: Values) -> None:
    """A report of this version and of a command that is known."""
    if "pairs" in values:
        raise InvalidInput(f"{name}: a report over pairs; give the reports of single runs, such as verify -o json A B")
    for key, known, expected in (
        ("schema_version", (VERSION,), f"known is {VERSION}: a newer blockdiff may read it"),
        ("command", COMMANDS, f"known are {', '.join(COMMANDS)}"),
    ):
        if key not in values:
            raise InvalidInput(f'{name}: no report of blockdiff verify, audit or copy: it has no "{key}"')
        line, column, raw = values[key]
        place = f"{name}:{line}:{column}"
        value = None if raw is None else _value(place, raw)
        if isinstance(value, bool) or value not in known:
            raise InvalidInput(f'{place}: the report\'s "{key}" is {str(value)[:60]!r}; {expected}')


def _value(place: str, raw: bytes) -> Any:
    """A JSON value, whose text is JSON: what no page can hold is replaced."""
    try:
        return clean(json.loads(raw, object_pairs_hook=_object, parse_float=_float))
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, or too deep
        raise InvalidInput(f"{place}: {error}") from None


def _float(text: str) -> float:
    """Such as 1e400 would be infinite, which the page's script cannot read."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers could take it for two things where a key is there twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!a} appears twice in one object")
    return made


def clean(value: Any, depth: int = 0) -> Any:
    """The value with names that are not text made readable."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} arrays and objects inside each other")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item, depth + 1) for key, item in value.items()}
    return value


def _typed(place: str, key: str, value: Any, wanted: Any) -> Any:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise InvalidInput(f'{place}: "{key}": {error}') from None
