"""Writes a stream of extents in a format, after making sure that the format says nothing that is not known."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO

from blockdiff._fast import Extents, Template, format_extents
from blockdiff.engine.algebra import ALLOCATION, CHANGES, MAPS, whole
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.algebra import Algebra

_HEADER = b"          Offset         Length  Kind\n"
_CUT = b'{"error":"the list was cut here"}\n'


class Writing:
    """An operation's result on its way out. ``extents`` and ``bytes`` count what was written as changed or allocated.

    InvalidInput where the format would need to say what is not known.
    """

    def __init__(self, algebra: Algebra, output: str, *, kinds: bool, block_size: int | None) -> None:
        self._algebra, self._output, self._kinds = algebra, output, kinds
        self._block = block_size or max(listed.block_size for listed in algebra.lists)
        self.extents = self.bytes = 0
        self.tells_all = output in MAPS
        self._check()

    def _check(self) -> None:
        algebra, output = self._algebra, self._output
        if self.tells_all:
            self._check_context()
            if not algebra.may_know_the_end():
                raise InvalidInput(
                    f"{output} tells all of a volume, and how large it is is not known from the list: "
                    "say it, by --capacity"
                )
        if output == "thin-delta":
            if algebra.context != CHANGES:
                what = "is of what is allocated" if algebra.context == ALLOCATION else "does not say of what it is"
                raise InvalidInput(
                    f"thin_delta lists changes, and the list {what}: to list its ranges as changed, add --as changes"
                )
            if not self._block:
                raise InvalidInput(
                    "thin_delta counts in blocks, and of what size is not known: say it, by --block-size"
                )

    def _check_context(self) -> None:
        """Maps of qemu-img list what is allocated; those of the others that, or changes."""
        context, output = self._algebra.context, self._output
        if context is None:
            words = "--as allocation" if output == "qemu" else "--as changes or --as allocation"
            raise InvalidInput(
                f"{output} says of the rest of the volume too what it is, and the lists do not say whether they are of "
                f"changes or of what is allocated: add {words}"
            )
        if output == "qemu" and context == CHANGES:
            raise InvalidInput(
                "a map of qemu-img says what is allocated, and this lists what changed: with --as allocation what did "
                "not change is written as holes"
            )

    def write(self, name: str) -> None:
        """Writes all to a file, which is there only when it is whole, or to stdout (``-``)."""
        from blockdiff.engine.newfile import new_file

        if name != "-" and _is_block(name):
            raise InvalidInput(f"{name} is a block device, which a list would overwrite: name a file")
        with new_file(name) as file, _marked(file, self._output):
            self._emit(file)

    def _emit(self, file: BinaryIO) -> None:
        emitter = self._emitter(file)
        number = 0
        stream = self._algebra.batches()
        if self.tells_all:
            stream = whole(self._algebra, stream, "union", Kind.HOLE)
        for number, batch in enumerate(stream, 1):
            self.extents += len(batch.only(*_TOLD)) if self.tells_all else len(batch)
            self.bytes += batch.total() - batch.total(Kind.HOLE)
            emitter.record(number, self._record(self._shown(batch)))
        if not number and (self._algebra.capacity or 0) > 0:  # an empty list still says whose it is
            number = 1
            emitter.record(1, self._record(Extents()))
        emitter.done(number)

    def _record(self, extents: Extents) -> Record:
        return Record(BlockMetadataType.VARIABLE_LENGTH, self._algebra.capacity or 0, extents)

    def _shown(self, batch: Extents) -> Extents:
        """Formats that list ranges alone have no word for a hole: one in them would be taken as allocated."""
        if self._output in (*MAPS, "human") or self._kinds:
            return batch
        holes = batch.total(Kind.HOLE)
        if not holes:
            return batch
        self._algebra.left_out["hole"] = self._algebra.left_out.get("hole", 0) + holes
        return batch.only(*_TOLD)

    def _emitter(self, file: BinaryIO) -> Any:
        from blockdiff.emitters import ThinDeltaEmitter, make_emitter

        output = self._output
        if output == "human":
            return _Rows(file)
        if output == "thin-delta":
            return ThinDeltaEmitter(file, block_size=self._block)
        if output in ("nbd", "ovirt") and self._algebra.context == CHANGES:
            output += "-dirty"
        return make_emitter(output, file, **({"kinds": True} if self._kinds else {}))


_TOLD = tuple(kind for kind in Kind if kind is not Kind.HOLE)


class _Rows:
    """Rows of offset, length and kind."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        tails: dict[int, tuple[bytes, bytes, bytes]] = {
            kind: (b"", b" ", b"  " + kind.label.encode() + b"\n") for kind in Kind
        }
        self._template = Template(tails, widths=(16, 14))

    def record(self, number: int, record: Record) -> None:
        if number == 1:
            self._file.write(_HEADER)
        format_extents(record.extents, self._template, self._file.write)

    def done(self, count: int) -> None:
        self._file.flush()


@contextlib.contextmanager
def _marked(file: BinaryIO, output: str) -> Iterator[None]:
    """Ends a list that was cut by an error so that no reader takes it as whole: lines have no end of their own."""
    try:
        yield
    except BaseException:
        if output == "jsonl":
            with contextlib.suppress(OSError, ValueError):
                file.write(_CUT)
        raise


def _is_block(name: str) -> bool:
    try:
        return stat.S_ISBLK(os.stat(name).st_mode)
    except OSError:
        return False
