"""Pairs in order: what an incremental chain of one volume is made of, and what the next run has to send. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.pairs.match import check
from blockdiff.snapshot import SnapshotPair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.pairs.match import Comparison, Match
    from blockdiff.snapshot import Snapshot


class Steps(NamedTuple):
    """What is to be sent, in order: each pair's base is what the one before it has brought.

    ``base`` is the newest that both sides have; None if the target has no snapshot, so that the first pair is
    everything. ``refusal`` says why nothing can be sent; ``held_back`` are snapshots that cannot be sent because the
    target has something else, or something unproven, of their name. ``ahead`` are snapshots of the target that are
    newer than its base: it is to be rolled back to the base first, or it has been written to for good.
    """

    base: Match | None
    pairs: tuple[SnapshotPair, ...]
    refusal: str = ""
    held_back: tuple[Snapshot, ...] = ()
    ahead: tuple[Snapshot, ...] = ()


def increments(snapshots: Sequence[Snapshot]) -> tuple[SnapshotPair, ...]:
    """Nothing to the first, the first to the second, and so on, in the order given: that of the storage."""
    check(snapshots)
    bases = [None, *snapshots]
    return tuple(SnapshotPair(base, target) for base, target in zip(bases, snapshots, strict=False))


def next_steps(
    source: Sequence[Snapshot], target: Sequence[Snapshot], compared: Comparison, base: Match | None = None
) -> Steps:
    """What brings the target from the best common base, or another match, to the newest snapshot of the source.

    ``compared`` is ``compare(source, target)``. Older snapshots that the target lacks cannot be sent any more.
    """
    base = base or compared.base
    if base is None:
        if not target:
            return Steps(None, increments(source))
        return Steps(None, (), "nothing proves that the target has a snapshot of the source")
    doubtful = {doubt.source for doubt in (*compared.conflicts, *compared.unproven)}
    newer = source[_place(source, base.source) + 1 :]
    sent = [snapshot for snapshot in newer if snapshot not in doubtful]
    return Steps(
        base,
        tuple(SnapshotPair(*pair) for pair in zip([base.source, *sent], sent, strict=False)),
        held_back=tuple(snapshot for snapshot in newer if snapshot in doubtful),
        ahead=tuple(target[_place(target, base.target) + 1 :]),
    )


def _place(snapshots: Sequence[Snapshot], wanted: Snapshot) -> int:
    """Where it is: the last one of several that are equal in every word."""
    return len(snapshots) - 1 - next(n for n, snapshot in enumerate(reversed(snapshots)) if snapshot == wanted)
