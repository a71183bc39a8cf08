"""From differences to what is journalled and written at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff._fast import Aligner, Extents, split_plan
from blockdiff.engine.repair.layout import SECTOR
from blockdiff.engine.stream import concatenate
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.engine.device import Device

BATCH_BYTES = 8 << 20
BATCH_RANGES = 4096
_CONTENT = (Kind.DIFF_DATA, Kind.SRC_ZERO, Kind.DST_ZERO, Kind.BIT_FLIP)


class Pieces(NamedTuple):
    """A batch: ``whole`` is whole blocks of the device, ``wanted`` the bytes in them that are to be changed."""

    whole: Extents
    wanted: Extents


def block_of(device: Device) -> int:
    """The bytes that a device is written in, at least a sector."""
    block = device.block_size
    return block if block >= SECTOR and not block & (block - 1) else SECTOR


def pieces(differences: Iterable[Extents], device: Device) -> Iterator[Pieces]:
    """Batches of bounded size over all differences in content, which ascend."""
    aligner = Aligner(block_of(device), device.size)
    held: list[Extents] = []
    for found in differences:
        batch = found.only(*_CONTENT).with_kind(Kind.DATA).coalesce()
        if len(batch):
            held.append(batch)
            yield from _split(aligner.feed(batch), held)
    yield from _split(aligner.finish(), held)


def _split(whole: Extents, held: list[Extents]) -> Iterator[Pieces]:
    """Cuts what is settled into batches; ``held`` keeps the differences that are not."""
    if not len(whole):
        return
    wanted = concatenate(held)
    held[:] = [rest] if len(rest := wanted.clip(whole.end, 1 << 62)) else []
    for part in split_plan(whole, BATCH_BYTES, BATCH_RANGES):
        yield Pieces(part, wanted.clip(part.start, part.end))
