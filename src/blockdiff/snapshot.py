"""Snapshots and pairs of them: what a source is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class Snapshot(NamedTuple):
    """One point in time of a volume, in the words of its storage.

    ``id`` is its handle at its storage, if it has one; never the same for two snapshots of one volume.
    ``created`` is the instant its storage states, with a time zone; None if it states none.
    ``content`` names what it holds: equal only if the content is, on any storage. Empty is unknown, not equal.
    """

    volume: str
    name: str
    id: str = ""
    created: datetime | None = None
    content: str = ""

    def __str__(self) -> str:
        return f"{self.volume}@{self.name}"


class SnapshotPair(NamedTuple):
    """What changed from ``base`` to ``target``; without a base, what is allocated in ``target``."""

    base: Snapshot | None
    target: Snapshot

    def __str__(self) -> str:
        return f"{self.base} -> {self.target}" if self.base else str(self.target)
