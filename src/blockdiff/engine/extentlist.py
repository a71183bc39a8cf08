"""Lists of extents that other tools made, read as a stream."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Self

from blockdiff._fast import ExtentParser, Extents
from blockdiff.engine.registry import is_source
from blockdiff.errors import BlockdiffError, InvalidInput
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHANGED = tuple(kind for kind in Kind if kind is not Kind.HOLE)


class ExtentList:
    """The extents of a list. Iterate it for ascending batches; iterations are independent unless it comes from a pipe.

    ``format`` is what the list was recognised as: ``lister``, ``rbd``, ``qemu``, ``nbd``, ``ovirt``, ``thin-delta``,
    ``blockdiff``, ``report`` or ``empty``. Holes, and what did not change,
    are left out unless ``holes``: they are not part of a list of changed or allocated ranges. Zeroes stay: dropping a
    change to zeroes would lose it.
    """

    warnings: tuple[str, ...] = ()
    """What its source had to say, where it comes from one."""

    def __init__(
        self, file: IO[bytes], name: str, *, capacity: int | None, holes: bool, block_size: int | None = None
    ) -> None:
        self._file, self.name, self._limit, self._holes = file, name, capacity, holes
        self._block_size = block_size
        self._start = file.tell() if file.seekable() else None
        self._parser = self._open()
        self._first = self._next_of(self._parser)
        self._fresh = True
        self.granularity = 0

    def _open(self) -> ExtentParser:
        file: Any = self._file if self._start is None else _View(self._file, self._start)
        return ExtentParser(file, self.name, limit=self._limit, block_size=self._block_size)

    @property
    def format(self) -> str:
        """What the list was recognised as."""
        return self._parser.format

    @property
    def capacity(self) -> int | None:
        """The volume's size as the list has it, as far as it was read; None if it does not say."""
        return self._parser.capacity

    @property
    def type(self) -> BlockMetadataType | None:
        """The type of the list's records; None if it does not say."""
        return None if self._parser.type is None else BlockMetadataType(self._parser.type)

    @property
    def context(self) -> str | None:
        """What the list is of, ``allocation`` or ``changes``, as far as it was read; None if it does not say."""
        return self._parser.context

    @property
    def end(self) -> int:
        """Where its last entry ends, as far as it was read; holes and what did not change count too."""
        return self._parser.end

    @property
    def gap(self) -> int | None:
        """Where the first bytes are that no entry covers, as far as it was read; None if there are none."""
        return self._parser.gap

    @property
    def block_size(self) -> int:
        """Bytes of a block of thin_delta; 0 for other formats."""
        return self._parser.block_size

    @property
    def count(self) -> int:
        """Extents read by the first iteration so far, holes included."""
        return self._parser.count

    def __iter__(self) -> Iterator[Extents]:
        return self.batches()

    def batches(self) -> Iterator[Extents]:
        """A new iteration."""
        if self._fresh:
            self._fresh = False
            batch, self._first = self._first, None
            return self._walk(self._parser, batch)
        if self._start is None:
            raise InvalidInput(f"{self.name} can be read only once: it is a pipe")
        parser = self._open()
        return self._walk(parser, self._next_of(parser))

    def _walk(self, parser: ExtentParser, batch: Extents | None) -> Iterator[Extents]:
        while batch is not None:
            kept = batch if self._holes else batch.only(*_CHANGED)
            if len(kept):
                yield kept
            batch = self._next_of(parser)

    def _next_of(self, parser: ExtentParser) -> Extents | None:
        try:
            return next(parser, None)
        except OSError as error:
            raise InvalidInput(f"cannot read {self.name}: {os.strerror(error.errno or 0)}") from error

    def doubts(self) -> list[str]:
        """What its maker is known to do wrong."""
        if self._parser.format != "thin-delta" or not self._parser.versioned:
            return []
        doubt = "is of a thin_delta of 1.0 or later, and those before 1.0.6 can call blocks the same that changed"
        return [f"{self.name} {doubt}: be sure that it was a later one"]

    def check(self) -> int:
        """Reads the whole list once, so that nothing is begun with a bad one; gives the number of extents.

        ``granularity`` is then the largest power of two that all boundaries share, except one at the capacity.
        """
        for batch in self:
            step = batch.granularity(limit=self._limit)
            self.granularity = min(self.granularity or step, step)
        return self.count

    def close(self) -> None:
        """Closes the file, unless it is standard input."""
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _View:
    """A reading position of its own in a file that others read too."""

    def __init__(self, file: IO[bytes], position: int) -> None:
        self._file, self._position = file, position

    def read(self, size: int) -> bytes:
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        return data


def read_extents(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    capacity: int | None = None,
    holes: bool = False,
    checked: bool = False,
    block_size: int | None = None,
) -> ExtentList:
    """Opens a list of extents: a path, ``-`` for standard input, a binary file, or the URL of a source of block
    metadata (``csi:...``), which is asked for all of it at once; a temporary file then holds the list.

    ``capacity`` is the device's size, which no extent may exceed. With ``checked`` the whole list is read and judged
    before this returns, so that a bad one stops everything before anything is done, and it can be read again; a pipe is
    kept in a temporary file for that. ``block_size`` (bytes) is that of a thin_delta which does not say it.
    Raises InvalidInput (or OutOfOrder) with file, line and column; SourceError, RemoteError of a source.
    """
    warnings: list[str] = []
    file, name = _open_file(source, warnings)
    try:
        if checked and not file.seekable():
            file = _spool(file)
        listed = ExtentList(file, name, capacity=capacity, holes=holes, block_size=block_size)
        listed.warnings = (*warnings, *listed.doubts())
        if checked:
            listed.check()
    except BaseException:
        if file is not source and file is not sys.stdin.buffer:
            file.close()
        raise
    return listed


def _open_file(source: str | os.PathLike[str] | IO[bytes], warnings: list[str]) -> tuple[IO[bytes], str]:
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "name", None)
        return source, name if isinstance(name, str) else "extents"
    if source == "-":
        return sys.stdin.buffer, "standard input"
    if is_source(source):
        return _ask(source, warnings), os.fsdecode(source)
    try:
        return open(source, "rb"), os.fsdecode(source)  # the list owns it
    except OSError as error:
        raise InvalidInput(f"cannot open {os.fsdecode(source)}: {os.strerror(error.errno or 0)}") from error


def _spool(file: IO[bytes]) -> IO[bytes]:
    import shutil

    with _temporary_file() as spool:
        shutil.copyfileobj(file, spool, 1 << 20)
    if file is not sys.stdin.buffer:
        file.close()
    return spool


def _ask(source: str | os.PathLike[str], warnings: list[str]) -> IO[bytes]:
    """All that a source of block metadata lists, in a temporary file."""
    from blockdiff.engine.listing import open_listing, spool

    with open_listing(None, source) as listing, _temporary_file() as file:
        spool(listing, file)
        warnings += listing.warnings
    return file


@contextmanager
def _temporary_file() -> Iterator[BinaryIO]:
    """A file to be filled; afterwards it is open at its beginning, after an error closed."""
    from blockdiff.engine.scratch import scratch_file

    file = scratch_file("blockdiff-extents-")
    try:
        yield file
        file.seek(0)
    except OSError as error:
        file.close()
        if isinstance(error, BlockdiffError):
            raise
        raise InvalidInput(f"cannot keep the list in a temporary file: {os.strerror(error.errno or 0)}") from error
    except BaseException:
        file.close()
        raise
