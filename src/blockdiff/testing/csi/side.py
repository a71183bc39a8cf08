"""The two faces of the service, under one interface: the driver's (csi.v1) and Kubernetes's (snapshotmetadata)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from blockdiff.csi import rpc
from blockdiff.csi._pb import csi, kube

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_SUCH = "blockdiff-conformance-no-such-snapshot"
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.default_authority", "localhost"),
)


class Side(ABC):
    """A connection. ``name`` is csi or kube; ``target`` is the address."""

    name = ""
    responses: tuple[Any, Any]

    def __init__(self, target: str, ca: bytes | None, pair: tuple[bytes, bytes] | None, server_name: str) -> None:
        self.target = target
        self._transport = (ca, pair, server_name)
        self.channel = self.connect()

    def connect(self) -> Any:
        """Another connection to the same server."""
        return _channel(self.target, *self._transport)

    @abstractmethod
    def allocated(self, snapshot: str, start: int, limit: int, **override: str) -> tuple[rpc.Method, Any]:
        """The method and the request. ``override`` replaces fields that the side adds by itself."""

    @abstractmethod
    def delta(self, base: str, snapshot: str, start: int, limit: int, **override: str) -> tuple[rpc.Method, Any]:
        """The method and the request."""

    def close(self) -> None:
        """Closes the connection."""
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CsiSide(Side):
    """A driver at ``unix:///path`` or ``host:port``. ``ca`` (PEM) makes it TLS, ``pair`` is our key and certificate."""

    name = "csi"
    responses = (csi.GetMetadataAllocatedResponse, csi.GetMetadataDeltaResponse)

    def __init__(
        self,
        endpoint: str,
        *,
        secrets: Mapping[str, str] | None = None,
        ca: bytes | None = None,
        pair: tuple[bytes, bytes] | None = None,
        server_name: str = "",
    ) -> None:
        super().__init__(endpoint, ca, pair, server_name)
        self._secrets = dict(secrets or {})

    def allocated(self, snapshot: str, start: int, limit: int, **override: str) -> tuple[rpc.Method, Any]:
        return rpc.CSI_ALLOCATED, csi.GetMetadataAllocatedRequest(
            snapshot_id=snapshot, starting_offset=start, max_results=limit, secrets=self._secrets
        )

    def delta(self, base: str, snapshot: str, start: int, limit: int, **override: str) -> tuple[rpc.Method, Any]:
        return rpc.CSI_DELTA, csi.GetMetadataDeltaRequest(
            base_snapshot_id=base,
            target_snapshot_id=snapshot,
            starting_offset=start,
            max_results=limit,
            secrets=self._secrets,
        )


class KubeSide(Side):
    """A sidecar at ``host:port`` (TLS, ``ca`` in PEM) or a unix socket: snapshots are names in a namespace."""

    name = "kube"
    responses = (kube.GetMetadataAllocatedResponse, kube.GetMetadataDeltaResponse)

    def __init__(
        self,
        address: str,
        *,
        namespace: str,
        token: str,
        ca: bytes | None = None,
        pair: tuple[bytes, bytes] | None = None,
        server_name: str = "",
    ) -> None:
        super().__init__(address, ca, pair, server_name)
        self._fields = {"security_token": token, "namespace": namespace}

    def allocated(self, snapshot: str, start: int, limit: int, **override: str) -> tuple[rpc.Method, Any]:
        return rpc.KUBE_ALLOCATED, kube.GetMetadataAllocatedRequest(
            **{**self._fields, **override}, snapshot_name=snapshot, starting_offset=start, max_results=limit
        )

    def delta(self, base: str, snapshot: str, start: int, limit: int, **override: str) -> tuple[rpc.Method, Any]:
        return rpc.KUBE_DELTA, kube.GetMetadataDeltaRequest(
            **{**self._fields, **override},
            base_snapshot_id=base,
            target_snapshot_name=snapshot,
            starting_offset=start,
            max_results=limit,
        )


def _channel(target: str, ca: bytes | None, pair: tuple[bytes, bytes] | None, server_name: str) -> Any:
    import grpc

    where = f"unix://{target}" if target.startswith("/") else target.removeprefix("tcp://")
    if ca is None and pair is None:
        return grpc.insecure_channel(where, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(ca, *(pair or (None, None)))
    plain = [option for option in _OPTIONS if option[0] != "grpc.default_authority"]
    name = [("grpc.ssl_target_name_override", server_name)] if server_name else []
    return grpc.secure_channel(where, credentials, [*plain, *name])
