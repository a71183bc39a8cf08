"""Files of diffs that follow each other, checked completely before anything is done with them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Self

from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.exportdiff.layer import Layer, read_layer
from blockdiff.exportdiff.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from blockdiff.exportdiff.form import Header
    from blockdiff.exportdiff.reader import Diff

STDIN = "-"
_BUFFER = 256 << 10


class StreamFile:
    """A file of one or several diffs, open and read through once: ``layers`` is what it holds."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self._status = os.fstat(file.fileno())
        self.layers = [read_layer(diff) for diff in self.read(all_of_it=True)]

    known = True  # ``layers`` are all that it holds

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, *, all_of_it: bool = False) -> Iterator[Diff]:
        """The diffs once more, from the start; of those that were not left out."""
        self._file.seek(0)
        for number, diff in enumerate(Reader(self._file, self.name)):
            if not all_of_it and number == len(self.layers):
                return
            yield diff

    def is_head(self, header: Header, following: Header) -> bool:
        """Whether a diff still has to be left out: none, they are out of ``layers`` already."""
        return False

    def changes(self) -> str:
        """What happened to the file since it was read, in words."""
        now, then = os.fstat(self.fileno()), self._status
        if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (then.st_size, then.st_mtime_ns, then.st_ctime_ns):
            return f"{self.name} was modified meanwhile"
        return ""

    @property
    def status(self) -> os.stat_result:
        """The file as it was when it was opened."""
        return self._status

    def close(self) -> None:
        self._file.close()


class Chain:
    """Streams in order, each beginning where the one before ended. Iterate it for (number of the file, layer).

    Raises InvalidInput where a file is broken, or does not follow.
    """

    def __init__(self, names: list[str]) -> None:
        self.files: list[StreamFile] = []
        try:
            refuse_second_pipe(names)
            for name in names:
                self.files.append(open_stream(name))
            self._follow()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[tuple[int, Layer]]:
        return ((number, layer) for number, file in enumerate(self.files) for layer in file.layers)

    @property
    def layers(self) -> list[tuple[int, Layer]]:
        return list(self)

    @property
    def from_name(self) -> str | None:
        """The snapshot that the chain leads from; None: from nothing, it is a whole image."""
        return self.files[0].layers[0].header.from_name

    @property
    def to_name(self) -> str | None:
        """The snapshot that it leads to."""
        return self.files[-1].layers[-1].header.to_name

    @property
    def size(self) -> int:
        """The size of the image after it."""
        return self.files[-1].layers[-1].header.size

    def close(self) -> None:
        for file in self.files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self) -> None:
        follow(self.files)


def follow(files: list[Any]) -> None:
    """Proves that files follow each other, as far as what they hold is known. InvalidInput where they do not."""
    links = Links()
    for number, file in enumerate(files):
        for layer in file.layers:
            links.follow(file.name, layer)
        if not file.known:
            links = Links()
        elif number + 1 < len(files):
            links.leave_out_head(file, files[number + 1])


class Links:
    """Proves that each diff begins with the snapshot that the one before ended with."""

    def __init__(self) -> None:
        self._last: tuple[str, Layer] | None = None

    def follow(self, name: str, layer: Layer) -> None:
        """InvalidInput where it does not."""
        last, self._last = self._last, (name, layer)
        if last is None:
            return
        before, header = last[1].header, layer.header
        if header.from_name is None:
            raise InvalidInput(f"{name} begins from nothing: a whole image can only come first, not after {last[0]}")
        if before.to_name != header.from_name:
            ended = "the head of an image" if before.to_name is None else f"snapshot {before.to_name!r}"
            raise InvalidInput(
                f"{name} begins with snapshot {header.from_name!r}, but {last[0]} before it ends with {ended}"
            )

    def leave_out_head(self, file: StreamFile, following: StreamFile) -> None:
        """What ``rbd export --export-format 2`` adds after the last snapshot is not wanted when a diff follows that."""
        if len(file.layers) > 1 and is_head(file.layers[-1].header, following.layers[0].header):
            file.layers.pop()
            self._last = (file.name, file.layers[-1])


def is_head(last: Header, following: Header) -> bool:
    """Whether a diff leads from the snapshot that another begins with to the head."""
    return last.to_name is None and last.from_name is not None and last.from_name == following.from_name


def refuse_second_pipe(names: list[str]) -> None:
    """InvalidInput where standard input is named more than once."""
    if names.count(STDIN) > 1:
        raise InvalidInput("standard input (-) can be read only once")


def open_stream(name: str) -> StreamFile:
    """Opens and checks a file; standard input is kept in a temporary file for that."""
    file, shown = open_file(name)
    try:
        if not file.seekable():
            with file as pipe:
                file = spool(pipe, shown)
        return StreamFile(file, shown)
    except BaseException:
        file.close()
        raise


def open_file(name: str) -> tuple[Any, str]:
    """A binary file and its name for messages."""
    if name == STDIN:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=_BUFFER), "standard input"
    path = name.removeprefix("file:")
    try:
        if os.path.isdir(path):
            raise InvalidInput(f"{name} is a directory, not an export-diff")
        return open(path, "rb", buffering=_BUFFER), name
    except OSError as error:
        raise DeviceError("", url=name, action="open", errno=error.errno) from error


def spool(file: BinaryIO, name: str) -> BinaryIO:
    """All of a pipe in a temporary file."""
    import shutil

    from blockdiff.engine.scratch import scratch_file

    kept = scratch_file("blockdiff-exportdiff-")
    try:
        shutil.copyfileobj(file, kept, 1 << 20)
        kept.seek(0)
    except OSError as error:
        kept.close()
        raise DeviceError(
            "it cannot be kept in a temporary file", url=name, action="read", errno=error.errno
        ) from error
    return kept
