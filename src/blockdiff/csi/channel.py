"""Channels to SnapshotMetadata services: TLS with the service's own CA and nothing else, or a driver's socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.csi.ca import roots
from blockdiff.csi.errors import StatusError
from blockdiff.csi.tlscheck import diagnose
from blockdiff.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.csi.rpc import Method
    from blockdiff.csi.tlscheck import Finding
    from blockdiff.record import Record

RECEIVE_LIMIT = 256 << 20  # bytes of one message: 600 000 tuples are 12 MiB
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

    ``ca_cert`` (PEM) is the only CA that is trusted; None is a connection without TLS, for sockets of this machine.
    """

    def __init__(self, address: str, ca_cert: bytes | None, server_name: str = "") -> None:
        self.address, self.server_name = address, server_name
        self.ca_cert = None if ca_cert is None else roots(ca_cert)

    def connect(self) -> Any:
        """A grpc.Channel; nothing is asked yet."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what is wrong is in the errors; its log goes to our stderr
        try:
            import grpc
        except ImportError as error:
            raise BackendUnavailable(f"grpc cannot be used ({error})", hint="pip install 'blockdiff[csi]'") from None
        if self.ca_cert is None:
            return grpc.insecure_channel(self.address, (*_OPTIONS, ("grpc.default_authority", "localhost")))
        named = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self.ca_cert), (*_OPTIONS, *named))

    def diagnose(self) -> Finding | None:
        """Why there is no connection, as far as can be told."""
        if self.ca_cert is None or self.address.startswith(("unix:", "/")):
            return None
        return diagnose(self.address, self.ca_cert, self.server_name)


def stream(place: Place, method: Method, request: Any, timeout: float) -> Iterator[Record]:
    """One attempt: the records of one call. Leaving it early cancels the call. Raises StatusError."""
    import grpc

    from blockdiff.csi import wire

    channel = place.connect()
    try:
        call = method.call(channel)(request, timeout=timeout)
        for message in call:
            yield wire.decode(message)
    except grpc.RpcError as error:
        raise StatusError(error.code().name, error.details() or "") from None
    finally:
        channel.close()  # cancels what goes on
