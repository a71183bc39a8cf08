"""The metadata of a volume as text, a JSON object or lines of KEY=VALUE, with the place of each key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.cinder.policy.reading import TOLD, more
from blockdiff.cinder.policy.value import shown
from blockdiff.schedule.spot import ScheduleError, Spot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdiff.cinder.policy.reading import Fault

_ACCEPTED = "write KEY=VALUE, or a JSON object of texts"


class Entry(NamedTuple):
    """A value, and where its key stands, if that is known."""

    value: str
    spot: Spot | None = None


def read_object(text: str) -> dict[str, Entry]:
    """The pairs of a JSON object of texts. Raises ScheduleError."""
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise Spot(text, error.pos, error.pos + 1).wrong(f"no JSON: {error.msg}", _ACCEPTED) from None
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"no JSON: {error}", accepted=_ACCEPTED) from None
    if not isinstance(found, _Pairs):
        raise ScheduleError("no metadata", accepted=_ACCEPTED)
    entries: dict[str, Entry] = {}
    for key, value in found:
        if key in entries:
            raise ScheduleError(f"the key {shown(key)} is given twice")
        if not isinstance(value, str):
            raise ScheduleError(f"no metadata, the value of {shown(key)} is no text", accepted=_ACCEPTED)
        entries[key] = Entry(value)
    return entries


def read_lines(text: str) -> dict[str, Entry]:
    """The pairs of lines; blank ones and those that begin with # are passed over. Raises ScheduleError."""
    entries: dict[str, Entry] = {}
    for line in Spot.of(text).split("\n"):
        bare = line.stripped()
        if not bare.text or bare.text.startswith("#"):
            continue
        before, equals, behind = bare.partition("=")
        key, value = before.stripped(), behind.stripped()
        if not equals or not key.text:
            raise bare.wrong(f"no metadata {shown(bare.text)}", _ACCEPTED)
        if key.text in entries:
            raise key.wrong(f"the key {shown(key.text)} is given twice")
        entries[key.text] = Entry(value.text, key)
    return entries


def refused(faults: Sequence[Fault], entries: Mapping[str, Entry]) -> ScheduleError:
    """The error that tells of the faults, each with its place; the fields are those of the first."""
    first, *others = [_wrong(fault, entries) for fault in faults[:TOLD]]
    rest = [*(str(error) for error in others), *more(faults)]
    if first.line:
        fields: dict[str, Any] = {"line": first.line, "column": first.column}
        return ScheduleError(first.reason, excerpt="\n".join([first.excerpt, *rest]), **fields)
    return ScheduleError("\n".join([first.reason, *rest]))


def _wrong(fault: Fault, entries: Mapping[str, Entry]) -> ScheduleError:
    spot = entries[fault.key].spot if fault.key in entries else None
    return spot.wrong(str(fault)) if spot else ScheduleError(str(fault))


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with all that it has, also keys that are there twice."""
