"""Which snapshots there are: a directory of files, or the snapshots of volumes that a URL scheme opens."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from blockdiff.csi.provider.directory import Directory
from blockdiff.engine.registry import backend, open_device
from blockdiff.errors import InvalidInput, SnapshotNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.engine.device import Device

_SOURCE = re.compile(r"(?:(?P<name>[A-Za-z0-9][\w.-]*)=)?(?P<scheme>[a-z][a-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)

_NAMES = "of several sources each needs a name: NAME=dir:PATH"


class Source(Protocol):
    """Opens snapshots by id."""

    def open(self, snapshot: str) -> Device:
        """The snapshot, for reading. Raises SnapshotNotFound for whatever is no snapshot of this source."""

    def volume(self, snapshot: str) -> str:
        """Whose snapshot it is; empty where nothing is known about that."""

    def ready(self) -> bool:
        """False when nothing can be opened now."""


class Volumes:
    """Snapshots of volumes behind a URL scheme: an id is VOLUME@SNAPSHOT, opened as ``SCHEME:WHERE/VOLUME@SNAPSHOT``.

    ``where`` is what stands before the volume (a pool), ``query`` what stands behind it (``conf=...``). Raises
    InvalidInput for a scheme that is unknown, or whose devices are no snapshots.
    """

    def __init__(self, scheme: str, where: str, query: str = "") -> None:
        if not getattr(backend(scheme), "SNAPSHOTS", False):
            raise InvalidInput(f"{scheme}: has no snapshots to serve: use dir:PATH for files")
        if not where or where.endswith("/") or "@" in where:
            raise InvalidInput(f"{scheme}:{where} is no source: write {scheme}:POOL[/NAMESPACE]")
        self._scheme, self._where, self._query = scheme, where, query

    def open(self, snapshot: str) -> Device:
        from urllib.parse import quote

        volume, at, name = snapshot.partition("@")
        # a slash would name another pool, a second @ is none of any name
        if not (volume and at and name) or "/" in snapshot or "@" in name or "\0" in snapshot:
            raise SnapshotNotFound(f"there is no snapshot {snapshot!r}: ids are VOLUME@SNAPSHOT")
        query = f"?{self._query}" if self._query else ""
        return open_device(f"{self._scheme}:{self._where}/{quote(volume, safe='')}@{quote(name, safe='')}{query}")

    def volume(self, snapshot: str) -> str:
        return snapshot.partition("@")[0]

    def ready(self) -> bool:
        return True


class Place(NamedTuple):
    """A source, and the id of a snapshot in it; ``name`` is that of the source."""

    name: str
    source: Source
    snapshot: str


class Catalog:
    """The sources of a server. The ids of a source with a name begin with ``NAME/``.

    One source may have no name if it is the only one. Raises InvalidInput.
    """

    def __init__(self, sources: Iterable[tuple[str, Source]]) -> None:
        self._sources: dict[str, Source] = {}
        for name, source in sources:
            if name in self._sources:
                raise InvalidInput(f"two sources have the name {name!r}" if name else _NAMES)
            self._sources[name] = source
        if not self._sources:
            raise InvalidInput("there is no source to serve")
        if "" in self._sources and len(self._sources) > 1:
            raise InvalidInput(_NAMES)

    def find(self, snapshot_id: str) -> Place:
        """Where a snapshot would be. SnapshotNotFound if no source has such a name."""
        if "" in self._sources:
            return Place("", self._sources[""], snapshot_id)
        name, _, rest = snapshot_id.partition("/")
        if name not in self._sources:
            raise SnapshotNotFound(f"there is no snapshot {snapshot_id!r}: no source has that name")
        return Place(name, self._sources[name], rest)

    def ready(self) -> bool:
        """False when one of the sources cannot open anything now."""
        return all(source.ready() for source in self._sources.values())


def parse_source(text: str) -> tuple[str, Source]:
    """``[NAME=]dir:PATH`` or ``[NAME=]SCHEME:WHERE[?OPTIONS]``. Raises InvalidInput."""
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is no source: write [NAME=]dir:PATH or [NAME=]rbd:POOL[/NAMESPACE][?conf=FILE]")
    name, scheme, rest = match["name"] or "", match["scheme"], match["rest"]
    if scheme == "dir":
        if not rest:
            raise InvalidInput(f"{text!r} names no directory")
        return name, Directory(os.path.abspath(rest))
    where, _, query = rest.partition("?")
    return name, Volumes(scheme, where, query)


def parse_sources(texts: Iterable[str]) -> Catalog:
    """A catalog of sources as people write them. Raises InvalidInput."""
    return Catalog([parse_source(text) for text in texts])
