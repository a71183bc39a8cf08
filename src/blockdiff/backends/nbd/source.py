"""What a metadata context of an export lists, such as a dirty bitmap of QEMU: a source of block metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from blockdiff._fast import Extents
from blockdiff.backends.nbd.address import BITMAP, parse_address
from blockdiff.backends.nbd.connect import Lost, list_contexts, named
from blockdiff.backends.nbd.device import ask
from blockdiff.backends.nbd.opening import Opening, message
from blockdiff.errors import BlockdiffError, DeviceError, InvalidInput, SnapshotNotFound, StreamInterrupted
from blockdiff.errors import UnsupportedOperation as Unsupported
from blockdiff.record import BlockMetadataType, Record
from blockdiff.snapshot import Snapshot, SnapshotPair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.backends.nbd.address import NbdAddress
    from blockdiff.locator import Locator


def open_source(base: Locator | None, target: Locator) -> tuple[NbdSource, SnapshotPair]:
    """The source of a URL that names a context, and the pair that it tells about. InvalidInput for two URLs."""
    if base is not None:
        raise InvalidInput(f"{target.text} says by itself since when it lists changes: name it alone")
    address = parse_address(target)
    name = address.context.removeprefix(BITMAP)
    return NbdSource(address), SnapshotPair(Snapshot(address.export, name), Snapshot(address.export, ""))


class NbdSource:
    """Lists where a metadata context has a flag set: of a dirty bitmap, what was written since it was made.

    ``size`` is the export's. Opening raises SnapshotNotFound where the export has no such context, UnsupportedOperation
    where the server has none at all.
    """

    method = "cbt"

    def __init__(self, address: NbdAddress) -> None:
        self._address, self.url = address, str(address)
        opening = Opening(address, [address.context])
        self._export, self.size = opening.export, opening.export.size
        if address.context not in self._export.contexts:
            opening.close()
            raise _missing(address, structured=self._export.structured)
        self._session = opening.session()
        self.warnings: list[str] = []

    def records(self, pair: SnapshotPair, *, start: int = 0, limit: int = 0) -> Iterator[Record]:
        """The extents that have a flag and end after ``start``. Raises DeviceError, StreamInterrupted."""
        del pair  # the context says it
        given = False
        for found in self._batches(start):
            given = True
            for first in range(0, len(found), limit or len(found)):
                part = found[first : first + limit] if limit else found
                yield Record(BlockMetadataType.VARIABLE_LENGTH, self.size, part)
        if not given:  # an empty list still says whose it is
            yield Record(BlockMetadataType.VARIABLE_LENGTH, self.size, Extents())

    def _batches(self, start: int) -> Iterator[Extents]:
        session, at, before = self._session, start, self._session.resumed
        while at < self.size:
            found, told = self._ask(at)
            if session.resumed != before and at > start:
                # the bitmap may have been made anew meanwhile: its two halves would not be of one time
                raise StreamInterrupted(
                    f"the connection to {self.url} was lost while its list was read, and the list may be another now: "
                    "read it again",
                    resume_offset=start,
                )
            if session.resumed != before:
                before = session.resumed
                self.warnings.append(f"the connection to {self.url} was lost and made again before the list began")
            at = told
            if len(found):
                yield found

    def _ask(self, at: int) -> tuple[Extents, int]:
        from blockdiff._nbd import BITMAP as MODE
        from blockdiff._nbd import NbdError

        export, number = self._export, self._export.contexts[self._address.context]
        try:
            return ask(self._session, export, number, MODE, at, self.size)
        except NbdError as error:
            raise DeviceError(
                message(error), url=self.url, action="list the changes of", offset=at, errno=error.errno
            ) from error

    def close(self) -> None:
        """Gives the connections back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _missing(address: NbdAddress, *, structured: bool) -> BlockdiffError:
    """Why the context cannot be had, and which there are."""
    if not structured:
        return Unsupported(f"cannot open {address}: the server knows no metadata contexts")
    try:
        known = list_contexts(address)
    except (Lost, BlockdiffError):
        known = []
    if not address.context.startswith(BITMAP):
        return SnapshotNotFound(
            f"cannot open {address}: the export has no such context (it has {named(known) or 'none'})"
        )
    bitmaps = [name.removeprefix(BITMAP) for name in known if name.startswith(BITMAP)]
    return SnapshotNotFound(
        f"cannot open {address}: the export has no such bitmap (it has {named(bitmaps) or 'none'}); "
        "a server offers those that it was told to"
    )
