"""From options to a server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from blockdiff.cli.serve.options import IGNORED
from blockdiff.errors import InvalidInput, RemoteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.csi.driver import Driver
    from blockdiff.csi.server.tls import ServerTls
    from blockdiff.csi.sidecar.gate import Gate
    from blockdiff.csi.sidecar.sidecar import Sidecar

_log = logging.getLogger("blockdiff.csi.server")


def build(options: Mapping[str, Any]) -> Sidecar:
    """The sidecar. Raises InvalidInput, UnsupportedOperation, RemoteError."""
    from blockdiff.csi.sidecar.sidecar import Sidecar

    for name in IGNORED:
        if options[name] is not None:
            _log.warning("--%s has no effect: the log goes to stderr", name)
    address = address_of(options)
    tls = server_tls(options)
    gate = _plain_gate(options, address) if options["plain"] else _kube_gate(options)
    if tls is None and not options["plain"]:
        raise InvalidInput("--tls-cert and --tls-key are missing: tokens are not taken without TLS")
    return Sidecar(
        driver_of(options),
        gate,
        address,
        tls=tls,
        max_streams=options["max_streams"],
        duration=options["max_streaming_duration_min"] * 60.0,
        http=options["http_endpoint"],
        metrics=not options["disable_metrics"],
        metrics_path=options["metrics_path"],
        probe_interval=options["probe_interval"],
        exit_on_driver_loss=options["exit_on_driver_loss"],
    )


def address_of(options: Mapping[str, Any]) -> str:
    """Where to listen."""
    if options["address"]:
        return str(options["address"])
    host = options["bind"]
    return f"[{host}]:{options['port']}" if ":" in host and not host.startswith("[") else f"{host}:{options['port']}"


def server_tls(options: Mapping[str, Any]) -> ServerTls | None:
    """The server's certificate, None if there is none; and what protocols it takes."""
    from blockdiff.csi.server import tlspolicy
    from blockdiff.csi.server.tls import ServerTls

    tlspolicy.apply(
        options["tls_min_version"], _names(options["tls_cipher_suites"]), _names(options["tls_curve_preferences"])
    )
    cert, key = options["tls_cert"], options["tls_key"]
    if bool(cert) != bool(key):
        raise InvalidInput("--tls-cert and --tls-key go together")
    if not cert:
        if options["client_ca"]:
            raise InvalidInput("--client-ca needs --tls-cert and --tls-key")
        return None
    return ServerTls(cert, key, options["client_ca"] or None)


def driver_of(options: Mapping[str, Any]) -> Driver:
    """The CSI driver, behind its socket or in this process."""
    if options["sources"]:
        from blockdiff.csi.provider.catalog import parse_sources
        from blockdiff.csi.provider.driver import Provider
        from blockdiff.csi.provider.identity import check_name

        return Provider(parse_sources(options["sources"]), name=check_name(options["driver_name"]))
    from blockdiff.csi.driver import SocketDriver

    return SocketDriver(options["csi_address"], timeout=options["timeout"])


def _kube_gate(options: Mapping[str, Any]) -> Gate:
    from blockdiff.csi.sidecar.base import BaseCheck, effective_mode
    from blockdiff.csi.sidecar.cluster import PATIENCE, Cluster, ClusterError
    from blockdiff.csi.sidecar.kubegate import KubeGate

    cluster = Cluster(options["kubeconfig"], qps=options["kube_api_qps"], burst=options["kube_api_burst"])
    try:
        mode, warning = effective_mode(cluster, options["check_base_ownership"], PATIENCE)
    except ClusterError as error:
        raise RemoteError(str(error)) from None
    if warning:
        _log.warning("%s", warning)
    return KubeGate(cluster, BaseCheck(cluster, mode), options["audience"])


def _plain_gate(options: Mapping[str, Any], address: str) -> Gate:
    from blockdiff.csi.server.address import parse
    from blockdiff.csi.sidecar.grants import Grants
    from blockdiff.csi.sidecar.plaingate import PlainGate

    tokens = Grants(options["token_file"], secret=True) if options["token_file"] else None
    clients = Grants(options["client_file"], secret=False) if options["client_file"] else None
    where = parse(address)
    if clients and not options["client_ca"]:
        raise InvalidInput("--client-file needs --client-ca, which makes sure of the names")
    if not (tokens or options["client_ca"] or where.path):
        raise InvalidInput("--plain lets everybody in here: give --client-ca, --token-file, or a unix socket")
    if tokens and not where.path and not options["tls_cert"]:
        raise InvalidInput("tokens are not taken over TCP without TLS: give --tls-cert and --tls-key")
    handle = options["handle"] or "{name}"
    if "{namespace}" not in handle and any(grants and grants.narrow for grants in (tokens, clients)):
        _log.warning(
            "namespaces keep nothing apart: with --handle '%s' whoever was granted one may read every snapshot", handle
        )
    return PlainGate(tokens=tokens, clients=clients, handle=handle)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
