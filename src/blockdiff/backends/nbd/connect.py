"""Connects to NBD servers: the socket, TLS, the handshake, and what went wrong in words."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.backends.nbd.negotiate import TLS_REQUIRED, UNKNOWN, Broken, Export, Handshake, Refused
from blockdiff.errors import BackendUnavailable, DeviceError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._nbd import Link
    from blockdiff.backends.nbd.address import NbdAddress

CONNECT_TIMEOUT = 15.0  # seconds
TIMEOUT = 60.0  # seconds that a server may be silent
EXTRA_TIMEOUT = 0.3  # the same of connections that are not needed: some servers let them wait for ever
SHOWN = 20  # names in a message


class Lost(Exception):
    """The connection could not be made or ended in the middle; it may work another time."""


def connect(address: NbdAddress, contexts: list[str], *, patience: float = 0.0) -> tuple[Link, Export]:
    """A connection in the transmission phase, and what was agreed on.

    ``patience`` (seconds) is how long it may be silent until then. Raises Lost, RemoteError, DeviceError (no such
    export), BackendUnavailable (no TLS library).
    """
    with _words(address, open_link(address, patience)) as link:
        shake = greet(address, link)
        shake.agree_on_replies()
        agreed = shake.set_contexts(address.export, contexts) if contexts else {}
        export = shake.go(address.export, agreed)
    link.limit(address.timeout or TIMEOUT)
    return link, export


def greet(address: NbdAddress, link: Link) -> Handshake:
    """The begin of the handshake, encrypted where that is asked for."""
    shake = Handshake(link)
    if address.tls:
        shake.start_tls(lambda: _encrypt(address, link))
    return shake


def open_link(address: NbdAddress, patience: float = 0.0) -> Link:
    """A connected socket. Raises Lost."""
    from blockdiff._nbd import Link

    limit = patience or min(CONNECT_TIMEOUT, address.timeout or CONNECT_TIMEOUT)
    try:
        return Link(_unix(address.socket, limit) if address.socket else _tcp(address, limit), limit=limit)
    except TimeoutError as error:
        raise Lost(f"nobody answers within {limit:g} s") from error
    except (OSError, UnicodeError) as error:
        raise Lost(getattr(error, "strerror", None) or str(error)) from error


def _unix(path: str, limit: float) -> int:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.settimeout(limit)
        made.connect(path)
        return made.detach()


def _tcp(address: NbdAddress, limit: float) -> int:
    import socket

    with socket.create_connection((address.host, address.port), limit) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return made.detach()


def list_exports(address: NbdAddress) -> list[tuple[str, str]]:
    """Names and descriptions of a server's exports. Raises Lost, RemoteError."""
    with _words(address, open_link(address)) as link:
        shake = greet(address, link)
        found = shake.list_exports()
        shake.abort()
        link.close()
    return found


def export_facts(address: NbdAddress) -> Export:
    """Size and flags of an export, which is not opened. Raises Lost, RemoteError, DeviceError."""
    with _words(address, open_link(address)) as link:
        shake = greet(address, link)
        found = shake.facts(address.export)
        shake.abort()
        link.close()
    return found


def list_contexts(address: NbdAddress) -> list[str]:
    """The names of all metadata contexts of an export. Raises Lost, RemoteError, DeviceError."""
    with _words(address, open_link(address)) as link:
        shake = greet(address, link)
        shake.agree_on_replies()
        found = shake.list_contexts(address.export)
        shake.abort()
        link.close()
    return found


def named(names: list[str]) -> str:
    """Some names for a message."""
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _encrypt(address: NbdAddress, link: Any) -> None:
    from blockdiff._nbd import TlsMissing
    from blockdiff.backends.nbd.credentials import credentials

    found = credentials(address)
    host = address.hostname or address.host or "localhost"
    try:
        link.start_tls(host=host, **found._asdict())
    except TlsMissing as error:
        raise BackendUnavailable(
            f"TLS needs libgnutls, which cannot be loaded ({error})",
            hint="install it: apt-get install libgnutls30, or dnf install gnutls",
        ) from error


@contextmanager
def _words(address: NbdAddress, link: Link) -> Iterator[Link]:
    """The link, closed where something goes wrong, which is told in words."""
    from blockdiff._nbd import NbdError

    try:
        yield link
    except Refused as error:
        link.close()
        raise _refused(address, error) from error
    except Broken as error:
        link.close()
        raise RemoteError(f"cannot open {address}: the server breaks the protocol: {error}") from error
    except NbdError as error:
        link.close()
        said = error.text or os.strerror(error.errno)
        if error.errno in (errno.EPROTO, errno.EACCES):
            raise RemoteError(f"cannot open {address}: TLS failed: {said}") from error
        raise Lost(said) from error
    except BaseException:
        link.close()
        raise


def _refused(address: NbdAddress, error: Refused) -> Exception:
    if error.code == TLS_REQUIRED and not address.tls:
        return RemoteError(f"cannot open {address}: the server wants TLS: write nbds: or nbds+unix:")
    if error.code == UNKNOWN:
        return DeviceError(
            f"the server has no such export{_known(address)}", url=str(address), action="open", errno=errno.ENOENT
        )
    what = "TLS with this server is not possible, and there is no way without" if address.tls else "the server refused"
    return RemoteError(f"cannot open {address}: {what}: {error}")


def _known(address: NbdAddress) -> str:
    """The exports that there are, where the server tells."""
    try:
        names = [name for name, _ in list_exports(address)]
    except (Lost, RemoteError):
        return ""
    return f": there is {named(names)}" if names else ": it has none"
