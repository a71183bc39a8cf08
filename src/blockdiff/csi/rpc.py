"""The methods of the services by name: what a client calls and a server answers.

Responses that hold tuples stay bytes here: ``blockdiff.csi.wire`` makes them into records natively.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from blockdiff.csi._pb import csi, kube

KUBE_SERVICE = "snapshotmetadata.SnapshotMetadata"
CSI_SERVICE = "csi.v1.SnapshotMetadata"
IDENTITY_SERVICE = "csi.v1.Identity"


class Method(NamedTuple):
    """One method: ``response`` is None where the response is a stream of metadata, kept as bytes."""

    service: str
    name: str
    request: Any
    response: Any

    @property
    def path(self) -> str:
        """The full name on the wire."""
        return f"/{self.service}/{self.name}"

    def call(self, channel: Any) -> Any:
        """A callable on a channel (grpc.UnaryUnaryMultiCallable or grpc.UnaryStreamMultiCallable, of bytes)."""
        serialize = self.request.SerializeToString
        if self.response is None:
            return channel.unary_stream(self.path, request_serializer=serialize, response_deserializer=None)
        return channel.unary_unary(
            self.path, request_serializer=serialize, response_deserializer=self.response.FromString
        )

    def handler(self, behaviour: Any) -> Any:
        """A grpc.RpcMethodHandler: ``behaviour(request, context)`` gives the response, or an iterator of bytes."""
        import grpc

        if self.response is None:
            return grpc.unary_stream_rpc_method_handler(behaviour, request_deserializer=self.request.FromString)
        return grpc.unary_unary_rpc_method_handler(
            behaviour,
            request_deserializer=self.request.FromString,
            response_serializer=self.response.SerializeToString,
        )


KUBE_ALLOCATED = Method(KUBE_SERVICE, "GetMetadataAllocated", kube.GetMetadataAllocatedRequest, None)
KUBE_DELTA = Method(KUBE_SERVICE, "GetMetadataDelta", kube.GetMetadataDeltaRequest, None)
CSI_ALLOCATED = Method(CSI_SERVICE, "GetMetadataAllocated", csi.GetMetadataAllocatedRequest, None)
CSI_DELTA = Method(CSI_SERVICE, "GetMetadataDelta", csi.GetMetadataDeltaRequest, None)
PLUGIN_INFO = Method(IDENTITY_SERVICE, "GetPluginInfo", csi.GetPluginInfoRequest, csi.GetPluginInfoResponse)
PLUGIN_CAPABILITIES = Method(
    IDENTITY_SERVICE, "GetPluginCapabilities", csi.GetPluginCapabilitiesRequest, csi.GetPluginCapabilitiesResponse
)
PROBE = Method(IDENTITY_SERVICE, "Probe", csi.ProbeRequest, csi.ProbeResponse)


def generic_handler(service: str, behaviours: dict[Method, Any]) -> Any:
    """A handler for ``server.add_generic_rpc_handlers``, of methods of one service."""
    import grpc

    return grpc.method_handlers_generic_handler(
        service, {method.name: method.handler(behaviour) for method, behaviour in behaviours.items()}
    )
