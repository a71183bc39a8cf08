"""Lists of snapshots, told by their content: names, one a line; what ``rbd snap ls --format json`` prints; or our JSON.

Our JSON is docs/schemas/history.schema.json.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from typing import NamedTuple

import msgspec

from blockdiff.engine.snaplist import OurSnapshot, RbdSnapshot, Time, decode_list, of_rbd, refuse_nameless
from blockdiff.errors import InvalidInput
from blockdiff.snapshot import Snapshot

_LARGEST = 1 << 30
_FORM = (
    'names, one a line; what rbd snap ls --format json prints; or [{"name": "s1", "created": "2026-01-31T03:00:00Z"}]'
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CTIME = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([0-9]{4})", re.ASCII
)


class Listed(NamedTuple):
    """One snapshot as a list has it. ``scheduled`` is what it was taken for, if the list says so.

    ``managed`` is None where the list does not say; ``holds`` is why it stays, whatever a retention says.
    """

    snapshot: Snapshot
    scheduled: dt.datetime | None = None
    series: str = ""
    rule: str = ""
    state: str = "complete"
    base: str = ""
    managed: bool | None = None
    foreign: str = ""
    holds: str = ""


class _Item(OurSnapshot):
    """A snapshot in our words: those of lists that pairs reads, and more."""

    scheduled: Time | None = None
    series: str = ""
    rule: str = ""
    state: str = "complete"
    base: str = ""
    managed: bool | None = None
    protected: bool = False


def read_list(data: bytes, where: str, clock: dt.tzinfo | None = None) -> list[Listed]:
    """The snapshots of a list. ``where`` names it in messages; ``clock`` is the zone of rbd's timestamps, None that of
    this machine. Raises InvalidInput.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{where} is no text: byte {error.start} is no UTF-8; accepted are {_FORM}") from None
    if not text.lstrip().startswith(("[", "{")):
        lines = (line.removesuffix("\r") for line in text.split("\n"))  # a name may begin or end with a space
        return [Listed(Snapshot("", line)) for line in lines if line.strip()]
    accepted = f"accepted are {_FORM}"
    value = decode_list(text, where, accepted)
    rbd = any("timestamp" in item or isinstance(item.get("protected"), str) for item in value)
    try:
        if rbd:
            found = _of_rbd(of_rbd(value, _Item, where, accepted), clock)
        else:
            found = [_ours(item) for item in msgspec.convert(value, list[_Item])]
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{where} is no list of snapshots: {error}; {accepted}") from None
    snapshots = [one.snapshot for one in found]
    refuse_nameless([one.volume for one in snapshots], [one.name for one in snapshots], where)
    return found


def read_file(name: str) -> bytes:
    """All of a file, or of stdin (-). Raises InvalidInput if it cannot be read."""
    shown = "stdin" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {shown}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > _LARGEST:
        raise InvalidInput(f"{shown} has more than {_LARGEST:,} bytes: that is no list of snapshots")
    return data


def _ours(item: _Item) -> Listed:
    if not item.name:
        raise msgspec.ValidationError("a snapshot has no name")
    if item.state not in ("complete", "incomplete", "failed"):
        raise msgspec.ValidationError(f"the state of {item.name!r} is {item.state!r}: complete, incomplete or failed")
    snapshot = Snapshot(item.volume, item.name, str(item.id), item.created, item.content)
    foreign = "managed by another" if item.managed is False else ""
    holds = "protected" if item.protected else ""
    return Listed(snapshot, item.scheduled, item.series, item.rule, item.state, item.base, item.managed, foreign, holds)


def _of_rbd(snaps: list[RbdSnapshot], clock: dt.tzinfo | None) -> list[Listed]:
    """By id: ids ascend with time, which tells the two hours apart that clocks show twice."""
    found: list[Listed] = []
    last: dt.datetime | None = None
    for snap in snaps:
        foreign = "" if snap.kind == "user" else f"of Ceph itself ({snap.kind})"
        holds = "protected in Ceph" if snap.protected in ("true", True) else ""
        made = _ctime(snap, clock)
        if made and last and made < last <= (second := _ctime(snap, clock, fold=1) or made):
            made = second
        last = made or last
        snapshot = Snapshot("", snap.name, str(snap.id), made)
        found.append(Listed(snapshot, foreign=foreign, holds=holds))
    return found


def _ctime(snap: RbdSnapshot, clock: dt.tzinfo | None, fold: int = 0) -> dt.datetime | None:
    """What C's ctime() prints: local time, in English everywhere."""
    if not snap.timestamp:
        return None
    match = _CTIME.fullmatch(snap.timestamp)
    try:
        if match is None:
            raise ValueError
        month = _MONTHS.index(match[1]) + 1
        day, hour, minute, second, year = map(int, match.groups()[1:])
        local = dt.datetime(
            year, month, day, hour, minute, min(second, 59), tzinfo=clock, fold=fold
        )  # a leap second is 60
        return local.astimezone(dt.UTC)  # without a zone: that of this machine
    except (ValueError, OverflowError):
        raise msgspec.ValidationError(
            f"the timestamp of {snap.name!r} is {snap.timestamp!r}: Sat Jan 31 12:00:00 2026 is wanted"
        ) from None
