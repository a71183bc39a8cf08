"""``blockdiff serve csi``."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Size
from blockdiff.engine.diff import METHODS
from blockdiff.engine.listing import CBT
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.csi.provider.driver import Provider
    from blockdiff.csi.server.tls import ServerTls

_METHODS = tuple(method for method in METHODS if method != CBT)  # that asks a service like this one
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@click.command("csi", cls=Command, context_settings=CONTEXT, short_help="Serve files and images as a CSI driver")
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="[NAME=]SOURCE",
    help="dir:PATH: each regular file below it is a snapshot; rbd:POOL[/NAMESPACE][?conf=FILE&...]: ids are "
    "IMAGE@SNAPSHOT. Of several each needs a NAME; ids are then NAME/ID.",
)
@click.option(
    "--endpoint",
    default="unix:///run/csi/socket",
    show_default=True,
    envvar="CSI_ENDPOINT",
    show_envvar=True,
    help="Where to listen: unix:///PATH, or HOST:PORT.",
)
@click.option("--name", default="blockdiff", show_default=True, help="The name of the CSI driver.")
@click.option(
    "--block-type",
    type=click.Choice(("variable", "fixed")),
    default="variable",
    show_default=True,
    help="variable: ranges of any length; fixed: each tuple is one block.",
)
@click.option(
    "--block-size",
    type=Size(),
    default="4K",
    show_default=True,
    help="The unit of comparing, and of fixed blocks: a power of two from 512 to 1M.",
)
@click.option("--method", type=click.Choice(_METHODS), default="auto", show_default=True, help="As of blockdiff diff.")
@click.option(
    "--require",
    type=click.Choice(_METHODS[1:]),
    default=None,
    help="Refuse deltas (FAILED_PRECONDITION: make a full backup) that would need another method.",
)
@click.option("--tls-cert", metavar="FILE", default=None, help="Certificate chain, PEM; read again when it changes.")
@click.option("--tls-key", metavar="FILE", default=None, help="Its key, PEM.")
@click.option("--tls-client-ca", metavar="FILE", default=None, help="Only clients with a certificate of this CA.")
@click.option(
    "--max-streams",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="Streams at once; one more gets RESOURCE_EXHAUSTED.",
)
@click.option(
    "--max-duration",
    type=click.FloatRange(0, min_open=True),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="The longest that a stream may take.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=0,
    metavar="N",
    help="Threads that read for one stream.  [default: one a processor, at most 4]",
)
@click.option("--rate", type=Size(), default=0, help="Read at most so many bytes a second for one stream.")
def command(endpoint: str, max_streams: int, max_duration: float, **options: Any) -> int:
    """Serve the snapshots of a directory or of a pool as a CSI driver with changed block tracking.

    It speaks csi.v1.SnapshotMetadata and csi.v1.Identity, and nothing else of CSI. Snapshots are opened for reading
    only; they must not change while they are served.

    A unix socket is for its owner only. What others can reach needs TLS.

    \b
    Examples:
      blockdiff serve csi --source dir:/srv/snapshots
      blockdiff serve csi --source 'rbd:rbd?conf=a.conf' --require fast-diff --endpoint unix:///run/csi/socket
    """
    from blockdiff.csi.server.listen import Listener

    listener = Listener(
        endpoint,
        tls=_tls(options),
        max_streams=max_streams,
        duration=max_duration,
    )
    provider = _provider(options)
    _serve(listener, provider)
    return 0


def _provider(options: dict[str, Any]) -> Provider:
    from blockdiff.csi.provider.catalog import parse_sources
    from blockdiff.csi.provider.driver import Provider
    from blockdiff.csi.provider.identity import check_name
    from blockdiff.csi.provider.shape import Shape

    return Provider(
        parse_sources(options["sources"]),
        name=check_name(options["name"]),
        shape=Shape(fixed=options["block_type"] == "fixed", block_size=options["block_size"]),
        method=options["method"],
        require=options["require"],
        workers=options["workers"],
        rate=options["rate"],
    )


def _tls(options: dict[str, Any]) -> ServerTls | None:
    cert, key, client_ca = options["tls_cert"], options["tls_key"], options["tls_client_ca"]
    if (cert is None) != (key is None) or (client_ca and not cert):
        raise InvalidInput("--tls-cert and --tls-key go together, and --tls-client-ca needs both")
    if cert is None:
        return None
    from blockdiff.csi.server.tls import ServerTls

    return ServerTls(cert, key, client_ca)


def _serve(listener: Any, provider: Provider) -> None:
    from blockdiff.csi import rpc
    from blockdiff.csi.provider import identity, service

    stopped = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stopped.set())
    listener.add_service(rpc.CSI_SERVICE, service.behaviours(provider))
    listener.add_service(rpc.IDENTITY_SERVICE, identity.behaviours(provider))
    listener.start()
    try:
        listener.set_serving(True)
        click.echo(f"serving csi.v1.SnapshotMetadata on {listener.address}", file=sys.stderr)
        stopped.wait()
    finally:
        listener.stop()
