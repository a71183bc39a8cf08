"""Finds a sidecar, a token and handles in a cluster, as a backup program would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.csi.args import Args
from blockdiff.csi.errors import NotReady
from blockdiff.csi.kube import KubeApi, build_clients
from blockdiff.csi.lookup import csi_driver, service, service_account, snapshot_handle
from blockdiff.testing.csi.side import KubeSide
from blockdiff.testing.csi.subject import Subject

if TYPE_CHECKING:
    import os

TOKEN_SECONDS = 3600  # the suite takes a while on a slow server


def cluster_subject(
    config: str | os.PathLike[str] | None,
    *,
    namespace: str,
    snapshot: str,
    base_name: str = "",
    base: str = "",
    context: str | None = None,
    address: str = "",
    service_account_name: str = "",
    **options: Any,
) -> Subject:
    """A subject by the names of VolumeSnapshots. ``config`` is a kubeconfig, None for what a pod has; ``base`` is a
    handle, for a base that is no VolumeSnapshot any more; ``address`` goes before that of the service.

    ``service_account_name`` is NAMESPACE/NAME, by default the caller's. Raises what the lookups raise.
    """
    account_namespace, _, account = service_account_name.rpartition("/")
    args = Args(
        clients=build_clients(config, context=context),
        namespace=namespace,
        snapshot_name=snapshot,
        address=address,
        sa_name=account,
        sa_namespace=account_namespace or (namespace if account else ""),
    )
    api = KubeApi(args.clients)
    account_namespace, account = service_account(args, api)
    found = service(args, csi_driver(args, api), api)
    token = api.create_token(account_namespace, account, found.audience, TOKEN_SECONDS).text
    side = KubeSide(found.address, namespace=namespace, token=token, ca=found.ca_cert)
    handle = base or (snapshot_handle(namespace, base_name, api) if base_name else "")
    return Subject(side, snapshot=snapshot, base=handle, handle=_handle(namespace, snapshot, api), **options)


def _handle(namespace: str, snapshot: str, api: KubeApi) -> str:
    try:
        return snapshot_handle(namespace, snapshot, api)
    except NotReady:
        return ""  # one rule less that can be judged
