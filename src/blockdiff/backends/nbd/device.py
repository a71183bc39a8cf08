"""An NBD export as a device."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.backends.nbd.address import parse_address
from blockdiff.backends.nbd.opening import Opening, message
from blockdiff.engine.plan import whole
from blockdiff.engine.sharing import Handle, Sharing
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput, ShortRead, UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from blockdiff._nbd import Session
    from blockdiff.backends.nbd.negotiate import Export
    from blockdiff.locator import Locator

ALLOCATION = "base:allocation"
MAX_BATCH = 4096
ASK = 0xFC000000  # bytes of one question without extended headers: a multiple of every block size
ZERO_AT_ONCE = 16 << 30  # bytes: the requests for so much are in flight together
ZERO_STEP = 4 << 20  # bytes of zeroes written where the server cannot zero
NO_MAP = "the server tells no block status, so all of it is called data"


def open_device(
    locator: Locator, *, writable: bool = False, create_size: int | None = None, force: bool = False
) -> NbdDevice:
    """Opens an export. A writable one that the server exports for reading only is UnsupportedOperation.

    ``create_size`` and ``force`` change nothing: exports are not made by clients, and servers do not tell who else
    uses them.
    """
    del create_size, force
    opening = Opening(parse_address(locator), [ALLOCATION])
    if writable and opening.export.read_only:
        opening.close()
        raise UnsupportedOperation(f"{opening.address} cannot be written: the server exports it for reading only")
    return NbdDevice(opening, writable=writable)


class NbdDevice(Sharing["Session"]):
    """An export of an NBD server. All I/O is positional; units are bytes. ``export`` is what was agreed on."""

    def __init__(self, opening: Opening, *, writable: bool = False) -> None:
        self.address, self.export = opening.address, opening.export
        self.url, self.size = str(opening.address), opening.export.size
        self.block_size = max(512, opening.export.min_block)
        self.writable, self.created, self.discards = writable, False, False
        session = opening.session()
        self._handle = Handle(session, session.close)
        self.in_flight = opening.in_flight
        self._capsule: Any = None
        self._context = opening.export.contexts.get(ALLOCATION)
        if self._context is None:
            self._handle.map_note = NO_MAP

    # ---- what it is ----

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """Equal for two spellings of one export."""
        return self.address.identity

    @property
    def session(self) -> Session:
        """The native side. DeviceError when the device is closed."""
        return self._held()

    @property
    def map_note(self) -> str:
        """Why the extents call more data than they could, in words; empty where they do not."""
        return self._handle.map_note if self._handle is not None else ""

    def fileno(self) -> None:
        """There is none: the native core reads it by a driver."""

    def driver(self) -> Any:
        """What the native reader reads and writes it by, several requests in flight."""
        if self._capsule is None:
            self._capsule = self.session.driver()
        return self._capsule

    def changes(self) -> str:
        """What happened since it was opened: whether its connection was lost and made again."""
        count = self.session.resumed
        if not count:
            return ""
        times = "once" if count == 1 else f"{count} times"
        return f"its connection was lost and made again {times}, to an export of the same size"

    def evidence(self) -> dict[str, Any]:
        """What tells the export from others, for checkpoints: its address. Of its content NBD tells nothing."""
        _, host, port, export = self.identity
        return {"who": {"server": f"{host}:{port}" if port else host, "export": export}}

    def explain(self, code: int) -> str:
        """What the server or the connection said about an error; empty where the system's words must do."""
        said = "" if self._handle is None else self._handle.held.explain(code)
        return said or ("the server is shutting down" if code == errno.ESHUTDOWN else "")

    def refuse_if_same(self, source: object) -> None:
        """Raises DeviceBusy when writing here would change the source."""
        if getattr(source, "identity", None) == self.identity:
            raise DeviceBusy(f"{self.url} is the source itself")

    # ---- reading ----

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Fills the buffer from ``offset``; ShortRead where the export ends before, DeviceError when it fails."""
        with memoryview(buffer) as all_of_it, all_of_it.cast("B") as view:
            wanted = max(0, min(offset + len(view), self.size) - offset)
            session = self.session
            if wanted:
                self._try(lambda: session.read_into(view[:wanted], offset), "read", offset, wanted)
            if wanted < len(view):
                raise ShortRead(
                    "the export ends here",
                    url=self.url, action="read", offset=offset + wanted, length=len(view) - wanted,
                )  # fmt: skip

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """Data, zero and hole as the server's block status has them; all is data where it tells none."""
        session, end = self.session, self.size if length is None else min(self.size, start + length)
        if self._context is None:
            return iter(whole(start, end))
        return self._mapped(session, start, end)

    def _mapped(self, session: Session, start: int, end: int) -> Iterator[Extents]:
        from blockdiff._nbd import ALLOCATION as MODE

        assert self._context is not None
        at = start
        while at < end:
            found, at = self._status(session, self._context, MODE, at, end)
            for first in range(0, len(found), MAX_BATCH):
                yield found[first : first + MAX_BATCH]

    def _status(self, session: Session, context: int, mode: int, start: int, end: int) -> tuple[Extents, int]:
        """One answer about ``[start, end)``. Of a range that the server cannot tell about, all is data."""
        from blockdiff._nbd import NbdError

        try:
            return ask(session, self.export, context, mode, start, end)
        except NbdError as error:
            if session.broken or error.errno == errno.EPROTO:
                raise self._failed(error, "ask for the block status of", start, end - start) from error
            if self._handle is not None:
                why = f"the server could not tell the block status at {start} ({message(error)})"
                self._handle.map_note = f"{why}: what follows is called data"
            return Extents([(start, end - start)]), end

    # ---- writing ----

    def pwrite(self, data: Buffer, offset: int) -> None:
        """Writes all of it or raises DeviceError."""
        with memoryview(data) as all_of_it, all_of_it.cast("B") as view:
            self._writing(offset, len(view))
            session = self.session
            if len(view):
                self._try(lambda: session.write(view, offset), "write", offset, len(view))

    def zero(self, offset: int, length: int, *, punch: bool = True) -> None:
        """Makes a range read as zeroes; with ``punch`` the server may give its space back."""
        from blockdiff._nbd import NbdError

        self._writing(offset, length)
        session = self.session
        if not length:
            return
        try:
            for at in range(offset, offset + length, ZERO_AT_ONCE):
                session.zero(at, min(ZERO_AT_ONCE, offset + length - at), punch=punch)
        except NbdError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise self._failed(error, "zero", offset, length) from error
            for rest in self._trimmed(offset, length) if punch else [(offset, length)]:
                self._write_zeroes(*rest)

    def _write_zeroes(self, offset: int, length: int) -> None:
        nothing = memoryview(bytes(min(length, ZERO_STEP)))
        for at in range(offset, offset + length, ZERO_STEP):
            self.pwrite(nothing[: min(ZERO_STEP, offset + length - at)], at)

    def _trimmed(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Trims the range where that is possible; what of it the server does not say to read as zeroes since then."""
        from blockdiff._nbd import NbdError
        from blockdiff.backends.nbd.negotiate import FLUSH, TRIM

        # without a flush what another connection is told might be of the time before
        if self._context is None or self.export.flags & (FLUSH | TRIM) != FLUSH | TRIM:
            return [(offset, length)]
        try:
            self.session.trim(offset, length)
            self.session.flush()
        except NbdError as error:
            if self.session.broken:
                raise self._failed(error, "trim", offset, length) from error
            return [(offset, length)]
        return [(e.offset, e.length) for part in self.extents(offset, length) for e in part.only(Kind.DATA)]

    def flush(self) -> None:
        """Returns when everything written is on stable storage, as far as the server can tell."""
        from blockdiff.backends.nbd.negotiate import FLUSH

        if self.writable and self.export.flags & FLUSH:
            self._try(self.session.flush, "flush")

    def _writing(self, offset: int, length: int) -> None:
        self.session  # noqa: B018 - a closed device says that first
        if not self.writable:
            raise InvalidInput(f"{self.url} was opened for reading only")
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidInput(f"writing [{offset}, {offset + length}) leaves {self.url}, which has {self.size} bytes")

    # ---- trouble ----

    def _try(self, call: Any, action: str, offset: int | None = None, length: int | None = None) -> Any:
        from blockdiff._nbd import NbdError

        try:
            return call()
        except NbdError as error:
            raise self._failed(error, action, offset, length) from error

    def _failed(self, error: Any, action: str, offset: int | None, length: int | None) -> DeviceError:
        said = error.text or self.explain(error.errno) or message(error)
        return DeviceError(said, url=self.url, action=action, offset=offset, length=length, errno=error.errno)


def ask(session: Session, export: Export, context: int, mode: int, start: int, end: int) -> tuple[Extents, int]:
    """What a context tells from ``start`` on: at least of a byte, at most up to ``end``; and where that ends.

    Whole blocks are asked for. Raises NbdError, also where the server tells less than a block.
    """
    from blockdiff._nbd import NbdError

    block, told = export.min_block, start
    high = min(export.size, -(-end // block) * block)
    while True:
        low = told - told % block
        found, told = session.status(context, mode, low, high - low if export.extended else min(high - low, ASK))
        if told > start:
            break
        if told - told % block <= low:
            raise NbdError(errno.EPROTO, "the server tells the block status of parts of blocks")
    told = min(told, end)
    return found if low == start and found.end <= end else found.clip(start, told), told
