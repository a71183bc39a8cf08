"""The file beside a checkpoint: what is too long to be written anew each time. It only grows.

A line of text, then records: a length (u32, little-endian), a tag (one byte), the XXH64 (u64) of length, tag and
content with the checksum before it as the seed, the content. A state names the length of the file and the last checksum
that belong to it; what follows is what a crash left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from blockdiff._fast import xxh64
from blockdiff.engine.checkpoint.form import damaged
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

MAGIC = b"blockdiff checkpoint data 1 "
TAGS = (b"f", b"u", b"p", b"d", b"z")
MAX_RECORD = 43690 * 24  # bytes, of whole extents
_HEAD = struct.Struct("<IcQ")
_SUMMED = struct.Struct("<Ic")

Position = tuple[int, int]
"""Bytes of the file that count, and the checksum of the last record in them."""


class Log:
    """The records of the checkpoint ``id``; ``position`` is where the next one goes. Made when there is a first one."""

    def __init__(self, path: str, number: str) -> None:
        self.path, self._first_line = path, MAGIC + number.encode() + b"\n"
        self.position: Position = (0, int(number, 16))
        self._fd = -1
        self._dirty = False

    def append(self, tag: bytes, data: Buffer) -> None:
        """Adds records. OSError."""
        if self._fd < 0:
            self._create()
        length, value = self.position
        with memoryview(data) as whole, whole.cast("B") as view:
            for at in range(0, len(view), MAX_RECORD):
                piece = bytes(view[at : at + MAX_RECORD])
                value = xxh64(_SUMMED.pack(len(piece), tag) + piece, value)
                record = _HEAD.pack(len(piece), tag, value) + piece
                _write_all(self._fd, record, length)
                length += len(record)
        self._dirty = True
        self.position = (length, value)

    def sync(self) -> None:
        """Returns when all records are on stable storage. OSError."""
        if self._dirty:
            os.fdatasync(self._fd)
            self._dirty = False

    def take_up(self, position: Position) -> None:
        """Goes on at a position of before, what is there proved. InvalidInput: it is not what it was."""
        if position[0] == 0:
            if position != self.position:
                raise damaged(self.path, "it begins with another checksum")
            return
        for _ in self.read(position):
            pass
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(self._fd, position[0])
        self.position = position

    def read(self, position: Position, begin: int = 0) -> Iterator[tuple[bytes, bytes]]:
        """Tag and content of the records from ``begin`` up to a position; all are checked.

        InvalidInput: damaged, or not there.
        """
        end, wanted = position
        at, value = 0, int(self._first_line[len(MAGIC) : -1], 16)
        if end == 0:
            return
        with self._opened() as file:
            if file.read(len(self._first_line)) != self._first_line:
                raise damaged(self.path, "it belongs to another checkpoint, or its first line is damaged")
            at = len(self._first_line)
            while at < end:
                tag, piece, value = self._record(file.read(_HEAD.size), file, value)
                if at >= begin:
                    yield tag, piece
                at += _HEAD.size + len(piece)
        if at != end or value != wanted:
            raise damaged(self.path, "it is not what its checkpoint says")

    def _opened(self) -> BinaryIO:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise damaged(self.path, os.strerror(error.errno or 0)) from error

    def _record(self, head: bytes, file: BinaryIO, value: int) -> tuple[bytes, bytes, int]:
        if len(head) == _HEAD.size:
            length, tag, told = _HEAD.unpack(head)
            if 0 < length <= MAX_RECORD and tag in TAGS:
                piece = file.read(length)
                value = xxh64(_SUMMED.pack(length, tag) + piece, value)
                if len(piece) == length and value == told:
                    return tag, piece, value
        raise damaged(self.path, "it was cut or changed")

    def refuse_other(self) -> None:
        """InvalidInput where a file of this name is not ours to overwrite."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                start = file.read(len(MAGIC))
        except FileNotFoundError:
            return
        except OSError as error:
            raise InvalidInput(f"cannot open {self.path}: {os.strerror(error.errno or 0)}") from error
        if start and not start.startswith(MAGIC):
            raise InvalidInput(
                f"{self.path} is there and not blockdiff's, and a checkpoint keeps what it found in a file of that "
                "name: name another checkpoint"
            )

    def _create(self) -> None:
        try:
            self.refuse_other()
        except InvalidInput as error:  # it came after the run had begun
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        _write_all(self._fd, self._first_line, 0)
        self.position = (len(self._first_line), self.position[1])
        self._dirty = True

    def close(self, *, remove: bool = False) -> None:
        """Closes the file; with ``remove`` it is gone, unless another has its name by now."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if remove:
            with contextlib.suppress(OSError, InvalidInput):
                self.refuse_other()
                os.unlink(self.path)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
