"""The iterator's emitters: what the original prints, byte for byte.

One difference: what cannot be written is an error (OutputError), where the original goes on and loses the rest.
"""

from __future__ import annotations

from io import TextIOBase
from typing import TYPE_CHECKING, Any, Protocol, cast

from blockdiff._fast import Template, format_extents
from blockdiff.engine.output import Output
from blockdiff.record import BlockMetadataType

if TYPE_CHECKING:
    from typing import BinaryIO, TextIO

    from blockdiff.csi.metadata import IteratorMetadata
    from blockdiff.engine.device import Buffer
    from blockdiff.record import Record


class IteratorEmitter(Protocol):
    """Takes what the iterator gets. Either method may raise: the stream is cancelled, the error passed on as it is."""

    def record(self, number: int, metadata: IteratorMetadata) -> None:
        """Takes one record, which is one message of the stream; ``number`` counts from 1."""

    def done(self, count: int) -> None:
        """Called once after the last of ``count`` records, and not at all if the stream failed."""


_TUPLE = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")
_HEADER = b"""\
Record#   VolCapBytes  BlockMetadataType   ByteOffset     SizeBytes
------- -------------- ----------------- -------------- --------------
"""


class JSONEmitter:
    """Writes one array of records on one line. ``out`` is a text or a binary file.

    As the original does it: ``byte_offset`` is left out where it is 0, a record without ranges has ``null``, no records
    are ``[]``, there is no line end, and the array of a stream that failed has no end.
    """

    def __init__(self, out: BinaryIO | TextIO) -> None:
        self._out = _output(out)

    def record(self, number: int, metadata: Record) -> None:
        """Writes one element of the array."""
        facts = (b"[" if number == 1 else b",", int(metadata.type), metadata.capacity)
        self._out.write(b'%s{"block_metadata_type":%d,"volume_capacity_bytes":%d,"block_metadata":' % facts)
        extents, first = metadata.extents, True
        self._out.write(b"[" if len(extents) else b"null}")
        if not len(extents):
            return
        if extents.start == 0:
            self._out.write(b'{"size_bytes":%d}' % extents[0].length)
            extents, first = extents[1:], False
        format_extents(extents, _TUPLE, self._out.write, first=first)
        self._out.write(b"]}")

    def done(self, count: int) -> None:
        """Ends the array."""
        self._out.write(b"]" if count else b"[]")
        self._out.flush()


class TableEmitter:
    """Writes a header above the first record and a row for each range; nothing where there are no records.

    ``out`` is a text or a binary file.
    """

    def __init__(self, out: BinaryIO | TextIO) -> None:
        self._out = _output(out)

    def record(self, number: int, metadata: Record) -> None:
        """Writes a record's rows."""
        if number == 1:
            self._out.write(_HEADER)
        start = b"%7d %14d %17s " % (number, metadata.capacity, BlockMetadataType(metadata.type).name.encode())
        template = Template((start, b" ", b"\n"), widths=(14, 14))
        format_extents(metadata.extents, template, self._out.write)

    def done(self, count: int) -> None:  # the protocol
        """Hands the rows to the system."""
        self._out.flush()


def _output(out: Any) -> Output:
    """A checked binary output; text files get what is all ASCII as text, in order with what else is written there."""
    return Output(cast("BinaryIO", _Text(cast("TextIO", out))) if isinstance(out, TextIOBase) else out)


class _Text:
    """A text file as a binary one."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.name = getattr(out, "name", None)

    def write(self, data: Buffer) -> int:
        return self._out.write(str(data, "ascii"))

    def flush(self) -> None:
        self._out.flush()


def __getattr__(name: str) -> Any:
    if name == "VerifierEmitter":  # it brings the engine along, which the others do without
        from blockdiff.csi.verifier import VerifierEmitter

        return VerifierEmitter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
