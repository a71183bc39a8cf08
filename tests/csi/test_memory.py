"""A long stream through all that a server and a client do with it, in memory that does not grow."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from blockdiff._fast import Extents
from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import kube
from blockdiff.csi.emitters import JSONEmitter
from blockdiff.csi.stream import bounded, clipped
from blockdiff.engine.source import emit, ordered
from blockdiff.record import BlockMetadataType, Record

FIRST = Extents([(at * 8192, 4096) for at in range(25_000)])
FIXED = BlockMetadataType.FIXED_LENGTH


def records(count):
    capacity = count * FIRST.end * 2
    return (Record(FIXED, capacity, FIRST.shift(number * 25_000 * 8192)) for number in range(count))


def behaviour(request, context):
    return map(wire.encode, bounded(clipped(ordered(records(request.starting_offset)), 4096), 10_000))


server = grpc.server(ThreadPoolExecutor(1))
server.add_generic_rpc_handlers((rpc.generic_handler(rpc.KUBE_SERVICE, {rpc.KUBE_DELTA: behaviour}),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, open("/dev/null", "wb") as out:
    for count in map(int, sys.argv[1:]):
        stream = rpc.KUBE_DELTA.call(channel)(kube.GetMetadataDeltaRequest(starting_offset=count))
        messages = emit(wire.decode_all(stream), JSONEmitter(out))
        print(messages, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, flush=True)
server.stop(None)
"""


@pytest.mark.unsanitized
@pytest.mark.parametrize(
    "count",
    [pytest.param(1000, id="25-million"), pytest.param(4000, id="100-million", marks=pytest.mark.slow)],
)
def test_memory_does_not_grow_with_the_stream(count):
    """25 million ranges are 270 MB on the wire and 600 MB as records; what gRPC reads ahead is less than the limit."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, "20", str(count)], capture_output=True, text=True, timeout=300, check=True
    )
    (few, before), (many, after) = (map(int, line.split()) for line in run.stdout.splitlines())
    assert (few, many) == (60, 3 * count)
    assert after - before < 150, f"{before} MiB after {few} messages, {after} MiB after {many}"
