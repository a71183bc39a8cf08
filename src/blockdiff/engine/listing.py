"""What a source of block metadata lists, where a diff or a map of devices is asked for: no data is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents, Template, format_extents
from blockdiff.engine.registry import open_source
from blockdiff.engine.source import ordered
from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Self

    from blockdiff.engine.source import Source
    from blockdiff.snapshot import SnapshotPair


CBT = "cbt"
_TUPLE = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")


class Listing:
    """The extents of a pair of snapshots as a source knows them, inside ``[offset, offset + length)``.

    It has what Diff and Map have: ``records()``, ``method``, ``changed_bytes``, ``bytes_by_kind``, ``warnings``.
    Every stream passes the guard. A window makes the records VARIABLE_LENGTH, as it may cut an extent. With ``holes``
    what is not listed is a hole.
    """

    run: Any = None
    fallback = better = ""

    def __init__(
        self,
        source: Source,
        pair: SnapshotPair,
        *,
        offset: int = 0,
        length: int | None = None,
        holes: bool = False,
    ) -> None:
        if offset < 0 or (length is not None and length < 0):
            raise InvalidInput("an offset or a length is negative")
        self._source, self._pair = source, pair
        self._start, self._end = offset, None if length is None else offset + length
        self._holes = holes
        self.capacity = 0
        self.bytes_by_kind: dict[str, int] = {}

    @property
    def method(self) -> str:
        """How the source knows, such as ``cbt``."""
        return self._source.method

    @property
    def warnings(self) -> list[str]:
        """What the source has to say beside the extents."""
        return list(getattr(self._source, "warnings", ()))

    @property
    def changed_bytes(self) -> int:
        """All bytes listed so far."""
        return sum(self.bytes_by_kind.values())

    def records(self) -> Iterator[Record]:
        """Records as the source makes them; a list is whole only when this ends well."""
        given, at = False, self._start
        for record in ordered(self._source.records(self._pair, start=self._start)):
            self.capacity = record.capacity
            if self._is_behind(record):
                break
            shown = self._shown(record)
            if self._holes and len(shown.extents):
                shown = shown._replace(extents=_with_holes(shown.extents, at))
                at = shown.extents.end
            given = True
            self._count(shown.extents)
            yield shown
        end = min(self.capacity, self.capacity if self._end is None else self._end)
        rest = Extents([(at, end - at, Kind.HOLE)] if self._holes and end > at else [])
        if len(rest) or not given:  # an empty list still says whose it is
            self._count(rest)
            yield Record(BlockMetadataType.VARIABLE_LENGTH, self.capacity, rest)

    def _is_behind(self, record: Record) -> bool:
        return self._end is not None and len(record.extents) > 0 and record.extents.start >= self._end

    def _shown(self, record: Record) -> Record:
        """The part inside the window."""
        if not self._start and self._end is None and not self._holes:
            return record
        end = max(record.extents.end, self._start) if self._end is None else self._end
        return Record(BlockMetadataType.VARIABLE_LENGTH, record.capacity, record.extents.clip(self._start, end))

    def _count(self, extents: Extents) -> None:
        for kind, count in extents.totals().items():
            label = Kind(kind).label
            self.bytes_by_kind[label] = self.bytes_by_kind.get(label, 0) + count

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _with_holes(extents: Extents, start: int) -> Extents:
    return extents.union(Extents([(start, extents.end - start, Kind.HOLE)]))


def spool(listing: Listing, file: BinaryIO) -> None:
    """Writes the whole listing as JSON of the Kubernetes lister, so that it can be read more than once."""
    for number, record in enumerate(listing.records()):
        facts = (b"," if number else b"[", int(record.type), record.capacity)
        file.write(b'%s{"block_metadata_type":%d,"volume_capacity_bytes":%d,"block_metadata":[' % facts)
        format_extents(record.extents, _TUPLE, file.write)
        file.write(b"]}")
    file.write(b"]")


def check_listing(
    name: str, output: str = "", *, method: str = "auto", require: str | None = None, zeroes: bool = False
) -> None:
    """Refuses what needs the data of a source that has none. Raises UnsupportedOperation."""
    for wanted in (method, require):
        if wanted not in (None, "auto", CBT):
            raise UnsupportedOperation(
                f"the method {wanted} cannot be used: {name} lists blocks as its storage tracks them (method {CBT})"
            )
    if zeroes or output == "export-diff":
        what = "--zeroes reads data" if zeroes else "an export-diff has the data of the blocks"
        raise UnsupportedOperation(f"{what}, and {name} holds none: name the device restored from the snapshot")


def open_listing(
    base: str | os.PathLike[str] | None,
    target: str | os.PathLike[str],
    *,
    offset: int = 0,
    length: int | None = None,
    holes: bool = False,
    mapped: bool = False,
    changed: bool = False,
) -> Listing:
    """The listing of two URLs of snapshots (base None: what is allocated, or what the target's URL says).

    ``mapped`` is for a map: InvalidInput if the URL names a base, as what did not change is neither a hole nor zero.
    ``changed`` is for a diff: InvalidInput if no base is named, as what is allocated is no change.
    """
    source, pair = open_source(base, target)
    if mapped and pair.base is not None:
        source.close()
        raise InvalidInput(
            f"{os.fspath(target)!r} asks for changes, and a map shows what is allocated: leave out the base"
        )
    if changed and pair.base is None:
        source.close()
        raise InvalidInput(
            f"{os.fspath(target)!r} says what is allocated, and not since when it changed: name its base"
        )
    return Listing(source, pair, offset=offset, length=length, holes=holes)
