"""Snapshots that were listed elsewhere, as JSON: so that pairs of any storage can be planned.

A list of objects, oldest first: ``[{"name":"s1","id":"4","created":"2026-01-01T03:00:00Z","content":"..."}]``; and what
``rbd snap ls --format json`` prints.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from blockdiff.engine.catalog import Entry, Volume
from blockdiff.engine.snaplist import OurSnapshot, decode_list, of_rbd, refuse_nameless
from blockdiff.errors import InvalidInput
from blockdiff.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM = (
    'a list of objects is wanted, oldest first: [{"name": "s1", "id": "4", "created": "2026-01-01T03:00:00Z"}, ...], '
    "or what rbd snap ls --format json prints"
)


class ListedCatalog:
    """What a list says. ``dated``: the dates are those of the content, as the list's maker has to see to."""

    dated = True

    def __init__(self, url: str, volumes: Sequence[Volume], *, single: bool) -> None:
        self.url, self.single = url, single
        self._volumes = volumes

    def volumes(self) -> Sequence[Volume]:
        """Its volumes, in the order in which it names them."""
        return self._volumes

    def url_of(self, volume: str) -> str:
        """Nothing opens a list."""
        return ""

    def close(self) -> None:
        """Nothing is open."""


def listed_catalog(data: bytes, name: str) -> ListedCatalog:
    """The catalog of a list; ``name`` is that of the file, for messages. InvalidInput says what is wrong, and where."""
    value = decode_list(data, name, FORM)
    rbd = any("protected" in item or "timestamp" in item for item in value)
    try:
        entries = _of_rbd(value, name) if rbd else _ours(value, name)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{name} is no list of snapshots: {error}; {FORM}") from None
    snapshots = [entry.snapshot for entry in entries]
    refuse_nameless([one.volume for one in snapshots], [one.name for one in snapshots], name)
    volumes: dict[str, list[Entry]] = {}
    for entry in entries:
        volumes.setdefault(entry.snapshot.volume, []).append(entry)
    single = not any(volumes)
    found = volumes or {"": []}
    return ListedCatalog(name, [Volume(one, tuple(_ordered(made, name))) for one, made in found.items()], single=single)


def _ours(value: list[Any], name: str) -> list[Entry]:
    items = msgspec.convert(value, list[OurSnapshot])
    urls: dict[str, int] = {}
    for place, item in enumerate(items):
        if not item.name:
            raise InvalidInput(f"{name}: the snapshot at $[{place}] has no name")
        if item.url and (other := urls.setdefault(item.url, place)) != place:
            raise InvalidInput(f"{name}: the snapshots at $[{other}] and $[{place}] have one url, {item.url}")
    return [
        Entry(
            Snapshot(item.volume, item.name, str(item.id), item.created, item.content),
            item.url,
            item.size,
            item.identity,
        )
        for item in items
    ]


def _of_rbd(value: list[Any], name: str) -> list[Entry]:
    """The user's."""
    users = [snap for snap in of_rbd(value, OurSnapshot, name, FORM) if snap.kind == "user"]
    return [Entry(Snapshot("", snap.name, str(snap.id)), size=snap.size) for snap in users]


def _ordered(entries: list[Entry], name: str) -> list[Entry]:
    """As they are listed; a list that says otherwise itself is refused: its order is what pairs are made by."""
    dated = [entry.snapshot for entry in entries if entry.snapshot.created is not None]
    for one, other in itertools.pairwise(dated):
        if one.created > other.created:  # type: ignore[operator]
            raise InvalidInput(
                f"{name} is not in order: {one.name!r} was created after {other.name!r}, which follows it; "
                "the oldest comes first"
            )
    return entries
