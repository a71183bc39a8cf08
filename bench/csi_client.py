"""Reads a stream of changed blocks: ``csi_client.py ADDRESS CA COUNT``; prints how many ranges and bytes came."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from blockdiff.csi import rpc
from blockdiff.csi._pb import kube
from blockdiff.csi.connection import SnapshotMetadata

Answer = tuple[int, int]


def native(service: SnapshotMetadata, count: int) -> Answer:
    """As blockdiff reads it: made into records natively, checked, and taken up again if it broke."""
    found = total = 0
    with service.delta("bench", "base", str(count)) as stream:
        for record in stream:
            found += len(record.extents)
            total += record.extents.total()
    return found, total


def plain(channel: Any, count: int) -> Answer:
    """As generated code reads it: a message for each range. Nothing is checked."""
    call = channel.unary_stream(
        rpc.KUBE_DELTA.path,
        request_serializer=kube.GetMetadataDeltaRequest.SerializeToString,
        response_deserializer=kube.GetMetadataDeltaResponse.FromString,
    )
    request = kube.GetMetadataDeltaRequest(namespace="bench", base_snapshot_id="base", target_snapshot_name=str(count))
    found = total = 0
    for message in call(request):
        for entry in message.block_metadata:
            found += 1
            total += entry.size_bytes
    return found, total


if __name__ == "__main__":
    address, ca, wanted = sys.argv[1:]
    print(*native(SnapshotMetadata(address, ca_cert=Path(ca).read_bytes(), token=""), int(wanted)))
