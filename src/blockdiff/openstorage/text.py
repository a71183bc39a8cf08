"""The text of a schedule, in both of its forms: YAML, and ``type=value`` items; joined by ``;``.

Format: openstorage's ParseScheduleAndPolicies and ScheduleString (pkg/sched).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput
from blockdiff.openstorage.interval import FIELDS, MINUTE, MOST_KEEP, MOST_PERIOD, NAMES, WEEKDAYS, Interval
from blockdiff.schedule.spot import Spot
from blockdiff.schedule.words import integer, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import yaml

_ITEMS = "accepted are periodic=MINUTES, daily=HH:MM, weekly=DAY@HH:MM, monthly=D@HH:MM, each with ,KEEP, and policy="
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_]", re.ASCII)
_MOST = 1 << 16  # characters; a schedule of a thousand intervals is shorter


def read(text: str) -> tuple[tuple[Interval, ...], tuple[str, ...]]:
    """The intervals and the names of policies. Raises ScheduleError."""
    intervals: list[Interval] = []
    policies: list[str] = []
    if len(text) > _MOST:
        raise Spot.of(text).first(1).wrong(f"a schedule of {len(text)} characters: at most {_MOST} are read")
    for piece in Spot.of(text).split(";"):
        item = piece.stripped()
        if item.text.startswith("policy"):
            policies += _policies(item)
        elif item.text[:1].isalpha():
            intervals.append(_item(item))
        elif item.text:
            intervals += _yaml(piece)
    return tuple(intervals), tuple(policies)


def write(intervals: Iterable[Interval], policies: Iterable[str]) -> str:
    """The canonical text: YAML, then the names of policies. The last line has no line end."""
    blocks = "\n".join(_block(one) for one in intervals)
    names = ",".join(policies)
    if not names:
        return blocks
    return f"{blocks}\n;policy={names}" if blocks else f"policy={names}"


def policy_name(name: str) -> str:
    """The name itself. Raises InvalidInput where a text could not say it."""
    if not _NAME.search(name) or not name.isprintable() or any(char in ",=; " for char in name):
        raise InvalidInput(
            f"Invalid policy name '{name if name.isprintable() else ascii(name)}': letters, digits and _"
        )
    return name


def _block(one: Interval) -> str:
    return "\n".join([f"- freq: {one.freq}", *(f"  {name}: {value}" for name, value in one.numbers.items())])


# ---- type=value ----


def _policies(item: Spot) -> list[str]:
    head, equals, rest = item.partition("=")
    if not equals or head.text != "policy" or "=" in rest.text:
        raise item.wrong(f"Invalid policy string {plain(item.text)}: policy=NAME,NAME is wanted")
    names = []
    for name in rest.split(","):
        try:
            names.append(policy_name(name.text))
        except InvalidInput as error:
            raise name.wrong(str(error)) from None
    return names


def _item(item: Spot) -> Interval:
    head, equals, rest = item.partition("=")
    read_value = _VALUES.get(head.text)
    if not equals or read_value is None or "=" in rest.text:
        raise item.wrong(f"Invalid schedule specification: {plain(item.text)}: {_ITEMS}")
    value, comma, keep = rest.partition(",")
    retain = _keep(keep) if comma else 0
    if not value.text:
        what = "Interval" if head.text == "periodic" else f"{head.text.capitalize()} schedule"
        raise value.wrong(f"{what} is missing: {_ITEMS}")
    return Interval(head.text, retain=retain, **read_value(value, rest))


def _keep(spot: Spot) -> int:
    try:
        number = integer(spot.text)
    except InvalidInput:
        number = MOST_KEEP + 1
    if number > MOST_KEEP:
        raise spot.wrong(f"Invalid number: {plain(spot.text)}: how many are kept, 1 to {MOST_KEEP}")
    if number <= 0:
        raise spot.wrong("Keep number should be greater than 0")
    return number


def _periodic(value: Spot, _: Spot) -> dict[str, int]:
    digits = value.text.isascii() and value.text.isdigit() and len(value.text) < 40
    minutes = int(value.text) if digits else 0
    if not 0 < minutes <= MOST_PERIOD // MINUTE:
        raise value.wrong(f"Invalid interval {plain(value.text)}: minutes, 1 to {MOST_PERIOD // MINUTE}")
    return {"period": minutes * MINUTE}


def _daily(value: Spot, _: Spot) -> dict[str, int]:
    head, at, time = value.partition("@")
    if at and head.text:
        raise value.wrong(f"Invalid daily spec {plain(value.text)}: HH:MM or @HH:MM is wanted")
    return _clock(time if at else head)


def _weekly(value: Spot, rest: Spot) -> dict[str, int]:
    day, time = _day_and_time(value, rest, "weekly")
    name = day.text[:1].upper() + day.text[1:] or "Sunday"
    if name not in WEEKDAYS:
        raise day.wrong(f"invalid weekday {plain(name)}: accepted are {', '.join(WEEKDAYS)}")
    return {"weekday": WEEKDAYS.index(name), **_clock(time)}


def _monthly(value: Spot, rest: Spot) -> dict[str, int]:
    day, time = _day_and_time(value, rest, "monthly")
    try:
        number = integer(day.text)
    except InvalidInput:
        number = -1
    if not 0 <= number <= 31:
        raise day.wrong(f"Invalid day of month {plain(day.text)}: accepted are 1 to 31")
    return {"day": number or 1, **_clock(time)}


def _day_and_time(value: Spot, rest: Spot, kind: str) -> tuple[Spot, Spot]:
    day, _, time = value.partition("@")
    if "@" in time.text:
        raise value.wrong(f"Invalid {kind} spec {plain(rest.text)}: DAY@HH:MM is wanted")
    return day, time


def _clock(spot: Spot) -> dict[str, int]:
    """``HH:MM``; what is not there is 0."""
    parts = spot.text.split(":") if spot.text else ["0"]
    try:
        hour, minute = (integer(part) for part in (*parts, "0")[: max(2, len(parts))])
        if not (0 <= hour < 24 and 0 <= minute < 60):
            raise ValueError
    except (InvalidInput, ValueError):
        raise spot.wrong(f"invalid start time {plain(spot.text)}: 00:00 to 23:59") from None
    return {"hour": hour, "minute": minute}


_VALUES: dict[str, Callable[[Spot, Spot], dict[str, int]]] = {
    "periodic": _periodic,
    "daily": _daily,
    "weekly": _weekly,
    "monthly": _monthly,
}


# ---- YAML ----


def _yaml(piece: Spot) -> list[Interval]:
    import yaml

    try:
        root = yaml.compose(piece.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise (
            piece.after(mark.index if mark else 0).first(1).wrong(f"no YAML: {plain(str(error.problem))}", _ITEMS)
        ) from None
    except yaml.reader.ReaderError as error:
        raise (
            piece.after(error.position).first(1).wrong("no YAML: a character that it does not allow", _ITEMS)
        ) from None
    except RecursionError:
        raise (
            piece.stripped().first(1).wrong("no schedule: its YAML is nested too deeply; a list of intervals is wanted")
        ) from None
    if root is None:  # comments
        return []
    if not isinstance(root, yaml.SequenceNode) or root.tag != "tag:yaml.org,2002:seq":
        raise _at(piece, root).wrong(f"Invalid schedule specification: a list of intervals is wanted; {_ITEMS}")
    return [_interval(piece, node) for node in root.value]


def _interval(piece: Spot, node: yaml.Node) -> Interval:
    import yaml

    if not isinstance(node, yaml.MappingNode) or node.tag != "tag:yaml.org,2002:map":
        raise _at(piece, node).wrong(
            f"Invalid schedule spec: an interval with freq, {', '.join(NAMES)}, retain is wanted"
        )
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name not in ("freq", *NAMES, "retain"):
            raise _at(piece, key).wrong(f"unknown key: accepted are freq, {', '.join(NAMES)} and retain")
        if name in found:
            raise _at(piece, key).wrong(f"{name} is given twice")
        found[name] = _freq(piece, value) if name == "freq" else _number(piece, value, name)
    if found.get("freq") == "monthly":
        found["day"] = found.get("day") or 1
    if "freq" not in found:
        raise _at(piece, node).wrong(f"Invalid schedule spec: freq is missing; accepted are {', '.join(FIELDS)}")
    try:
        return Interval(**found)
    except InvalidInput as error:
        raise _at(piece, node).wrong(str(error)) from None


def _freq(piece: Spot, node: yaml.Node) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode) or node.value not in FIELDS:
        raise _at(piece, node).wrong(f"Invalid schedule spec: accepted as freq are {', '.join(FIELDS)}")
    return str(node.value)


def _number(piece: Spot, node: yaml.Node, name: str) -> int:
    import yaml

    plain = isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:int" and _NUMBER.fullmatch(node.value)
    if not plain:  # 010 is 8 and 08 is 8 to YAML
        raise _at(piece, node).wrong(f"invalid {name}: a plain decimal number without leading zeros is wanted")
    return int(node.value)


def _at(piece: Spot, node: yaml.Node) -> Spot:
    begin, end = node.start_mark.index, node.end_mark.index
    return piece.after(begin).first(max(1, end - begin))
