"""The metadata of a volume as text, a JSON object or lines of KEY=VALUE, with the place of each key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.cinder.policy.value import shown
from blockdiff.schedule.chronish import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blockdiff.cinder.policy.reading import Fault

_WIDTH = 100


class Entry(NamedTuple):
    """A value, and where its key stands: ``line`` and ``column`` count from 1, 0 is unknown; ``whole`` is the line."""

    value: Any
    line: int = 0
    column: int = 0
    length: int = 0
    whole: str = ""


def read_object(text: str) -> dict[str, Entry]:
    """The pairs of a JSON object of texts. Raises ScheduleError."""
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1]
        raise _wrong(f"no JSON: {error.msg}", Entry(None, error.lineno, error.colno, 1, line)) from None
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"no JSON: {error}") from None
    if not isinstance(found, _Pairs):
        raise ScheduleError("no metadata: a JSON object of texts is wanted, or lines of KEY=VALUE")
    entries: dict[str, Entry] = {}
    for key, value in found:
        if key in entries:
            raise ScheduleError(f"the key {shown(key)} is given twice")
        if not isinstance(value, str):
            raise ScheduleError(f"no metadata: the value of {shown(key)} is no text")
        entries[key] = Entry(value)
    return entries


def read_lines(text: str) -> dict[str, Entry]:
    """The pairs of lines; blank ones and those that begin with # are passed over. Raises ScheduleError."""
    entries: dict[str, Entry] = {}
    for number, whole in enumerate(text.split("\n"), 1):
        bare = whole.strip()
        if not bare or bare.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in bare.partition("="))
        entry = Entry(value, number, whole.index(bare[0]) + 1, len(key) if equals else len(bare), whole)
        if not equals or not key:
            raise _wrong(f"no metadata {shown(bare)}: write KEY=VALUE, or a JSON object", entry)
        if key in entries:
            raise _wrong(f"the key {shown(key)} is given twice", entry)
        entries[key] = entry
    return entries


def refused(faults: Iterable[Fault], entries: Mapping[str, Entry]) -> ScheduleError:
    """The error that tells all faults, each with its place; the fields are those of the first."""
    errors = [_wrong(str(fault), entries.get(fault.key, Entry(None))) for fault in faults]
    first, others = errors[0], [str(error) for error in errors[1:]]
    if first.line:
        return ScheduleError(
            first.reason, line=first.line, column=first.column, excerpt="\n".join([first.excerpt, *others])
        )
    return ScheduleError("\n".join([first.reason, *others]))


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with all that it has, also keys that are there twice."""


def _wrong(reason: str, entry: Entry) -> ScheduleError:
    if not entry.line:
        return ScheduleError(reason)
    begin = max(0, entry.column - 1 - _WIDTH // 2)
    part = "".join(char if char.isprintable() else "?" for char in entry.whole[begin : begin + _WIDTH])
    caret = " " * (entry.column - 1 - begin) + "^" * max(1, min(entry.length, _WIDTH // 2))
    return ScheduleError(reason, line=entry.line, column=entry.column, excerpt=f"    {part}\n    {caret}")
