"""Channels to SnapshotMetadata services: TLS with the service's own CA and nothing else, or a driver's socket."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from blockdiff.csi.ca import roots
from blockdiff.csi.errors import InvalidArgs, LookupFailed, StatusError, shown
from blockdiff.csi.tlscheck import diagnose
from blockdiff.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.csi.rpc import Method
    from blockdiff.csi.tlscheck import Finding
    from blockdiff.record import Record

RECEIVE_LIMIT = 256 << 20  # bytes of one message: 600 000 tuples are 12 MiB
LONGEST = 1e9  # seconds; gRPC's clock does not go on for ever
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT),
    ("grpc.max_send_message_length", RECEIVE_LIMIT),
    ("grpc.enable_retries", 0),  # a stream is taken up again where it broke, not from its beginning
    ("grpc.use_local_subchannel_pool", 1),  # a new attempt connects anew, and now
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # which is how long a handshake may take
    ("grpc.keepalive_time_ms", 330_000),  # just above what servers allow who were not asked
    ("grpc.keepalive_timeout_ms", 20_000),
)


class Place:
    """Where a service is, and how to get there. Each ``connect`` is a new connection.

    ``ca_cert`` (PEM) is the only CA that is trusted; without one a unix socket is spoken to without TLS, and every
    other address is refused. ``client_cert`` and ``client_key`` (PEM) are shown to a server that wants to know who
    comes. Raises CACertError, InvalidArgs.
    """

    def __init__(
        self, address: str, ca_cert: bytes, server_name: str = "", client_cert: bytes = b"", client_key: bytes = b""
    ) -> None:
        if not f"{address}{server_name}".isprintable():
            raise InvalidArgs(f"{address!r} or the server name {server_name!r} is no text")
        self.address = f"unix://{address}" if address.startswith("/") else address
        self.server_name, self._pair = server_name, (client_cert, client_key)
        self.ca_cert = b"" if is_local(address) and not ca_cert else roots(ca_cert)
        if bool(client_cert) != bool(client_key):
            raise InvalidArgs("a client certificate and its key go together")
        if client_cert:
            roots(client_cert, "the client certificate")
            if b"PRIVATE KEY-----" not in client_key:
                raise InvalidArgs("the key of the client certificate is no PEM text of a private key")

    def connect(self) -> Any:
        """A grpc.Channel; nothing is asked yet."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what is wrong is in the errors; its log goes to our stderr
        try:
            import grpc
        except ImportError as error:
            raise BackendUnavailable(f"grpc cannot be used ({error})", hint="pip install 'blockdiff[csi]'") from None
        if not self.ca_cert:
            return grpc.insecure_channel(self.address, (*_OPTIONS, ("grpc.default_authority", "localhost")))
        named = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        certificate, key = (part or None for part in self._pair)
        trusted = grpc.ssl_channel_credentials(self.ca_cert, key, certificate)
        try:
            return grpc.secure_channel(self.address, trusted, (*_OPTIONS, *named))
        except (ValueError, TypeError) as error:  # UnicodeError is one, too
            raise LookupFailed(f"grpc.NewClient({self.address!r}): {error}") from None

    def diagnose(self) -> Finding | None:
        """Why there is no connection, as far as can be told."""
        if is_local(self.address):
            return None
        return diagnose(self.address, self.ca_cert, self.server_name)


def is_local(address: str) -> bool:
    """True for a unix socket: who may use it is what its mode says."""
    return address.startswith(("unix:", "/"))


def stream(place: Place, method: Method, request: Any, timeout: float) -> Iterator[Record]:
    """One attempt: the records of one call. Leaving it early cancels the call. Raises StatusError.

    Servers are told the timeout, and some end a stream well when it is over. So the end of a stream that comes so late
    proves nothing, not even where gRPC's clock stood still with the machine: DEADLINE_EXCEEDED.
    """
    channel = place.connect()

    import grpc

    from blockdiff.csi import wire

    try:
        begun = _clock()
        call = method.call(channel)(request, timeout=min(timeout, LONGEST))
        for message in call:
            yield wire.decode(message)
        if _clock() - begun >= timeout:
            raise StatusError("DEADLINE_EXCEEDED", "the stream ended when its time was over, which may have cut it")
    except grpc.RpcError as error:
        raise StatusError(error.code().name, shown(error.details() or "")) from None
    finally:
        channel.close()  # cancels what goes on


def _clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
