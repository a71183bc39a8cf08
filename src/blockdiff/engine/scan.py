"""What is allocated in one image, and what of it is zero: two different facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import SEG_MAP, SEG_SKIP_HOLE, Extents, Merge, combine_table
from blockdiff.engine.compare import Comparison, check_unchanged
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.plan import known_allocation, known_extents
from blockdiff.engine.verify import span
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.device import Device
    from blockdiff.engine.progress import Progress

_SCAN = combine_table(lambda kind, _: SEG_MAP if kind == Kind.DATA else SEG_SKIP_HOLE)
_FACTS = combine_table(lambda mapped, scanned: mapped if scanned is None or mapped != Kind.DATA else scanned)


class Map:
    """The extents of an image as records: data, zero (allocated and reads as zeroes) and, with ``holes``, hole.

    Without ``zeroes`` nothing is read and only metadata tells what is zero; with it all data is scanned for blocks of
    zeroes at the granularity. ``bytes_by_kind`` is complete when the records have been consumed.
    """

    def __init__(
        self,
        image: Device,
        *,
        zeroes: bool = False,
        holes: bool = False,
        options: ReadOptions | None = None,
        offset: int = 0,
        length: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._image, self._zeroes, self._holes = image, zeroes, holes
        self._options, self._progress = options or ReadOptions(), progress
        self._start, self._end = span(offset, length, image, image)
        self.method = "metadata+scan" if zeroes else "metadata"
        self.bytes_by_kind: dict[str, int] = {}
        self.warnings: list[str] = []
        self.run: Comparison | None = None

    def records(self) -> Iterator[Record]:
        """Records of ascending extents."""
        given = False
        for batch in self._batches():
            for kind, count in batch.totals().items():
                label = Kind(kind).label
                self.bytes_by_kind[label] = self.bytes_by_kind.get(label, 0) + count
            shown = batch if self._holes else batch.only(Kind.DATA, Kind.ZERO)
            if len(shown):
                given = True
                yield Record(BlockMetadataType.VARIABLE_LENGTH, self._image.size, shown)

        if not given:  # an empty list still says whose it is
            yield Record(BlockMetadataType.VARIABLE_LENGTH, self._image.size, Extents())

    def _batches(self) -> Iterator[Extents]:
        if not self._zeroes:
            yield from self._allocation()
            check_unchanged(self._image, warnings=self.warnings)
            if note := getattr(self._image, "map_note", ""):
                self.warnings.append(f"{self._image.url}: {note}")
            return
        plan = Merge(known_extents(self._image, self._start, self._end), (), _SCAN)
        self.run = Comparison(
            self._image,
            None,
            plan,
            start=self._start,
            end=self._end,
            options=self._options,
            command="map",
            method=self.method,
            progress=self._progress,
        )
        yield from Merge(self._allocation(), self.run, _FACTS)
        self.warnings += self.run.report.warnings

    def _allocation(self) -> Iterator[Extents]:
        return known_allocation(self._image, self._start, self._end)
