"""A server of changed blocks on loopback: ``-m bench.csi_server native|plain``; prints its address, ends with stdin.

A request's ``starting_offset`` is how many ranges are wanted, ``max_results`` how many a message: 4 KiB in every 8 KiB.
``native`` encodes as blockdiff does, ``plain`` makes a message of protobuf for each range, as the library has it.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from blockdiff._fast import Extents
from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import kube
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP, LENGTH = 8192, 4096
FIXED = BlockMetadataType.FIXED_LENGTH


def records(count: int, each: int) -> Iterator[Record]:
    """The stream, made as it is sent."""
    first = Extents([(at * STEP, LENGTH) for at in range(each)])
    for start in range(0, count, each):
        yield Record(FIXED, count * STEP, first[: count - start].shift(start * STEP))


def native(request: Any, _context: Any) -> Iterator[bytes]:
    return map(wire.encode, records(request.starting_offset, request.max_results))


def plain(request: Any, _context: Any) -> Iterator[bytes]:
    count, each = request.starting_offset, request.max_results
    for start in range(0, count, each):
        message = kube.GetMetadataDeltaResponse(block_metadata_type=1, volume_capacity_bytes=count * STEP)
        add = message.block_metadata.add
        for at in range(start, min(count, start + each)):
            add(byte_offset=at * STEP, size_bytes=LENGTH)
        yield message.SerializeToString()


def main() -> None:
    behaviour = {"native": native, "plain": plain}[sys.argv[1]]
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((rpc.generic_handler(rpc.KUBE_SERVICE, {rpc.KUBE_DELTA: behaviour}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
