"""Opens an export, over several connections where the server allows that, and again when they are lost."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from blockdiff.backends.nbd.connect import EXTRA_TIMEOUT, TIMEOUT, Lost, connect
from blockdiff.errors import BlockdiffError, RemoteError

if TYPE_CHECKING:
    from blockdiff._nbd import Link, Session
    from blockdiff.backends.nbd.address import NbdAddress
    from blockdiff.backends.nbd.negotiate import Export

CONNECTIONS = 4
WORTH = 16 << 20  # bytes of an export that are worth more than one connection
# Bytes of a chunk, how many a worker has in flight, how many bytes at most, and bytes of a request. A server on this
# machine shares its processors with us, and each request more wakes another of its threads: only small ones are sent
# several at a time. Across a network it is the way that costs.
HERE = ((2 << 20, 16, 1 << 20), 2 << 20)
FAR = ((1 << 20, 16, 0), 1 << 20)


class Opening:
    """How an export was opened: it can be opened again, and is then the same one, or not opened at all.

    ``in_flight``: the bytes of a chunk, how many a worker asks for at once, and bytes that are enough (0: no limit);
    ``piece``: the bytes of one request.
    """

    def __init__(self, address: NbdAddress, contexts: list[str]) -> None:
        self.address, self._contexts = address, contexts
        self.in_flight, self.piece = HERE if address.socket else FAR
        try:
            self._first, self.export = connect(address, contexts)
        except Lost as error:
            raise RemoteError(f"cannot connect to {address}: {error}") from error

    def session(self, *, resume: bool = True) -> Session:
        """The native side of it. With ``resume`` a lost connection is made again."""
        from blockdiff._nbd import Session

        export = self.export
        most = max(export.min_block, min(self.piece, export.max_payload))
        session = Session(
            [self._first],
            again=self._again if resume else None,
            size=export.size,
            flags=export.flags,
            structured=export.structured,
            extended=export.extended,
            block=export.min_block,
            piece=most - most % export.min_block,
            limit=self.address.timeout or TIMEOUT,
            near=bool(self.address.socket),
        )
        self._add_connections(session)
        return session

    def close(self) -> None:
        """Hangs up, where no session was made."""
        self._first.close()

    def _add_connections(self, session: Session) -> None:
        """As many more as are worth it. A server that lets them wait, or has another export there, gets no more."""
        if not self.export.multi_conn or self.export.size < WORTH:
            return
        with suppress(Lost, BlockdiffError):
            for _ in range(1, self.address.connections or CONNECTIONS):
                link, export = connect(self.address, self._contexts, patience=EXTRA_TIMEOUT)
                if export != self.export:
                    link.close()
                    return
                session.add(link)

    def _again(self) -> Link:
        """A new connection to the same export. NbdError(EAGAIN) says that it may come later."""
        from blockdiff._nbd import NbdError

        try:
            link, export = connect(self.address, self._contexts)
        except Lost as error:
            raise NbdError(errno.EAGAIN, f"and it cannot be made again: {error}") from error
        except BlockdiffError as error:
            raise NbdError(errno.ECONNRESET, f"and it cannot be made again: {error}") from error
        if what := _other(self.export, export):
            link.close()
            raise NbdError(errno.ESTALE, f"and what is there now is another export: {what}")
        return link


def _other(then: Export, now: Export) -> str:
    """How an export is another one than before; empty when it may be the same."""
    if then.size != now.size:
        return f"its size was {then.size} and is {now.size}"
    if then._replace(description="") != now._replace(description=""):
        return "its flags, block sizes or contexts are others"
    return ""


def message(error: Any) -> str:
    """What an NbdError says, or the system about its errno."""
    import os

    return str(error.text) or os.strerror(error.errno)
