"""A gRPC server: unix socket or TCP, TLS, health, limits, and an end that lets streams finish."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc
from blockdiff.csi.errors import StatusError
from blockdiff.csi.server import address as addresses
from blockdiff.csi.server import socketlock
from blockdiff.csi.server.call import shortened
from blockdiff.csi.server.streams import Streams
from blockdiff.errors import BackendUnavailable, DeviceBusy, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.csi.server.call import Call
    from blockdiff.csi.server.tls import ServerTls

LARGEST_REQUEST = 1 << 20  # bytes; a token is a few thousand
DURATION = 600.0  # seconds of a stream, where nothing else is said
GRACE = 20.0  # seconds that streams get to finish when the server is told to stop


class Listener:
    """A server at an address. Add services, then ``start``; ``stop`` ends it, ``wait`` waits for that.

    TCP that others can reach needs ``tls``, or ``insecure`` said aloud. ``max_streams`` is how many streams are served
    at once; one more gets RESOURCE_EXHAUSTED. Health (grpc.health.v1) begins as NOT_SERVING and has threads of its own.
    ``ended`` is told each stream that ended. Raises InvalidInput, and DeviceBusy if the address is taken.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: ServerTls | None = None,
        insecure: bool = False,
        max_streams: int = 256,
        duration: float = DURATION,
        ended: Callable[[Call], None] | None = None,
    ) -> None:
        grpc, health = _grpc()
        self._where = addresses.parse(address)
        self._tls = tls
        if tls is None and not insecure and not self._where.loopback:
            raise InvalidInput(f"{address} can be reached from outside: give a TLS certificate and key")
        self._streams = Streams(max_streams, duration, ended)
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="unary")
        self._server = grpc.server(self._pool, options=_OPTIONS)
        # blocking: the other way sends under a lock that the end of a watch waits for, and then nothing ends
        self._watches = ThreadPoolExecutor(64, thread_name_prefix="watch")
        self._health = health.HealthServicer(experimental_non_blocking=False, experimental_thread_pool=self._watches)
        self._add_health()
        self._names = [""]
        self._stopped = threading.Event()
        self._socket: tuple[int, int] | None = None
        self.set_serving(False)

    @property
    def address(self) -> str:
        """Where clients connect; with the real port once it was started."""
        return self._where.target

    @property
    def port(self) -> int:
        """The TCP port, 0 of a unix socket."""
        return self._where.port

    def add_service(self, service: str, behaviours: dict[rpc.Method, Any]) -> None:
        """Methods of a service: ``(request, call) -> records`` for streams, ``(request, context) -> response`` else.

        Errors that behaviours raise become the status of the call.
        """
        wrapped = {
            method: self._streams.wrap(method, behaviour) if method.response is None else _unary(behaviour)
            for method, behaviour in behaviours.items()
        }
        self._server.add_generic_rpc_handlers((rpc.generic_handler(service, wrapped),))
        self._names.append(service)
        self.set_serving(False)

    def set_serving(self, serving: bool) -> None:
        """What health answers, for the server and each of its services."""
        from grpc_health.v1 import health_pb2

        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            self._health.set(name, status)

    def start(self) -> None:
        """Begins to listen."""
        if self._where.path:
            self._bind_socket()
        else:
            self._where = self._where._replace(port=self._bind())
            self._server.start()

    def stop(self, grace: float = GRACE) -> None:
        """Takes no new calls, gives streams ``grace`` seconds, then ends them with an error. Safe to call again."""
        self._health.enter_graceful_shutdown()
        _wait(self._server.stop(grace), grace + 10)
        self._streams.close()
        self._pool.shutdown(wait=False)
        self._watches.shutdown(wait=False)
        if self._where.path:
            socketlock.remove(self._where.path, self._socket)
        self._stopped.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it was stopped; False if the timeout (seconds) passed."""
        return self._stopped.wait(timeout)

    def __enter__(self) -> Listener:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)

    def _bind_socket(self) -> None:
        path = self._where.path
        with socketlock.socket_lock(path):
            addresses.free_socket(path)
            with _private():
                self._bind()
            self._socket = socketlock.inode(path)
            self._server.start()

    def _bind(self) -> int:
        target = self._where.target
        try:
            if self._tls is None:
                return int(self._server.add_insecure_port(target))
            return int(self._server.add_secure_port(target, self._tls.credentials()))
        except RuntimeError as error:
            raise DeviceBusy(f"cannot listen on {target}: the address is taken, or not of this machine") from error

    def _add_health(self) -> None:
        from grpc_health.v1 import health_pb2_grpc

        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)


def _wait(event: threading.Event, timeout: float) -> None:
    """In short steps: a signal that another thread got is handled only when the main thread wakes up."""
    until = time.monotonic() + timeout
    while not event.wait(0.25) and time.monotonic() < until:
        pass


_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_REQUEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a second server at the same port is an error, not a lottery
    ("grpc.keepalive_time_ms", 60_000),  # a client whose machine is gone is found out
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 900_000),  # of clients that are gone and never said so
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)


def _unary(behaviour: Any) -> Any:
    """The behaviour with its StatusError as the status of the call."""

    def serve(request: Any, context: Any) -> Any:
        import grpc

        try:
            return behaviour(request, context)
        except StatusError as error:
            context.abort(getattr(grpc.StatusCode, error.code, grpc.StatusCode.UNKNOWN), shortened(error.details))

    return serve


@contextlib.contextmanager
def _private() -> Any:
    """Sockets made here are for their owner only."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _grpc() -> tuple[Any, Any]:
    try:
        import grpc
        from grpc_health.v1 import health
    except ImportError as error:
        raise BackendUnavailable(f"this needs gRPC: {error}", hint="pip install 'blockdiff[csi]'") from error
    return grpc, health
