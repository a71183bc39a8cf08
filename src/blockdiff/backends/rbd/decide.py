"""Which way of asking librbd for changes is safe between two snapshots, and why. Pure.

``byte``: the OSDs are asked object by object what changed: right always, and slow on big images.
``fast-diff``: the object maps say first which objects exist, or went, then only those are asked: the same extents, a
hundred times faster on thin images. Two things forbid it. Object maps may be absent or invalid. And librbd's
whole-object diff **leaves changes out** when a snapshot between the two is smaller than both: what that one cut off
and later grew again is not told. (It also leaves changes out after a rollback; see ``changes.Question.whole``.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.backends.rbd.opening import Snap

OBJECT_MAP, FAST_DIFF = 1 << 3, 1 << 4  # features of an image (librbd: features.h)
MIGRATING = 1 << 9
OBJECT_MAP_INVALID, FAST_DIFF_INVALID = 1, 2  # flags of a head or snapshot (librbd.h)
METHODS = ("fast-diff", "byte")
HEAD = 1 << 63  # stands for the head where snapshot ids are compared: it is newer than all


class Choice(NamedTuple):
    """``method`` is fast-diff or byte; ``why`` says why it is not the fast one, empty where it is."""

    method: str
    why: str


def refuse_order(base: Snap | None, target: Snap | None) -> None:
    """The base must be the older one, and the head has no older self. InvalidInput."""
    if base is None:
        raise InvalidInput(
            "the base is the head of an image, which is newer than all snapshots: name a snapshot as BASE"
        )
    if target is not None and target.id < base.id:
        raise InvalidInput(
            f"the base @{base.name} is newer than the target @{target.name}: write the older one first "
            "(--method content compares them in any order, by reading)"
        )


def untracked(features: int) -> str:
    """Why metadata says nothing at all about changes; empty where it does."""
    if features & MIGRATING:
        return "the image is being migrated, and what was not moved yet has no history there"
    return ""


def between(snaps: Iterable[Snap], base: Snap | None, target: Snap | None) -> list[Snap]:
    """The snapshots strictly between the two, of whatever namespace: each of them has an object map."""
    low, high = 0 if base is None else base.id, HEAD if target is None else target.id
    return [snap for snap in snaps if low < snap.id < high]


def refusal(
    snaps: Iterable[Snap], base: Snap | None, target: Snap | None, target_size: int, features: int, flags: Iterable[int]
) -> str:
    """Why the object maps cannot be asked; empty when they can. ``flags`` are those of all the snapshots concerned."""
    if not features & FAST_DIFF:
        return "the image has no fast-diff feature"
    if any(flag & (OBJECT_MAP_INVALID | FAST_DIFF_INVALID) for flag in flags):
        return "an object map is invalid (rbd object-map rebuild makes it anew, for the head and each snapshot)"
    if base is None:
        return ""
    limit = min(base.size, target_size)
    for snap in between(snaps, base, target):
        if snap.size < limit:
            return (
                f"the snapshot @{snap.name} in between is smaller than both, "
                "and librbd's whole-object diff would miss changes"
            )
    return ""


def choose(asked: str, why: str) -> Choice:
    """``asked`` is auto or one of METHODS, ``why`` the refusal of the fast one. UnsupportedOperation for a demand."""
    if asked == "byte":
        return Choice("byte", "")
    if not why:
        return Choice("fast-diff", "")
    if asked == "fast-diff":
        raise UnsupportedOperation(f"the method fast-diff cannot be used: {why}")
    return Choice("byte", why)
