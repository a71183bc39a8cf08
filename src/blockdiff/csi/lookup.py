"""From names to what a stream needs: the service account, the driver, its service, the handle of a snapshot.

The requests, their order and the texts of the errors are those of the original; an object without ``.status`` is one
that is not ready, where the original crashes.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.csi.args import K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX
from blockdiff.csi.errors import CACertError, InvalidArgs, LookupFailed, NotReady
from blockdiff.csi.kube import part

if TYPE_CHECKING:
    from blockdiff.csi.args import Args
    from blockdiff.csi.kube import KubeApi


class Service(NamedTuple):
    """What a SnapshotMetadataService says: where it is, whom tokens are for, and its CA certificate (PEM)."""

    address: str
    audience: str
    ca_cert: bytes


def service_account(args: Args, api: KubeApi) -> tuple[str, str]:
    """The namespace and name of the account whose token is sent."""
    if args.sa_name:
        return args.sa_namespace, args.sa_name
    user = api.user_name()
    fields = user.split(":")
    if not user.startswith(K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX) or len(fields) != 4:
        raise InvalidArgs("ServiceAccount unspecified and default cannot be determined")
    return fields[2], fields[3]


def csi_driver(args: Args, api: KubeApi) -> str:
    """The name of the CSI driver that has the snapshot."""
    if args.csi_driver:
        return args.csi_driver
    snapshot = f"VolumeSnapshot({args.namespace}/{args.snapshot_name})"
    found = api.volume_snapshot(args.namespace, args.snapshot_name)
    bound = part(found, "status").get("boundVolumeSnapshotContentName")
    if not bound:
        raise NotReady(f"{snapshot} has no bound VolumeSnapshotContent")
    content = api.content(bound, f"VolumeSnapshotContents.Get({bound}) for {snapshot}")
    driver = part(content, "spec").get("driver")
    if not driver:
        raise LookupFailed(f"VolumeSnapshotContent({bound}) for {snapshot} names no CSI driver")
    return str(driver)


def service(args: Args, driver: str, api: KubeApi) -> Service:
    """The service of a driver, with what the arguments say in place of what it says."""
    spec = part(api.service(driver), "spec")
    made = Service(
        args.address or str(spec.get("address") or ""),
        args.audience or str(spec.get("audience") or ""),
        args.ca_cert or decoded(spec.get("caCert")),
    )
    for value, what in ((made.address, "address"), (made.audience, "audience")):
        if not value:
            raise LookupFailed(f"SnapshotMetadataService({driver}) has no {what}")
    return made


def decoded(value: Any) -> bytes:
    """The caCert of a service: base64 of PEM."""
    try:
        return base64.b64decode("".join(str(value or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise CACertError("spec.caCert is not base64") from None


def snapshot_handle(namespace: str, name: str, api: KubeApi) -> str:
    """The CSI handle of a snapshot that is known by its name."""
    full = f"{namespace}/{name}"
    snapshot = api.volume_snapshot(namespace, name)
    status = snapshot.get("status")
    if not isinstance(status, dict) or status.get("readyToUse") is False:
        raise NotReady(f"VolumeSnapshot {full} is not yet ready")
    bound = status.get("boundVolumeSnapshotContentName")
    if not bound:
        raise NotReady(f"VolumeSnapshot {full} boundVolumeSnapshotContentName not set")
    content = api.content(bound, f"VolumeSnapshotContent.Get({bound})")
    _check_reference(content, bound, snapshot, full)
    status = content.get("status")
    if not isinstance(status, dict) or status.get("readyToUse") is False:
        raise NotReady(f"VolumeSnapshotContent({bound}) is not yet ready")
    handle = status.get("snapshotHandle")
    if not handle:  # an empty one would make it a list of allocated blocks
        raise NotReady(f"VolumeSnapshotContent({bound}) snapshot handle not set")
    return str(handle)


def _check_reference(content: dict[str, Any], bound: str, snapshot: dict[str, Any], full: str) -> None:
    """The content must be bound to this very snapshot, not to one that had its name before."""
    reference, meta = part(part(content, "spec"), "volumeSnapshotRef"), part(snapshot, "metadata")
    if reference.get("uid") and reference["uid"] != meta.get("uid"):
        raise LookupFailed(
            f"VolumeSnapshotContent({bound}) volumeSnapshotRef.UID does not identify VolumeSnapshot({full})"
        )
    if f"{reference.get('namespace')}/{reference.get('name')}" != full:
        raise LookupFailed(f"VolumeSnapshotContent({bound}) volumeSnapshotRef does not identify VolumeSnapshot({full})")
