"""Writes ``rbd diff v1``: what every rbd reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput, OutOfOrder, OutputError
from blockdiff.exportdiff import form

if TYPE_CHECKING:
    from blockdiff.engine.output import Output
    from blockdiff.exportdiff.form import Header


class Writer:
    """One diff. ``data`` and ``zero`` ascend; without ``end`` the stream is not whole, and readers refuse it."""

    def __init__(self, out: Output, header: Header) -> None:
        self._out, self._size = out, header.size
        self._at = 0
        self._zero_start = self._zero_end = 0
        self.data_bytes = self.zero_bytes = 0
        parts = [form.DIFF_V1]
        for tag, name in ((form.FROM, header.from_name), (form.TO, header.to_name)):
            if name is not None:
                parts.append(tag + _name(name))
        out.write(b"".join([*parts, form.SIZE, _u64(header.size)]))

    def data(self, offset: int, view: memoryview) -> None:
        """Bytes; long ones become several records, because rbd holds a whole one in memory."""
        self._flush_zero()
        self._advance(offset, len(view))
        for at in range(0, len(view), form.MAX_RECORD):
            part = view[at : at + form.MAX_RECORD]
            self._out.write(form.DATA + _u64(offset + at) + _u64(len(part)))
            self._out.write(part)
        self.data_bytes += len(view)

    def zero(self, offset: int, length: int) -> None:
        """Zeroes; neighbours become one record."""
        if offset != self._zero_end:
            self._flush_zero()
        self._advance(offset, length)
        if self._zero_start == self._zero_end:
            self._zero_start = offset
        self._zero_end = offset + length
        self.zero_bytes += length

    def end(self) -> None:
        """Makes the stream whole."""
        self._flush_zero()
        self._out.write(form.END)
        self._out.flush()

    def _flush_zero(self) -> None:
        if self._zero_end > self._zero_start:
            self._out.write(form.ZERO + _u64(self._zero_start) + _u64(self._zero_end - self._zero_start))
        self._zero_start = self._zero_end = self._at

    def _advance(self, offset: int, length: int) -> None:
        if offset < self._at or offset + length > self._size:
            raise OutOfOrder(
                f"[{offset}, {offset + length}) is behind {self._at} or leaves the image, which has {self._size} bytes"
            )
        self._at = offset + length


def refuse_terminal(file: object) -> None:
    """InvalidInput where a binary stream would land on somebody's screen; OutputError where there is no output."""
    try:
        if file.isatty():  # type: ignore[attr-defined]
            raise InvalidInput("an export-diff is not written to a terminal: send it to a file or to rbd import-diff")
    except ValueError as error:
        raise OutputError(f"cannot write the export-diff: {error}") from error


def checked_name(name: str | None, what: str) -> str | None:
    """The name of a snapshot, or None for none; InvalidInput when rbd would not take it."""
    if name and len(name.encode("utf-8", "surrogateescape")) > form.MAX_NAME:
        raise InvalidInput(f"{what} is longer than {form.MAX_NAME} bytes")
    return name or None


def _name(name: str) -> bytes:
    data = name.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(4, "little") + data


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")
