"""``blockdiff serve csi``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Size
from blockdiff.cli.serve.duration import Duration
from blockdiff.cli.serve.options import log_options, not_empty, tls_options
from blockdiff.engine.diff import METHODS
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.csi.provider.door import Door
    from blockdiff.csi.provider.driver import Provider
    from blockdiff.csi.provider.plugin import Plugin


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
@click.option("--driver-name", default="blockdiff", show_default=True, help="The name of the CSI driver.")
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
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="As of blockdiff diff.")
@click.option(
    "--require",
    type=click.Choice(METHODS[1:]),
    default=None,
    help="Refuse deltas (FAILED_PRECONDITION: make a full backup) that would need another method.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=0,
    metavar="N",
    help="Threads that read for one stream.  [default: one a processor, at most 4]",
)
@click.option("--rate", type=Size(), default=0, help="Read at most so many bytes a second for one stream.")
@click.option(
    "--max-streams",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="Streams at once; one more is refused.",
)
@click.option(
    "--max-streaming-duration-min",
    type=click.IntRange(1, 1 << 20),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="The longest that a stream may take.",
)
@click.option("--grace", type=Duration(), default="20s", show_default=True, help="For streams to finish, at the end.")
@click.option(
    "--token-file",
    default=None,
    callback=not_empty,
    metavar="FILE",
    help="Lines TOKEN SOURCE-NAME...; tokens come in the metadata.",
)
@tls_options()
@log_options()
def command(**options: Any) -> int:
    """Serve the snapshots of a directory or of a pool as a CSI driver with changed block tracking.

    It speaks csi.v1.SnapshotMetadata and csi.v1.Identity, and nothing else of CSI. Snapshots are opened for reading
    only; they must not change while they are served.

    A unix socket is for its owner only. What others can reach needs TLS.

    \b
    Examples:
      blockdiff serve csi --source dir:/srv/snapshots
      blockdiff serve csi --source 'rbd:rbd?conf=a.conf' --require fast-diff --endpoint unix:///run/csi/csi.sock
    """
    from blockdiff.cli.serve.running import run, write_log

    write_log(options["log_format"], options["v"])
    return run(build(options), grace=options["grace"])


def build(options: Mapping[str, Any]) -> Plugin:
    """From options to a server. Raises InvalidInput, UnsupportedOperation."""
    from blockdiff.cli.serve.building import server_tls
    from blockdiff.csi.provider.plugin import Plugin

    tls = server_tls(options)
    return Plugin(
        _provider(options),
        options["endpoint"],
        door=_door(options),
        tls=tls,
        max_streams=options["max_streams"],
        duration=options["max_streaming_duration_min"] * 60.0,
    )


def _provider(options: Mapping[str, Any]) -> Provider:
    from blockdiff.csi.provider.catalog import parse_sources
    from blockdiff.csi.provider.driver import Provider
    from blockdiff.csi.provider.identity import check_name
    from blockdiff.csi.provider.shape import Shape

    return Provider(
        parse_sources(options["sources"]),
        name=check_name(options["driver_name"]),
        shape=Shape(fixed=options["block_type"] == "fixed", block_size=options["block_size"]),
        method=options["method"],
        require=options["require"],
        workers=options["workers"],
        rate=options["rate"],
    )


def _door(options: Mapping[str, Any]) -> Door:
    from blockdiff.csi.provider.door import Door
    from blockdiff.csi.server.address import parse
    from blockdiff.csi.sidecar.grants import Grants

    where = parse(options["endpoint"])
    if not options["token_file"]:
        if options["tls_cert"] and not options["client_ca"] and not where.loopback:
            raise InvalidInput(f"{options['endpoint']} lets everybody in: give --client-ca or --token-file")
        return Door()
    if not where.path and not options["tls_cert"]:
        raise InvalidInput("tokens are not taken over TCP without TLS: give --tls-cert and --tls-key")
    return Door(Grants(options["token_file"], secret=True))
