"""Joins diffs that follow each other into one. Only the index is in memory; the data is copied from file to file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.engine.newfile import new_file
from blockdiff.engine.output import Output
from blockdiff.engine.progress import NoProgress
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.exportdiff.chain import Chain
from blockdiff.exportdiff.form import MAX_RECORD, Header
from blockdiff.exportdiff.layer import flatten
from blockdiff.exportdiff.writer import Writer, refuse_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from blockdiff.engine.progress import Progress

MAX_ROWS = 65536  # rows of the index that are Python objects at a time


class MergeReport:
    """What was joined: the header of the result, the number of diffs, and the bytes of each kind."""

    def __init__(self, header: Header, diffs: int) -> None:
        self.header, self.diffs = header, diffs
        self.data_bytes = self.zero_bytes = 0

    def __repr__(self) -> str:
        return f"MergeReport({self.diffs} diffs, {self.data_bytes} bytes of data, {self.zero_bytes} of zeroes)"


def merge_streams(names: list[str], out: str | BinaryIO, *, progress: Progress | None = None) -> MergeReport:
    """Writes one ``rbd diff v1`` that does what the streams of these names do one after the other.

    ``out``: a name, ``-`` for standard output, or a binary file. A file of that name is there only when it is whole.
    Raises InvalidInput before anything is written, OutputError.
    """
    with Chain(names) as chain:
        if isinstance(out, str):
            with new_file(out, instead="name a file, or write the diffs to the device by blockdiff apply") as file:
                return _merge(chain, file, progress or NoProgress())
        return _merge(chain, out, progress or NoProgress())


def _merge(chain: Chain, out: BinaryIO, progress: Progress) -> MergeReport:
    refuse_terminal(out)
    columns = flatten(chain.layers, None)
    report = MergeReport(Header(chain.from_name, chain.to_name, chain.size), len(chain.layers))
    writer = Writer(Output(out), report.header)
    progress.start("merge", int(columns[1].sum()))
    try:
        buffer = memoryview(bytearray(MAX_RECORD))
        for offset, length, zero, file, position in _rows(columns):
            if zero:
                writer.zero(offset, length)
            else:
                for at in range(0, length, MAX_RECORD):
                    view = buffer[: min(MAX_RECORD, length - at)]
                    _read(chain, file, view, position + at)
                    writer.data(offset + at, view)
            progress.advance(writer.data_bytes + writer.zero_bytes)
        for stream in chain.files:
            if what := stream.changes():
                raise InvalidInput(f"{what}: the result is not whole")
        writer.end()
    finally:
        progress.finish()
    report.data_bytes, report.zero_bytes = writer.data_bytes, writer.zero_bytes
    return report


def _rows(columns: Any) -> Iterator[tuple[int, int, int, int, int]]:
    for start in range(0, len(columns[0]), MAX_ROWS):
        yield from zip(*(column[start : start + MAX_ROWS].tolist() for column in columns), strict=True)


def _read(chain: Chain, number: int, view: memoryview, position: int) -> None:
    file, done = chain.files[number], 0
    while done < len(view):
        try:
            count = os.preadv(file.fileno(), [view[done:]], position + done)
        except OSError as error:
            raise DeviceError("", url=file.name, action="read", offset=position + done, errno=error.errno) from error
        if not count:
            raise InvalidInput(f"{file.name}: byte {position + done}: the file ends here now, and did not before")
        done += count
