"""blockdiff serve snapshot-metadata."""

from __future__ import annotations

import math
from typing import Any

import click

from blockdiff.cli.base import CONTEXT
from blockdiff.cli.serve.duration import Duration
from blockdiff.cli.serve.options import klog_options, listen_options, log_options, not_empty, tls_options
from blockdiff.cli.snapshot_metadata.goclick import GoCommand
from blockdiff.errors import InvalidInput


@click.command("snapshot-metadata", cls=GoCommand, context_settings=CONTEXT)
@click.option(
    "--kubeconfig", default="", metavar="FILE", help="How to reach the API server.  [default: in the cluster]"
)
@click.option(
    "--csi-address",
    default="/run/csi/socket",
    show_default=True,
    metavar="ENDPOINT",
    help="The CSI driver: a path, unix:///PATH or HOST:PORT.",
)
@click.option("--timeout", type=Duration(), default="1m", show_default=True, help="For a driver's single answers.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="[NAME=]SOURCE",
    help="Be the driver, too: serve dir:PATH or rbd:POOL[/NAMESPACE], as serve csi does.",
)
@click.option(
    "--driver-name", default="blockdiff", show_default=True, help="With --source: the name of the CSI driver."
)
@click.option("--kube-api-qps", type=float, default=5.0, show_default=True, help="Requests a second to the API server.")
@click.option("--kube-api-burst", type=int, default=10, show_default=True, help="Requests at once to the API server.")
@click.option("--audience", default="", help="Of tokens, instead of the SnapshotMetadataService's.")
@click.option(
    "--check-base-ownership",
    type=click.Choice(("auto", "known", "strict", "off")),
    default="auto",
    show_default=True,
    help="Which base handles a client may name: known is all but those of other namespaces, drivers or volumes.",
)
@click.option("--plain", is_flag=True, help="Without Kubernetes: certificates and tokens decide, names are handles.")
@click.option(
    "--token-file", default=None, callback=not_empty, metavar="FILE", help="With --plain: lines TOKEN NAMESPACE..."
)
@click.option(
    "--client-file",
    default=None,
    callback=not_empty,
    metavar="FILE",
    help="With --plain: lines CERTIFICATE-NAME NAMESPACE...",
)
@click.option(
    "--handle",
    default=None,
    callback=not_empty,
    metavar="TEMPLATE",
    help="With --plain: the handle of {namespace}/ and {name}.  [default: {name}]",
)
@click.option(
    "--http-endpoint",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Health and metrics; empty for none.",
)
@click.option("--metrics-path", default="/metrics", show_default=True, help="Of the metrics on the HTTP endpoint.")
@click.option("--disable-metrics", is_flag=True, help="Health only.")
@click.option(
    "--probe-interval", type=Duration(), default="10s", show_default=True, help="How often the driver is asked."
)
@click.option(
    "--exit-on-driver-loss", is_flag=True, help="End with 5 when the driver is lost, instead of waiting for it."
)
@listen_options()
@tls_options()
@log_options()
@klog_options()
@click.option("--version", is_flag=True, help="Print the version and exit.")
def command(version: bool, **options: Any) -> int:
    """Serve the Kubernetes SnapshotMetadata service in front of a CSI driver.

    A drop-in for csi-snapshot-metadata: the same flags, also with one dash, and the same service; what is different is
    in docs/csi/server.md. Streams are checked before they are passed on. --plain serves without Kubernetes.

    \b
    Examples:
      blockdiff serve snapshot-metadata --bind 0.0.0.0 --tls-cert tls.crt --tls-key tls.key
      blockdiff serve snapshot-metadata --plain --source dir:/snapshots --address unix:///run/cbt.sock
      blockdiff serve snapshot-metadata --plain --csi-address /run/csi/socket --bind 0.0.0.0 \\
          --tls-cert tls.crt --tls-key tls.key --client-ca ca.crt --token-file tokens
    """
    if version:
        from importlib.metadata import version as version_of

        click.echo(f"Version: {version_of('blockdiff')}")
        return 0
    from blockdiff.cli.serve.building import build
    from blockdiff.cli.serve.running import run, write_log

    write_log(options["log_format"], options["v"])
    check(options)
    return run(build(options), grace=options["grace"])


def check(options: dict[str, Any]) -> None:
    """Usage that can be told before anything is opened. Raises InvalidInput."""
    positive = {"timeout": options["timeout"], "probe-interval": options["probe_interval"]}
    for name, value in positive.items():
        if value <= 0:
            raise InvalidInput(f"--{name} must be longer than 0")
    if not math.isfinite(options["kube_api_qps"]):
        raise InvalidInput("--kube-api-qps is no number")
    if not options["plain"]:
        for name in ("token_file", "client_file", "handle"):
            if options[name] is not None:
                raise InvalidInput(f"--{name.replace('_', '-')} goes with --plain")
    elif options["kubeconfig"] or options["audience"]:
        raise InvalidInput("--kubeconfig and --audience do not go with --plain: there is no Kubernetes")
    if not options["sources"] and not options["csi_address"]:
        raise InvalidInput("--csi-address is empty: name the driver's socket")
