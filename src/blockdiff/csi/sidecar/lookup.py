"""From the name of a VolumeSnapshot to the handle that the driver knows, and the secrets to read it with.

Objects come from the API server as they are: each part may be missing, ``status`` first of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.csi.errors import StatusError
from blockdiff.csi.sidecar.cluster import ClusterError, part
from blockdiff.csi.sidecar.gate import Target
from blockdiff.csi.sidecar.secret import secret_of
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.cluster import Cluster

DEFAULT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"


def find(cluster: Cluster, namespace: str, name: str, driver: str, call: Call) -> Target:
    """The snapshot as the driver knows it. Raises StatusError."""
    snapshot = _snapshot(cluster, namespace, name, call)
    content_name = str(part(snapshot, "status")["boundVolumeSnapshotContentName"])
    content = _content(cluster, content_name, call)
    if part(content, "spec").get("driver") != driver:
        raise StatusError("INVALID_ARGUMENT", f"VolumeSnapshot '{name}' does not belong to the CSI driver '{driver}'")
    _check_bound(content_name, content, snapshot, namespace, name)
    return Target(
        handle=str(part(content, "status")["snapshotHandle"]),
        secrets=_secrets(cluster, snapshot, content, (content_name, namespace, name), driver, call),
        volume=volume_of(content),
    )


def volume_of(content: Mapping[str, Any]) -> str:
    """The handle of the volume that a VolumeSnapshotContent was made of, empty if it does not say."""
    return str(part(content, "spec", "source").get("volumeHandle") or "")


def refusal(error: ClusterError, text: str, *, missing: str = "FAILED_PRECONDITION") -> StatusError:
    """A status for what the API server said: what waiting cannot change is not UNAVAILABLE."""
    if error.status == 404:
        return StatusError(missing, f"{text}: {error}")
    return StatusError("FAILED_PRECONDITION" if error.permanent else "UNAVAILABLE", f"{text}: {error}")


def _snapshot(cluster: Cluster, namespace: str, name: str, call: Call) -> dict[str, Any]:
    try:
        snapshot = cluster.snapshot(namespace, name, call)
    except ClusterError as error:
        raise refusal(error, f"failed to get VolumeSnapshot '{namespace}/{name}'", missing="NOT_FOUND") from None
    status = part(snapshot, "status")
    if not status.get("readyToUse"):
        raise StatusError("UNAVAILABLE", f"the VolumeSnapshot is not yet ready, name: {name}")
    if not status.get("boundVolumeSnapshotContentName"):
        raise StatusError(
            "UNAVAILABLE", f"boundVolumeSnapshotContentName is not set in VolumeSnapshot status, name: {name}"
        )
    return snapshot


def _content(cluster: Cluster, name: str, call: Call) -> dict[str, Any]:
    try:
        content = cluster.content(name, call)
    except ClusterError as error:
        raise refusal(error, f"failed to get VolumeSnapshotContent '{name}'", missing="NOT_FOUND") from None
    status = part(content, "status")
    if not status.get("readyToUse"):
        raise StatusError("UNAVAILABLE", f"the VolumeSnapshotContent is not yet ready, name: {name}")
    if not status.get("snapshotHandle"):
        raise StatusError("UNAVAILABLE", f"snapshotHandle is not set in VolumeSnapshotContent status, name: {name}")
    return content


def _check_bound(
    content_name: str, content: Mapping[str, Any], snapshot: Mapping[str, Any], namespace: str, name: str
) -> None:
    """A content that points at another snapshot is not this one's, whatever this one says."""
    reference = part(content, "spec", "volumeSnapshotRef")
    uid = part(snapshot, "metadata").get("uid")
    wanted = {"namespace": namespace, "name": name, "uid": uid}
    if any(reference.get(key) and value and reference[key] != value for key, value in wanted.items()):
        raise StatusError(
            "FAILED_PRECONDITION",
            f"VolumeSnapshotContent '{content_name}' does not identify VolumeSnapshot '{namespace}/{name}'",
        )


def _secrets(
    cluster: Cluster,
    snapshot: Mapping[str, Any],
    content: Mapping[str, Any],
    names: tuple[str, str, str],
    driver: str,
    call: Call,
) -> Mapping[str, str]:
    chosen = part(snapshot, "spec").get("volumeSnapshotClassName") or part(content, "spec").get(
        "volumeSnapshotClassName"
    )
    name, parameters = _class(cluster, str(chosen or ""), driver, call)
    content_name, namespace, snapshot_name = names
    try:
        place = secret_of(parameters, content=content_name, namespace=namespace, snapshot=snapshot_name)
    except InvalidInput as error:
        raise StatusError(
            "FAILED_PRECONDITION", f"invalid snapshotter secret parameters in VolumeSnapshotClass: {name}: {error}"
        ) from None
    if place is None:
        return {}
    try:
        return cluster.secret(place.namespace, place.name, call)
    except ClusterError as error:
        raise refusal(error, "failed to get credentials") from None


def _class(cluster: Cluster, chosen: str, driver: str, call: Call) -> tuple[str, Mapping[str, str]]:
    """Name and parameters of the class."""
    if chosen:
        try:
            found = cluster.snapshot_class(chosen, call)
        except ClusterError as error:
            raise refusal(error, f"failed to get VolumeSnapshotClass '{chosen}'") from None
        return chosen, _parameters(found)
    try:
        classes = cluster.snapshot_classes(call)
    except ClusterError as error:
        raise refusal(error, "failed to list VolumeSnapshotClasses") from None
    defaults = [
        one
        for one in classes
        if one.get("driver") == driver and part(one, "metadata", "annotations").get(DEFAULT_CLASS) == "true"
    ]
    if len(defaults) != 1:
        text = "multiple default VolumeSnapshotClasses are" if defaults else "no default VolumeSnapshotClass is"
        raise StatusError("FAILED_PRECONDITION", f"{text} set for the CSI driver '{driver}'")
    return str(part(defaults[0], "metadata").get("name")), _parameters(defaults[0])


def _parameters(found: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(key): str(value) for key, value in part(found, "parameters").items()}
