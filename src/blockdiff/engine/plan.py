"""What has to be read, decided from metadata alone and streamed in bounded memory.

A plan is a stream of Extents whose kinds are the SEG_* actions of the native core. Two maps are walked together: where
both sides are known to read as zeroes nothing is read; where one is, only the other side is scanned for data; ranges
that share physical storage are equal by construction. Boundaries are moved to the granularity, inwards for everything
that is skipped, so that the findings are the same whatever the holes were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import (
    SEG_COMPARE,
    SEG_DST_HOLE,
    SEG_MARK,
    SEG_SKIP_HOLE,
    SEG_SKIP_SHARED,
    SEG_SRC_HOLE,
    SET_TABLES,
    Extents,
    Merge,
    combine_table,
)
from blockdiff.engine.stream import align, clip
from blockdiff.errors import SourceError
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.engine.device import Device


def _action(src: int | None, dst: int | None) -> int | None:
    """What two facts about a range ask for. A fact that is missing promises nothing: the range is read."""
    src_zero, dst_zero = src in (Kind.ZERO, Kind.HOLE), dst in (Kind.ZERO, Kind.HOLE)
    if src_zero and dst_zero:
        return SEG_SKIP_HOLE
    if src_zero:
        return SEG_SRC_HOLE
    if dst_zero:
        return SEG_DST_HOLE
    return SEG_COMPARE


def _strict_action(src: int | None, dst: int | None) -> int | None:
    """The same where a hole and allocated zeroes are two things."""
    if src == dst and src in (Kind.ZERO, Kind.HOLE):
        return SEG_SKIP_HOLE
    return SEG_SRC_HOLE if src == Kind.HOLE else SEG_DST_HOLE if dst == Kind.HOLE else SEG_COMPARE


_FACTS = (Kind.DATA, Kind.ZERO, Kind.HOLE)
_SEGMENTS = range(SEG_SKIP_SHARED + 1)
_ACTIONS = combine_table(_action, _FACTS, _FACTS)
# a granule that holds data and a hole is read: here that means scanned, for there is no other side to compare it with
_TO_SCAN = combine_table(lambda seg, _: SEG_DST_HOLE if seg == SEG_COMPARE else seg, _SEGMENTS, ())
_RESERVED = combine_table(
    lambda kind, unwritten: Kind.ZERO if kind == Kind.HOLE and unwritten is not None else kind, range(3), range(3)
)
_SHARED = combine_table(lambda seg, shared: seg if shared is None or seg is None else SEG_SKIP_SHARED, _SEGMENTS)


def known_extents(device: Device, start: int, end: int) -> Iterator[Extents]:
    """The device's map of ``[start, end)``, proved to be one: a range that a map forgot would never be read.

    Raises SourceError where the map has a gap, overlaps, or says something that is no fact.
    """
    return _proved(device.extents(start, end - start), device.url, start, end)


def _proved(batches: Iterable[Extents], url: str, start: int, end: int) -> Iterator[Extents]:
    at = start
    for batch in batches:
        if not len(batch):
            continue
        if batch.start != at or batch.gaps() or batch.end > end or any(kind not in _FACTS for kind in batch.totals()):
            raise SourceError(f"the map of {url} is broken between {at} and {batch.end}: it must cover every byte once")
        at = batch.end
        yield batch
    if at < end:
        raise SourceError(f"the map of {url} ends at {at}, before {end}")


def known_cheaply(device: Device, start: int, end: int) -> Iterator[Extents]:
    """The map where digests will be asked for all that may be data: no dearer question is put before."""
    cheap = getattr(device, "digest_extents", device.extents)
    return _proved(cheap(start, end - start), device.url, start, end)


def known_allocation(device: Device, start: int, end: int) -> Iterator[Extents]:
    """The map, with storage that is allocated but was never written (ZERO) told from holes where the device can."""
    unwritten = getattr(device, "unwritten", None)
    reserved = () if unwritten is None else unwritten(start, end - start)
    return iter(Merge(known_extents(device, start, end), reserved, _RESERVED))


def whole(start: int, end: int) -> list[Extents]:
    """One data extent: all that can be said of a device that tells nothing."""
    return [Extents([(start, end - start)])] if end > start else []


def plan_compare(
    source: Device,
    target: Device,
    start: int,
    end: int,
    *,
    granularity: int,
    shared: Iterable[Extents] = (),
    only: Iterable[Extents] | None = None,
    mark: Iterable[Extents] | None = None,
    strict: bool = False,
    digests: bool = False,
) -> Iterator[Extents]:
    """The plan for comparing ``[start, end)`` of two devices.

    ``shared``: ranges of equal physical storage; ``only``: nothing else is judged; ``mark``: these ranges get SEG_MARK
    and granules are cut at their boundaries; ``strict``: holes are told from zeroes, and granules are cut where they
    begin and end; ``digests``: what may be data will be asked for digests before it is read.
    """
    actions = combine_table(_strict_action, _FACTS, _FACTS) if strict else _ACTIONS
    known = known_allocation if strict else known_cheaply if digests else known_extents
    maps = Merge(known(source, start, end), known(target, start, end), actions)
    plan: Iterator[Extents] = Merge(maps, shared, _SHARED) if shared else iter(maps)
    if not strict:
        plan = clip(align(plan, granularity, limit=end), start, end)
    if only is not None:
        plan = iter(Merge(plan, only, SET_TABLES["intersect"]))
    if mark is not None:
        plan = iter(Merge(plan, mark, _marked()))
    return plan


def plan_against_zero(
    source: Device, start: int, end: int, *, granularity: int, mark: Iterable[Extents] | None = None
) -> Iterator[Extents]:
    """The plan for comparing ``[start, end)`` of one device with zeroes: its data is scanned, its holes are not."""
    known = combine_table(lambda kind, _: SEG_DST_HOLE if kind == Kind.DATA else SEG_SKIP_HOLE, _FACTS, ())
    aligned = align(Merge(known_extents(source, start, end), (), known), granularity, limit=end)
    plan = clip(Merge(aligned, (), _TO_SCAN), start, end)
    return plan if mark is None else iter(Merge(plan, mark, _marked()))


def _marked() -> bytes:
    return combine_table(lambda seg, listed: seg if listed is None or seg is None else seg + SEG_MARK, _SEGMENTS)
