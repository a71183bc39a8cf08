"""Servers of changed blocks for the benchmarks: prints its address when it is ready, ends with stdin.

    python -m bench.csi_server sidecar CERT KEY            the sidecar over TLS, the driver is in its process
    python -m bench.csi_server relay CERT KEY SOCKET       the sidecar over TLS, in front of a driver's socket
    python -m bench.csi_server driver SOCKET               that driver
    python -m bench.csi_server plain CERT KEY              protobuf's own messages, one for each range, over TLS

A snapshot's name is how many ranges it has: 4 KiB in every 8 KiB, made up as they are sent.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc

from blockdiff._fast import Extents
from blockdiff.csi import rpc
from blockdiff.csi._pb import kube
from blockdiff.csi.driver import SocketDriver
from blockdiff.csi.provider.plugin import Plugin
from blockdiff.csi.server.tls import ServerTls
from blockdiff.csi.sidecar.plaingate import PlainGate
from blockdiff.csi.sidecar.sidecar import Sidecar
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.csi.provider.driver import Provider

STEP, LENGTH = 8192, 4096
EACH = 10_000  # ranges a message, where the client does not say
FIXED = BlockMetadataType.FIXED_LENGTH


class Made:
    """A driver whose snapshots are made up."""

    name = "bench.example.com"

    def ready(self) -> bool:
        return True

    def supports_metadata(self) -> bool:
        return True

    def allocated(self, snapshot_id: str, *, limit: int, **_: Any) -> Iterator[Record]:
        return self.delta("", snapshot_id, limit=limit)

    def delta(self, _base: str, snapshot_id: str, *, limit: int, **_: Any) -> Iterator[Record]:
        count, each = int(snapshot_id), limit or EACH
        first = Extents([(at * STEP, LENGTH) for at in range(each)])
        for start in range(0, count, each):
            yield Record(FIXED, count * STEP, first[: count - start].shift(start * STEP))

    def close(self) -> None:
        """It holds nothing."""


def plain(request: Any, _context: Any) -> Iterator[bytes]:
    count, each = int(request.target_snapshot_name), request.max_results or EACH
    for start in range(0, count, each):
        message = kube.GetMetadataDeltaResponse(block_metadata_type=1, volume_capacity_bytes=count * STEP)
        add = message.block_metadata.add
        for at in range(start, min(count, start + each)):
            add(byte_offset=at * STEP, size_bytes=LENGTH)
        yield message.SerializeToString()


def serve_plain(cert: str, key: str) -> tuple[Any, str]:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((rpc.generic_handler(rpc.KUBE_SERVICE, {rpc.KUBE_DELTA: plain}),))
    pair = (Path(key).read_bytes(), Path(cert).read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    return server, f"127.0.0.1:{port}"


def serve_sidecar(driver: Any, cert: str, key: str) -> tuple[Any, str]:
    sidecar = Sidecar(driver, PlainGate(), "127.0.0.1:0", tls=ServerTls(cert, key))
    sidecar.start()
    for _ in range(3000):
        if sidecar._monitor.ready:
            return sidecar, sidecar.listener.address
        time.sleep(0.01)
    raise SystemExit("the driver does not become ready")


def serve_driver(socket: str) -> tuple[Any, str]:
    plugin: Any = Plugin(cast("Provider", Made()), f"unix://{socket}")
    plugin.start()
    return plugin, f"unix://{socket}"


def main(kind: str, *words: str) -> None:
    if kind == "plain":
        server, address = serve_plain(*words)
    elif kind == "driver":
        server, address = serve_driver(*words)
    else:
        cert, key, *rest = words
        server, address = serve_sidecar(SocketDriver(f"unix://{rest[0]}") if rest else Made(), cert, key)
    print(address, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
