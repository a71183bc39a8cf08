"""Reads a stream of changed blocks: ``csi_client.py ADDRESS COUNT EACH``; prints how many ranges and bytes came."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import kube
from blockdiff.engine.source import ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = tuple[int, int]


def request(count: int, each: int) -> Any:
    return kube.GetMetadataDeltaRequest(starting_offset=count, max_results=each)


def native(channel: Any, count: int, each: int) -> Answer:
    """As blockdiff reads it: bytes, made into records natively, each checked."""
    found = total = 0
    for record in ordered(wire.decode_all(rpc.KUBE_DELTA.call(channel)(request(count, each)))):
        found += len(record.extents)
        total += record.extents.total()
    return found, total


def plain(channel: Any, count: int, each: int) -> Answer:
    """As generated code reads it: a message for each range. Nothing is checked."""
    found = total = 0
    for message in responses(channel, count, each):
        for entry in message.block_metadata:
            found += 1
            total += entry.size_bytes
    return found, total


def responses(channel: Any, count: int, each: int) -> Iterator[Any]:
    call = channel.unary_stream(
        rpc.KUBE_DELTA.path,
        request_serializer=kube.GetMetadataDeltaRequest.SerializeToString,
        response_deserializer=kube.GetMetadataDeltaResponse.FromString,
    )
    return call(request(count, each))  # type: ignore[no-any-return]


if __name__ == "__main__":
    import grpc

    with grpc.insecure_channel(sys.argv[1]) as channel:
        print(*native(channel, int(sys.argv[2]), int(sys.argv[3])))
