"""Reads streams, record by record, and believes nothing that it did not check.

Memory is that of one record's header: data is read in pieces by who wants it, and passed over otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.exportdiff import form
from blockdiff.exportdiff.cursor import Cursor
from blockdiff.exportdiff.form import Header, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from blockdiff.errors import InvalidInput

_OPTIONS = {b"O": "order", b"F": "format", b"T": "features", b"U": "stripe unit", b"C": "stripe count"}


class Diff:
    """One diff of a stream: its ``header``, and its pieces, once.

    While a piece of data is at hand, ``read_into`` gives its bytes one after the other; what is not read is skipped.
    """

    def __init__(self, cursor: Cursor, version: int) -> None:
        self._in, self._version = cursor, version
        self._left = 0
        self._tag = b""
        self.header = self._read_header()
        self._pieces = self._read_pieces()

    def pieces(self) -> Iterator[Piece]:
        """The pieces, ascending; the same iterator each time."""
        return self._pieces

    def read_into(self, view: memoryview) -> None:
        """The next bytes of the piece at hand."""
        if len(view) > self._left:
            raise ValueError(f"the piece has {self._left} bytes left, not {len(view)}")
        self._in.fill(view, "the data of a record")
        self._left -= len(view)

    def _read_header(self) -> Header:
        found: dict[bytes, str | int] = {}
        while True:
            at, tag = self._in.position, self._next_tag()
            if tag in (form.DATA, form.ZERO, form.END):
                break
            if tag in found:
                raise self._in.broken(f"a second record {_show(tag)}", at)
            found[tag] = self._metadata(tag, at)
        if form.SIZE not in found:
            raise self._in.broken(f"a record 's' with the image size was expected before {_show(tag)}", at)
        names = (found.get(form.FROM), found.get(form.TO))
        return Header(names[0], names[1] or None, found[form.SIZE])  # type: ignore[arg-type]

    def _metadata(self, tag: bytes, at: int) -> str | int:
        if tag in (form.FROM, form.TO):
            return self._name(tag, at)
        if tag == form.SIZE:
            self._check_length(8, at)
            size = self._in.number(8, "the image size")
            if size > form.MAX_SIZE:
                raise self._in.broken(f"the image size {size} is absurd: sizes are below 2^63", at)
            return size
        if tag == form.PROTECTED and self._version == 2:
            return self._protection(at)
        raise self._unknown(tag, at)

    def _name(self, tag: bytes, at: int) -> str:
        told = self._record_length()
        length = self._in.number(4, "the length of a snapshot name")
        if length > form.MAX_NAME:
            raise self._in.broken(f"a snapshot name of {length} bytes: at most {form.MAX_NAME} were expected", at)
        if told not in (None, 4 + length):
            raise self._in.broken(f"record {_show(tag)} says that it has {told} bytes and has {4 + length}", at)
        if not length and tag == form.FROM:  # whoever drops it has a whole image
            raise self._in.broken("an empty snapshot name in a record 'f'", at)
        name = self._in.take(length, "a snapshot name")
        if b"\0" in name:  # whoever takes it as a C string would see another name
            raise self._in.broken("a snapshot name with a NUL character", at)
        return name.decode("utf-8", "surrogateescape")

    def _protection(self, at: int) -> int:
        # rbd says 8 and writes 1 byte; who writes what he says is understood too
        told = self._record_length()
        if told not in (1, 8):
            raise self._in.broken(f"record 'p' says that it has {told} bytes: 1 or 8 were expected", at)
        value = self._in.number(1, "the protection status")
        if value > 1:
            raise self._in.broken(f"the protection status is {value}: 0 or 1 was expected", at)
        return value

    def _read_pieces(self) -> Iterator[Piece]:
        end, cursor = 0, self._in
        at, tag = cursor.position - 1, self._tag
        while tag != form.END:
            if tag not in (form.DATA, form.ZERO):
                raise self._misplaced(tag, at)
            told = self._record_length()
            place = cursor.take(16, "the place of a record")
            offset, length = int.from_bytes(place[:8], "little"), int.from_bytes(place[8:], "little")
            self._check_piece(tag, offset, length, end, told, at)
            end = offset + length
            self._left = length if tag == form.DATA else 0
            if length:
                yield Piece(offset, length, tag == form.ZERO, cursor.position)
            if self._left:
                cursor.skip(self._left, "the data of a record")
                self._left = 0
            at, tag = cursor.position, self._next_tag()

    def _check_piece(self, tag: bytes, offset: int, length: int, end: int, told: int | None, at: int) -> None:
        if offset < end:
            raise self._in.broken(
                f"a record at offset {offset}: offsets must ascend, and the last one ended at {end}", at
            )
        if offset + length > self.header.size:
            raise self._in.broken(
                f"a record of {length} bytes at offset {offset} leaves the image, which has {self.header.size}", at
            )
        is_ = 16 + (length if tag == form.DATA else 0)
        if told not in (None, is_):
            raise self._in.broken(f"record {_show(tag)} says that it has {told} bytes and has {is_}", at)

    def _next_tag(self) -> bytes:
        self._tag = self._in.take(1, "the tag of a record: the end 'e' is missing")
        return self._tag

    def _record_length(self) -> int | None:
        """What version 2 has after each tag."""
        return self._in.number(8, "the length of a record") if self._version == 2 else None

    def _check_length(self, length: int, at: int) -> None:
        told = self._record_length()
        if told not in (None, length):
            raise self._in.broken(f"a record says that it has {told} bytes: {length} were expected", at)

    def _misplaced(self, tag: bytes, at: int) -> InvalidInput:
        if tag in (form.FROM, form.TO, form.SIZE, form.PROTECTED):
            return self._in.broken(f"a record {_show(tag)} after the first data: 'w', 'z' or 'e' was expected", at)
        return self._unknown(tag, at)

    def _unknown(self, tag: bytes, at: int) -> InvalidInput:
        known = "'f', 't', 's', 'p', 'w', 'z' or 'e'" if self._version == 2 else "'f', 't', 's', 'w', 'z' or 'e'"
        return self._in.broken(f"unknown record {_show(tag)}: {known} was expected", at)


class Reader:
    """A stream: ``rbd diff v1``, ``rbd diff v2``, or ``rbd image v2`` with any number of diffs.

    Iterate it for the diffs, in order. All of a diff is read, or passed over, before the next one comes; nothing may
    follow the last. InvalidInput names the file, the byte and what was expected.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._in = Cursor(file, name)
        self._diffs = self._read()
        self.name = name
        self.count = 1  # of diffs; known when the first is at hand

    @property
    def position(self) -> int:
        """How many bytes were read or skipped."""
        return self._in.position

    def __iter__(self) -> Iterator[Diff]:
        return self._diffs

    def _read(self) -> Iterator[Diff]:
        banner = self._in.take(len(form.DIFF_V1), "the banner of an export-diff")
        if banner in (form.DIFF_V1, form.DIFF_V2):
            yield from self._one(1 if banner == form.DIFF_V1 else 2)
        elif banner == form.IMAGE_V2[: len(banner)]:
            self._banner(form.IMAGE_V2, len(banner))
            yield from self._image()
        else:
            raise self._in.broken(
                f"{_show(banner)} is no export-diff: 'rbd diff v1', 'rbd diff v2' or 'rbd image v2' was expected", 0
            )
        self._in.expect_end()

    def _one(self, version: int) -> Iterator[Diff]:
        diff = Diff(self._in, version)
        yield diff
        for _ in diff.pieces():
            pass

    def _image(self) -> Iterator[Diff]:
        while (tag := self._in.take(1, "the tag of an image record")) != b"E":
            self._option(tag)
        self._banner(form.IMAGE_DIFFS_V2, 0)
        self.count = self._in.number(8, "the number of diffs")
        if not self.count:
            raise self._in.broken("the number of diffs is 0: an image has one at least", self._in.position - 8)
        for _ in range(self.count):
            self._banner(form.DIFF_V2, 0)
            yield from self._one(2)

    def _option(self, tag: bytes) -> None:
        """An option of the image as a whole; none of them says anything about its bytes."""
        at = self._in.position - 1
        length = self._in.number(8, "the length of an image record")
        if tag in _OPTIONS:
            if length != 8:
                raise self._in.broken(f"the image's {_OPTIONS[tag]} has {length} bytes: 8 were expected", at)
            self._in.skip(8, f"the image's {_OPTIONS[tag]}")
        elif tag == b"M":
            self._image_meta(length, at)
        else:
            raise self._in.broken(f"unknown image record {_show(tag)}", at)

    def _image_meta(self, length: int, at: int) -> None:
        start = self._in.position
        for what in ("key", "value"):
            count = self._in.number(4, f"the length of an image-meta {what}")
            if self._in.position - start + count > length:
                raise self._in.broken(f"an image-meta {what} of {count} bytes in a record of {length}", at)
            self._in.skip(count, f"an image-meta {what}")
        if self._in.position - start != length:
            raise self._in.broken(f"record 'M' says that it has {length} bytes and has {self._in.position - start}", at)

    def _banner(self, banner: bytes, have: int) -> None:
        at = self._in.position
        if self._in.take(len(banner) - have, f"the banner {_show(banner)}") != banner[have:]:
            raise self._in.broken(f"the banner {_show(banner)} was expected", at)


def _show(data: bytes) -> str:
    """Bytes of a file in words that a terminal takes."""
    return repr(data.rstrip(b"\n"))[1:]
