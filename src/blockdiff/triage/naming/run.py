"""Names the files that findings are in: a few blocks of each, asked of the file system all at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.errors import BlockdiffError
from blockdiff.triage.naming.owner import Owner
from blockdiff.triage.naming.tool import ToolFailed
from blockdiff.triage.report import Named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdiff.triage.area import Found
    from blockdiff.triage.layout.filesystem import FileSystem
    from blockdiff.triage.layout.image import Layout

    Names = dict[int, tuple[bytes | None, str]]
    Asked = dict[int, Sequence[int]]
    """By the number of a finding: blocks of its file system."""

BLOCKS_OF_ONE, BLOCKS_IN_ALL = 16, 4096
_WITH_FILES = {"ext2", "ext3", "ext4", "xfs", "btrfs"}


class Naming:
    """Looks findings up in a layout; ``notes`` say what was not possible."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.notes: list[str] = []

    def name(self, found: Sequence[Found]) -> list[Named]:
        """Each finding with its place, and its files where these can be told."""
        places = [self._layout.place(one.offset) for one in found]
        wanted: dict[FileSystem, Asked] = {}
        for index, (one, place) in enumerate(zip(found, places, strict=True)):
            system = place.file_system
            if system is not None and system.kind in _WITH_FILES:
                wanted.setdefault(system, {})[index] = _blocks(one, system)
        owners: dict[int, Owner] = {}
        for system, lists in wanted.items():
            owners |= self._owners(system, _within(lists), lists)
        return [Named(one, place, owners.get(i)) for i, (one, place) in enumerate(zip(found, places, strict=True))]

    def _owners(self, system: FileSystem, asked: Asked, all_blocks: Asked) -> dict[int, Owner]:
        blocks = sorted({block for some in asked.values() for block in some})
        if len(asked) < len(all_blocks):
            self.notes.append(
                f"files of {system.kind} are named for the first {len(asked):,} of {len(all_blocks):,} findings"
            )
        try:
            names = self._names(system, blocks)
        except (ToolFailed, BlockdiffError, OSError) as error:
            self.notes.append(f"files of {system.kind} are not named: {error}")
            return {}
        return {index: _owner(some, names, len(all_blocks[index])) for index, some in asked.items()}

    def _names(self, system: FileSystem, blocks: list[int]) -> Names:
        if system.kind == "btrfs":
            from blockdiff.triage.naming.btrfs import name_blocks

            return name_blocks(system, self._layout.reading.read, blocks)
        with _descriptor(self._layout.reading.device, system) as (place, fd):
            return _tool(system.kind)(place, fd, blocks)


def _tool(kind: str) -> Callable[[FileSystem, int, Sequence[int]], Names]:
    if kind == "xfs":
        from blockdiff.triage.naming.xfs import name_blocks

        return name_blocks
    from blockdiff.triage.naming.ext import name_blocks as name_ext_blocks

    return name_ext_blocks


@contextmanager
def _descriptor(device: Any, system: FileSystem) -> Iterator[tuple[FileSystem, int]]:
    """What a program reads the file system from, and where it is in there."""
    if device.fileno() is None or not hasattr(device, "path"):
        raise ToolFailed(f"{device.url} is neither a file nor a block device, which the program for it needs")
    if system.start == 0 or system.kind != "xfs":
        yield system, device.fileno()
        return
    from blockdiff.triage.naming.view import partition_view

    with partition_view(device, system.start, system.size) as fd:
        yield system._replace(start=0), fd


def _blocks(one: Found, system: FileSystem) -> Sequence[int]:
    """The numbers of all blocks of a finding, in its file system."""
    first = (one.offset - system.start) // system.block
    last = (min(one.offset + one.length, system.start + system.size) - system.start - 1) // system.block
    return range(first, last + 1)


def _within(lists: Asked) -> Asked:
    """At most so many blocks of each, evenly spread, and so many in all."""
    asked: Asked = {}
    left = BLOCKS_IN_ALL
    for index, blocks in lists.items():
        some = blocks
        if len(blocks) > BLOCKS_OF_ONE:
            some = [blocks[i * (len(blocks) - 1) // (BLOCKS_OF_ONE - 1)] for i in range(BLOCKS_OF_ONE)]
        if len(some) > left:
            break
        left -= len(some)
        asked[index] = some
    return asked


def _owner(blocks: Sequence[int], names: Names, of: int) -> Owner:
    known = [names[block] for block in blocks if block in names]
    files = dict.fromkeys(path.decode("utf-8", "surrogateescape") for path, _ in known if path is not None)
    use = dict.fromkeys(use for path, use in known if path is None)
    return Owner(tuple(files), tuple(use), len(blocks), of)
