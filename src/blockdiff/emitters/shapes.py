"""Extent lists as other tools print them, for programs that read those."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from blockdiff._fast import Template, format_extents
from blockdiff.engine.output import Output
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from blockdiff.record import Record


class ListEmitter:
    """Writes one array of extents over all records; a subclass names the template and the array's frame."""

    template: ClassVar[Template]
    opening: ClassVar[bytes] = b"["
    closing: ClassVar[bytes] = b"]\n"

    def __init__(self, out: BinaryIO) -> None:
        self._out = Output(out)
        self._empty = True

    def record(self, number: int, record: Record) -> None:
        """Writes a record's extents."""
        if number == 1:
            self._out.write(self.opening)
        format_extents(record.extents, self.template, self._out.write, first=self._empty)
        self._empty = self._empty and not len(record.extents)

    def done(self, count: int) -> None:
        """Ends the array."""
        if not count:
            self._out.write(self.opening)
        self._out.write(self.closing)
        self._out.flush()


def _by_kind(text: Callable[[Kind], tuple[bytes, bytes, bytes]], separator: bytes) -> Template:
    return Template({kind: text(kind) for kind in Kind}, separator=separator)


def _rbd(kind: Kind) -> tuple[bytes, bytes, bytes]:
    exists = b"false" if kind in (Kind.ZERO, Kind.HOLE) else b"true"
    return b'{"offset":', b',"length":', b',"exists":"%s"}' % exists


def _qemu(kind: Kind) -> tuple[bytes, bytes, bytes]:
    # zero with data is what qemu calls allocated and known to read as zeroes: a reader must not drop it as a hole
    facts = {Kind.ZERO: (b"true", b"true", b"true"), Kind.HOLE: (b"false", b"true", b"false")}
    return (
        b'{ "start": ',
        b', "length": ',
        b', "depth": 0, "present": %s, "zero": %s, "data": %s, "compressed": false}'
        % facts.get(kind, (b"true", b"false", b"true")),
    )


def _nbd(kind: Kind) -> tuple[bytes, bytes, bytes]:
    facts = {Kind.ZERO: (2, b"zero"), Kind.HOLE: (3, b"hole,zero")}
    return b'{ "offset": ', b', "length": ', b', "type": %d, "description": "%s" }' % facts.get(kind, (0, b"data"))


def _nbd_dirty(kind: Kind) -> tuple[bytes, bytes, bytes]:
    facts = (0, b"clean") if kind is Kind.HOLE else (1, b"dirty")
    return b'{ "offset": ', b', "length": ', b', "type": %d, "description": "%s" }' % facts


def _ovirt(kind: Kind) -> tuple[bytes, bytes, bytes]:
    facts = {Kind.ZERO: (b"true", b"false"), Kind.HOLE: (b"true", b"true")}
    return b'{"start": ', b', "length": ', b', "zero": %s, "hole": %s}' % facts.get(kind, (b"false", b"false"))


def _ovirt_dirty(kind: Kind) -> tuple[bytes, bytes, bytes]:
    facts = {Kind.ZERO: (b"true", b"true"), Kind.HOLE: (b"false", b"false")}
    return b'{"start": ', b', "length": ', b', "dirty": %s, "zero": %s}' % facts.get(kind, (b"true", b"false"))


class RbdEmitter(ListEmitter):
    """``rbd diff --format json``."""

    template = _by_kind(_rbd, b",")


class QemuEmitter(ListEmitter):
    """``qemu-img map --output json``."""

    template = _by_kind(_qemu, b",\n")


class NbdEmitter(ListEmitter):
    """``nbdinfo --map --json``."""

    template = _by_kind(_nbd, b",\n")
    opening = b"[\n"
    closing = b"\n]\n"


class NbdDirtyEmitter(NbdEmitter):
    """``nbdinfo --map=qemu:dirty-bitmap:NAME --json``: holes are what did not change."""

    template = _by_kind(_nbd_dirty, b",\n")


class OvirtEmitter(ListEmitter):
    """Extents of ovirt-imageio, context ``zero``."""

    template = _by_kind(_ovirt, b", ")


class OvirtDirtyEmitter(ListEmitter):
    """Extents of ovirt-imageio, context ``dirty``: holes are what did not change."""

    template = _by_kind(_ovirt_dirty, b", ")
