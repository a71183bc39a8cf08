"""The layout of a device: its partitions, and the file system of each, or of the whole of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.errors import BlockdiffError
from blockdiff.triage.layout.filesystem import FileSystem, recognise
from blockdiff.triage.layout.partition import Partition, Table, read_table

if TYPE_CHECKING:
    from blockdiff.triage.reading import Reading


class Place(NamedTuple):
    """Where a byte is: in a partition, in a file system, in both, or in neither."""

    partition: Partition | None
    file_system: FileSystem | None


class Layout:
    """What is where. ``of`` says which side it was read from; ``notes`` what is wrong with it, or not known."""

    def __init__(self, reading: Reading, of: str) -> None:
        self.reading, self.of = reading, of
        self.notes: list[str] = []
        self.table: Table | None = None
        self._whole: FileSystem | None = None
        self._systems: dict[int, FileSystem | None] = {}
        try:
            self._read()
        except BlockdiffError as error:
            self.notes.append(f"no partitions are named: {error}")

    def _read(self) -> None:
        device: Any = self.reading.device
        read, size = self.reading.read, self.reading.size
        sectors = (4096, 512) if getattr(device, "is_block", False) and device.block_size == 4096 else (512, 4096)
        self._whole = recognise(read, 0, size)
        self.table = read_table(read, size, sectors)
        self.notes += self.table.notes if self.table is not None else ()
        if self.table is not None and self.table.partitions:
            self._whole = None  # a partition table may share its sector with the remains of a file system
            for part in self.table.partitions:
                self._systems[part.start] = recognise(read, part.start, part.length)

    @property
    def known(self) -> bool:
        """Whether there is anything to name."""
        return self._whole is not None or bool(self.table and self.table.partitions)

    def place(self, offset: int) -> Place:
        """Where this byte is."""
        partition = self.table.at(offset) if self.table is not None else None
        system = self._whole if partition is None else self._systems.get(partition.start)
        if system is not None and not system.start <= offset < system.start + system.size:
            system = None
        return Place(partition, system)

    def to_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        partitions = self.table.partitions if self.table is not None else ()
        return {
            "of": self.of,
            "table": self.table.scheme if self.table is not None else "none",
            "partitions": [
                {
                    "number": part.number,
                    "offset": part.start,
                    "length": part.length,
                    "type": part.kind,
                    "name": part.name,
                    "file_system": _named(self._systems.get(part.start)),
                }
                for part in partitions
            ],
            "file_system": _named(self._whole),
            "notes": list(self.notes),
        }


def _named(system: FileSystem | None) -> dict[str, Any] | None:
    return None if system is None else {"type": system.kind, "label": system.label, "uuid": system.uuid}


def layout_of(source: Reading, target: Reading) -> Layout:
    """The source's layout; the target's where the source has none, for what differs may be just that."""
    first = Layout(source, "source")
    if first.known:
        return first
    second = Layout(target, "target")
    return second if second.known else first
