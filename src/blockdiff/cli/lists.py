"""Lists of extents on stdout, for diff and map."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Template, format_extents
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.record import Record

HEADER = b"          Offset         Length  Kind\n"
FACTS_HEADER = b"          Offset         Length  Kind  Allocated  Zero\n"


class HumanList:
    """Rows of offset, length and kind; with ``facts`` whether a range is allocated and whether it reads as zeroes."""

    def __init__(self, *, facts: bool = False, zeroes_known: bool = False) -> None:
        self._header = FACTS_HEADER if facts else HEADER
        tails = {Kind.DATA: b"data", Kind.ZERO: b"zero", Kind.HOLE: b"hole"}
        if facts:
            zero = b"no" if zeroes_known else b"not looked at"
            tails = {
                Kind.DATA: b"data  yes        " + zero,
                Kind.ZERO: b"zero  yes        yes",
                Kind.HOLE: b"hole  no         yes",
            }
        self._template = Template(
            {kind: (b"", b" ", b"  " + tail + b"\n") for kind, tail in tails.items()}, widths=(16, 14)
        )

    def record(self, number: int, record: Record) -> None:
        if number == 1:
            sys.stdout.buffer.write(self._header)
        format_extents(record.extents, self._template, sys.stdout.buffer.write)

    def done(self, count: int) -> None:
        sys.stdout.buffer.flush()


class QuietList:
    """The exit code says it."""

    def record(self, number: int, record: Record) -> None:
        pass

    def done(self, count: int) -> None:
        pass


def make_list(output: str, *, quiet: bool, **human: Any) -> Any:
    """The emitter that ``-o`` asks for."""
    from blockdiff.emitters import make_emitter

    if output == "human":
        return QuietList() if quiet else HumanList(**human)
    return make_emitter(output, sys.stdout.buffer)


def emit(records: Iterable[Record], emitter: Any, progress: Any) -> int:
    """Gives every record to the emitter; returns their number."""
    number = 0
    for number, record in enumerate(records, 1):
        progress.differing += record.extents.total()
        progress.pause()
        emitter.record(number, record)
    progress.pause()
    emitter.done(number)
    return number
