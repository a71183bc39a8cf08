"""What an image changed against one of its own backing files: nothing but what the files above that one allocate.

A backing file is known by what it is (device and inode), its format and all the files below it, never by its name. Both
sides read the same base, so what was written to it after the overlay was made is in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import Merge, combine_table
from blockdiff.engine.plan import known_extents
from blockdiff.errors import UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents
    from blockdiff.backends.image.device import ImageDevice
    from blockdiff.backends.image.plain import PlainDevice
    from blockdiff.engine.device import Device

METHOD = "chain"
_KINDS = (Kind.DATA, Kind.ZERO, Kind.HOLE)
_CHANGED = combine_table(
    lambda mark, kind: None if mark is None else Kind.DATA if kind in (Kind.DATA, None) else Kind.ZERO, (0,), _KINDS
)
_BEYOND = combine_table(lambda kind, _: Kind.DATA if kind == Kind.DATA else Kind.ZERO)


class ChainChanges:
    """Iterate it for ascending batches of extents, DATA and ZERO; every byte that differs from ``base`` lies inside.

    What the image has beyond the end of its base, or beyond the end of a file between the two, is changed.
    """

    method = METHOD
    fallback = ""

    def __init__(self, target: ImageDevice, base: Device, start: int, end: int) -> None:
        place = _place(target, base)
        if place < 1:
            raise UnsupportedOperation(f"the method {METHOD} cannot be used: {refusal(target, base)}")
        self._target, self._place = target, place
        self._start, self._end = start, min(end, target.size)
        # Where a file between the two ends, the image reads as zeroes, whatever its base has there.
        known = min(base.size, *(size for *_, size in target.layers[1:place]), self._end)
        self._known = max(start, min(known, self._end))
        self.warnings: list[str] = []
        if base.size != target.size:
            self.warnings.append(f"the sizes differ: {base.url} has {base.size} bytes, {target.url} has {target.size}")

    def __iter__(self) -> Iterator[Extents]:
        for batch in self._target.depths(self._start, self._known):
            above = _above(batch, self._place)
            if len(above):
                yield from Merge((above,), known_extents(self._target, above.start, above.end), _CHANGED)
        if self._end > self._known:
            yield from Merge(known_extents(self._target, self._known, self._end), (), _BEYOND)


def refusal(target: ImageDevice | PlainDevice, base: Device) -> str | None:
    """Why the files of the chain do not tell; None where they do."""
    place = _place(target, base)
    if place > 0:
        return None
    keys = [key for key, *_ in target.layers]
    if getattr(base, "image_snapshot_id", str)():
        return f"{base.url} is a snapshot inside an image, and no backing file"
    if place == 0 or _key(base) == keys[0]:
        return f"{base.url} is the same image"
    if _key(base) in keys:
        return f"{base.url} is a backing file of {target.url}, but is read in another way there (as another format)"
    return f"{base.url} is no backing file of {target.url}"


def _place(target: ImageDevice | PlainDevice, base: Device) -> int:
    """How far below the image the base is, 1 for its own backing file; -1 where it is nowhere."""
    if getattr(base, "image_snapshot_id", str)():
        return -1
    own = getattr(base, "layers", None)
    files = [(key, kind) for key, kind, _ in own] if own is not None else [(_key(base), "raw")]
    chain = [(key, kind) for key, kind, _ in target.layers]
    for place in range(len(chain)):
        if chain[place:] == files:
            return place
    return -1


def _key(base: Device) -> Any:
    own = getattr(base, "layers", None)
    return own[0][0] if own is not None else getattr(base, "identity", None)


def _above(batch: Extents, place: int) -> Extents:
    """The extents that a file above the base has.

    Depths from 32 on are all told as 32: where the base is deeper than that, they count as above it, to be safe.
    """
    kinds = [kind for kind in batch.totals() if 1 <= kind <= place]
    return batch.only(*kinds).with_kind(Kind.DATA).coalesce() if kinds else batch[:0]
