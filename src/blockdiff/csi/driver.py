"""The driver side of changed block tracking as the sidecar sees it: in this process, or behind a CSI socket."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import csi
from blockdiff.csi.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from blockdiff.record import Record

RECEIVE_LIMIT = 256 << 20  # bytes of one message of a driver, who alone decides; 600 000 tuples are 12 MiB
MARGIN = 30.0  # seconds that a driver is given beyond our deadline: some end a stream cleanly when their time is up
SNAPSHOT_METADATA_SERVICE = 4


class Cancelled(threading.Event):
    """Set when nobody waits for the answer any more: the client is gone, or its time is up. ``reason`` is a code."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = "CANCELLED"
        self._calls: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def call(self, function: Callable[[], object]) -> None:
        """Runs a function once the event is set, at once if it is."""
        with self._lock:
            if not self.is_set():
                self._calls.append(function)
                return
        function()

    def cancel(self, reason: str = "CANCELLED") -> None:
        """Sets the event; the first reason stays."""
        with self._lock:
            if self.is_set():
                return
            self.reason = reason
            calls, self._calls = self._calls, []
            self.set()
        for function in calls:
            function()


class Driver(Protocol):
    """What a SnapshotMetadata server asks of a storage system.

    ``name`` is that of the CSI driver; it may need a call, and raise StatusError. Streams are lazy: they ask for
    nothing before the first record is wanted. ``deadline`` is a time of ``time.monotonic()``. Long work looks at
    ``cancelled`` between batches. Errors of streams are StatusError with the codes of the CSI specification.
    """

    @property
    def name(self) -> str:
        """The name of the driver."""

    def ready(self) -> bool:
        """True when it can serve now."""

    def supports_metadata(self) -> bool:
        """True when it has the capability SNAPSHOT_METADATA_SERVICE."""

    def allocated(
        self,
        snapshot_id: str,
        *,
        start: int,
        limit: int,
        secrets: Mapping[str, str],
        deadline: float,
        cancelled: threading.Event,
    ) -> Iterator[Record]:
        """The ranges of a snapshot that hold data, from ``start`` (bytes), at most ``limit`` a record (0: any)."""

    def delta(
        self,
        base_id: str,
        target_id: str,
        *,
        start: int,
        limit: int,
        secrets: Mapping[str, str],
        deadline: float,
        cancelled: threading.Event,
    ) -> Iterator[Record]:
        """The ranges of the target that changed since the base."""

    def close(self) -> None:
        """Gives back what it holds."""


class SocketDriver:
    """A CSI driver at ``unix:///path``, a path, or ``host:port``. ``timeout`` (seconds) is for calls of one answer."""

    def __init__(self, endpoint: str, *, timeout: float = 60.0) -> None:
        import grpc

        self.endpoint = target(endpoint)
        self._timeout = timeout
        options = (
            ("grpc.max_receive_message_length", RECEIVE_LIMIT),
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5000),
            ("grpc.default_authority", "localhost"),  # some drivers' HTTP/2 refuses a path there
            ("grpc.use_local_subchannel_pool", 1),
        )
        self._channel = grpc.insecure_channel(self.endpoint, options)

    @property
    def name(self) -> str:
        """The driver's name, asked for each time: another one may have taken the socket."""
        return str(self._ask(rpc.PLUGIN_INFO, csi.GetPluginInfoRequest()).name)

    def ready(self) -> bool:
        """What Probe says; a driver that does not say is ready, one that answers with an error is not."""
        try:
            answer = self._ask(rpc.PROBE, csi.ProbeRequest())
        except StatusError:
            return False
        return not answer.HasField("ready") or bool(answer.ready.value)

    def supports_metadata(self) -> bool:
        answer = self._ask(rpc.PLUGIN_CAPABILITIES, csi.GetPluginCapabilitiesRequest())
        return any(one.service.type == SNAPSHOT_METADATA_SERVICE for one in answer.capabilities)

    def allocated(
        self,
        snapshot_id: str,
        *,
        start: int,
        limit: int,
        secrets: Mapping[str, str],
        deadline: float,
        cancelled: threading.Event,
    ) -> Iterator[Record]:
        request = csi.GetMetadataAllocatedRequest(
            snapshot_id=snapshot_id, starting_offset=start, max_results=limit, secrets=secrets
        )
        return self._stream(rpc.CSI_ALLOCATED, request, deadline, cancelled)

    def delta(
        self,
        base_id: str,
        target_id: str,
        *,
        start: int,
        limit: int,
        secrets: Mapping[str, str],
        deadline: float,
        cancelled: threading.Event,
    ) -> Iterator[Record]:
        request = csi.GetMetadataDeltaRequest(
            base_snapshot_id=base_id,
            target_snapshot_id=target_id,
            starting_offset=start,
            max_results=limit,
            secrets=secrets,
        )
        return self._stream(rpc.CSI_DELTA, request, deadline, cancelled)

    def close(self) -> None:
        self._channel.close()

    def _ask(self, method: rpc.Method, request: Any) -> Any:
        import grpc

        try:
            return method.call(self._channel)(request, timeout=self._timeout)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            raise status_of(error) from None

    def _stream(
        self, method: rpc.Method, request: Any, deadline: float, cancelled: threading.Event
    ) -> Iterator[Record]:
        import grpc

        left = deadline - time.monotonic()
        if cancelled.is_set() or left <= 0:
            raise StatusError("DEADLINE_EXCEEDED" if left <= 0 else "CANCELLED", "nothing was asked of the driver")
        try:
            call = method.call(self._channel)(request, timeout=left + MARGIN)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            raise status_of(error) from None
        if isinstance(cancelled, Cancelled):
            cancelled.call(call.cancel)
        try:
            for message in call:
                if cancelled.is_set():
                    break
                yield wire.decode(message)
        except grpc.RpcError as error:
            if cancelled.is_set():
                check_time(deadline, cancelled)
            raise status_of(error) from None
        finally:
            call.cancel()
        check_time(deadline, cancelled)


def check_time(deadline: float, cancelled: threading.Event) -> None:
    """Raises StatusError if a stream that seems to have ended well may have been cut short by us."""
    if cancelled.is_set():
        raise StatusError(getattr(cancelled, "reason", "CANCELLED"), "the call to the CSI driver was cancelled")
    if time.monotonic() >= deadline:
        raise StatusError("DEADLINE_EXCEEDED", "the call to the CSI driver took too long")


def target(endpoint: str) -> str:
    """What gRPC calls an endpoint: a path is a unix socket, ``tcp://`` is left out."""
    if endpoint.startswith("/"):
        return f"unix://{endpoint}"
    return endpoint.removeprefix("tcp://")


def status_of(error: Exception) -> StatusError:
    """A gRPC error as ours."""
    code = getattr(error, "code", None)
    if not callable(code):
        return StatusError("UNAVAILABLE", f"no connection to the CSI driver: {error}")
    name, details = code().name, str(getattr(error, "details", str)() or "")
    if name == "RESOURCE_EXHAUSTED" and "larger than max" in details:  # ours, not the driver's: waiting does not help
        return StatusError("INTERNAL", f"failed to get response from CSI driver: {details}")
    return StatusError(name, details)
