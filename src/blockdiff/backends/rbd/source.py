"""What changed between two snapshots of an image, and what is allocated in one: the source of block metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Extents
from blockdiff.backends.rbd import decide
from blockdiff.backends.rbd.changes import two_level
from blockdiff.backends.rbd.opening import open_image
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.backends.rbd.device import RbdDevice


class TrackedChanges:
    """Iterate it for ascending batches of changed extents, DATA and ZERO.

    ``method`` says how they are known, ``fallback`` why not by the fast way, ``warnings`` what else is to be told.
    """

    def __init__(self, method: str, fallback: str, batches: Iterator[Extents], warnings: list[str]) -> None:
        self.method, self.fallback, self.warnings = method, fallback, warnings
        self._batches = batches

    def __iter__(self) -> Iterator[Extents]:
        return self._batches


def changes_between(base: RbdDevice, target: RbdDevice, start: int, end: int, method: str = "auto") -> TrackedChanges:
    """Every byte of ``[start, end)`` of ``target`` that differs from ``base``, an older snapshot of the same image,
    lies in these extents. What the target has beyond the end of its base is changed (zero where nothing was
    written).

    ``method`` is auto, fast-diff or byte. Raises UnsupportedOperation for a fast-diff that would not be safe.
    """
    decide.refuse_order(base.snap, target.snap)
    assert base.snap is not None
    chosen = decide.choose(method, "" if method == "byte" else _refusal(base, target))
    question = target.question(base.snap.name)
    stop = min(end, target.size)
    if chosen.method == "fast-diff":
        found = two_level(question, start, stop, target.period)
    else:
        found = question.bytes_of([Extents([(start, stop - start)])] if stop > start else [])
    warnings = []
    if base.size != target.size:
        warnings.append(f"the sizes differ: {base.url} has {base.size} bytes, {target.url} has {target.size}")
    return TrackedChanges(chosen.method, chosen.why, _with_growth(found, max(start, base.size), stop), warnings)


def _with_growth(found: Iterator[Extents], start: int, end: int) -> Iterator[Extents]:
    from blockdiff.engine.stream import union

    return union(found, [Extents([(start, end - start, Kind.ZERO)])] if end > start else [])


def _refusal(base: RbdDevice, target: RbdDevice) -> str:
    """Why the object maps of these snapshots, and of those between them, cannot be asked."""
    snaps, features = target.all_snapshots(), target.facts["features"]
    why = decide.refusal(snaps, base.snap, target.snap, target.size, features, ())
    if why:
        return why
    assert base.snap is not None
    asked = [base.snap.id, *(snap.id for snap in decide.between(snaps, base.snap, target.snap))]
    flags = [target.facts["flags"], *_flags(target, asked)]
    return decide.refusal(snaps, base.snap, target.snap, target.size, features, flags)


def _flags(device: RbdDevice, snaps: list[int]) -> list[int]:
    """The flags of snapshots, by a handle of its own: setting a snapshot would change what others read."""
    from blockdiff.backends.rbd.device import _by_id

    other = open_image(_by_id(device).at(""))
    try:
        flags = []
        for snap in snaps:
            other.image.set_snap(snap)
            flags.append(other.image.facts()["flags"])
        return flags
    finally:
        other.image.close()
