"""Snapshots and pairs of them: what a source is asked about."""

from __future__ import annotations

from typing import NamedTuple


class Snapshot(NamedTuple):
    """One point in time of a volume, in the words of its storage; ``id`` is its handle, if it has one."""

    volume: str
    name: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.volume}@{self.name}"


class SnapshotPair(NamedTuple):
    """What changed from ``base`` to ``target``; without a base, what is allocated in ``target``."""

    base: Snapshot | None
    target: Snapshot

    def __str__(self) -> str:
        return f"{self.base} -> {self.target}" if self.base else str(self.target)
