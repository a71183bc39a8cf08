"""Which blocks changed between two states of a volume, of which one or both are known by a manifest only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Extents, Merge, combine_table
from blockdiff.engine.manifest.manifest import Manifest
from blockdiff.engine.manifest.verify import METHOD, ManifestVerification
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.plan import known_extents, whole
from blockdiff.engine.stream import coalesce
from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.device import Device
    from blockdiff.engine.progress import Progress

METHODS = ("auto", "content")
_CHANGED = combine_table(lambda kind, _: Kind.ZERO if kind == Kind.DST_ZERO else Kind.DATA)
_BEYOND = combine_table(lambda kind, _: Kind.DATA if kind == Kind.DATA else Kind.ZERO)


class ManifestDiff:
    """The changed extents of ``target`` against ``base``, whole blocks, used like a Diff.

    What the target has beyond its base is changed. Raises InvalidInput, UnsupportedOperation, DeviceError.
    """

    method = METHOD
    fallback = better = ""

    def __init__(
        self,
        base: Device | Manifest,
        target: Device | Manifest,
        *,
        method: str = "auto",
        require: str | None = None,
        options: ReadOptions | None = None,
        offset: int = 0,
        length: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        for name in (method, require):
            if name not in (None, *METHODS):
                raise UnsupportedOperation(f"the method {name} compares two devices, and one of these is a manifest")
        self._options = options or ReadOptions()
        if self._options.keep_going:
            raise InvalidInput("a list of changes cannot go on after an unreadable range: a change could be left out")
        self._base, self._target, self._offset, self._length = base, target, offset, length
        self.run = ManifestVerification(
            base,
            target,
            options=self._options,
            size="ignore",
            offset=offset,
            length=length,
            progress=progress,
            command="diff",
        )
        self.warnings: list[str] = []
        self.changed_bytes = 0

    def records(self) -> Iterator[Record]:
        """The changed extents, one record a batch; capacity is the target's size."""
        given = False
        for batch in self._batches():
            if len(batch):
                given = True
                self.changed_bytes += batch.total()
                yield Record(BlockMetadataType.VARIABLE_LENGTH, self._target.size, batch)
        if not given:  # an empty list still says whose it is
            yield Record(BlockMetadataType.VARIABLE_LENGTH, self._target.size, Extents())

    def _batches(self) -> Iterator[Extents]:
        yield from coalesce(part for found in self.run for part in Merge((found,), (), _CHANGED))
        self.warnings += self.run.report.warnings
        start = max(self._base.size, self._offset)
        end = self._target.size if self._length is None else min(self._target.size, self._offset + self._length)
        if end <= start:
            return
        if isinstance(self._target, Manifest):
            yield from self._known(self._target, start, end)
        else:
            yield from Merge(known_extents(self._target, start, end), (), _BEYOND)

    def _known(self, target: Manifest, start: int, end: int) -> Iterator[Extents]:
        """What a manifest knows of a range: the blocks that are not zeroes, and the others."""
        block = target.block_size
        first = start // block
        stored = (
            Extents([(node * block, count * block, Kind.DATA)])
            for node, count in target.stored(first, -(-end // block) - first)
        )
        table = combine_table(lambda _, kind: Kind.ZERO if kind is None else Kind.DATA)
        for batch in Merge(whole(start, end), stored, table):
            if len(part := batch.clip(start, end)):
                yield part
