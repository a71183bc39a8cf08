"""Whether a snapshot is due now. One that was missed is made up for once, at any time of its window."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.cinder.policy.snapshot import KIND, SnapshotMetadata, StoredSnapshot, snapshot_name
from blockdiff.cinder.policy.value import TIME
from blockdiff.cinder.policy.window import Window, window_of
from blockdiff.schedule.civil import add_date

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from blockdiff.cinder.policy.model import Policy

GOOD = frozenset({"available", "backing-up", "restoring"})
CREATING = "creating"


class Evaluation(NamedTuple):
    """``metadata`` is what the snapshot is to have, if there should be one; ``window`` is None if nobody asks."""

    should_snapshot: bool
    reason: str
    window: Window | None = None
    metadata: SnapshotMetadata | None = None


class Latest(NamedTuple):
    """The newest snapshot that counts, and in words what is wrong with others."""

    snapshot: StoredSnapshot | None
    told: tuple[str, ...]


def evaluate(policy: Policy, now: dt.datetime, last: StoredSnapshot | None = None) -> Evaluation:
    """Whether a snapshot is due; ``last`` is the newest one of this kind of policy and this volume (see ``latest``)."""
    if not policy.enabled:
        noun = "policy" if policy.kind == "express" else "Policy"
        return Evaluation(False, f"{policy.kind.title()} Snapshot {noun} is disabled")
    window = window_of(policy, now)
    if last is not None and _belongs(last, window, policy):
        created = last.created.astimezone(policy.zone)
        reason = f"Snapshot already exists in active window (ID: {last.id} created at {created:%Y-%m-%d %H:%M})"
        return Evaluation(False, reason, window)
    reason = "Snapshot Window is active and no existing snapshot found."
    return Evaluation(True, reason, window, metadata_for(policy, window))


def metadata_for(policy: Policy, window: Window) -> SnapshotMetadata:
    """What the snapshot of a window is to say. It expires days after the window's start; by count it has no date."""
    expiry = add_date(window.start, days=policy.retention) if policy.retention_type == TIME else None
    return SnapshotMetadata(policy.kind, policy.retention, expiry, policy.retention_type)


def latest(snapshots: Iterable[StoredSnapshot], volume: str, kind: str) -> Latest:
    """The newest snapshot of a volume and a kind of policy, whatever the order of the list.

    One that is being made counts, so that it is not made twice. Those that failed or are going away do not.
    """
    newest: StoredSnapshot | None = None
    told = []
    for one in snapshots:
        if one.volume != volume or kind_of_snapshot(one) != kind:
            continue
        status = one.status.lower()
        if status not in GOOD:
            told.append(f"snapshot {one.id} of {one.created.isoformat()}: its state is {one.status}")
        if status in GOOD or status == CREATING:
            later = newest is None or (one.created, one.id) > (newest.created, newest.id)
            newest = one if later else newest
    return Latest(newest, tuple(told))


def kind_of_snapshot(snapshot: StoredSnapshot) -> str:
    """The kind of policy that a snapshot says it is of; empty if it says none."""
    return next((text for key, text in snapshot.metadata.items() if key.lower() == KIND), "")


def _belongs(last: StoredSnapshot, window: Window, policy: Policy) -> bool:
    """By the time, or by the name: the clocks of Cinder may be behind."""
    return last.created in window or last.name == snapshot_name(policy.kind, last.volume, window.start)
