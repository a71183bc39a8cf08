"""Authentication and authorization by the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.csi.errors import StatusError
from blockdiff.csi.sidecar.cluster import ClusterError, part
from blockdiff.csi.sidecar.gate import User

if TYPE_CHECKING:
    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.cluster import Cluster


def authenticate(cluster: Cluster, token: str, audience: str, call: Call) -> User:
    """The user of a token that was made for the audience."""
    try:
        status = cluster.review_token(token, audience, call)
    except ClusterError as error:
        raise StatusError("INTERNAL", f"failed to authenticate user: {error}") from None
    user = part(status, "user")
    audiences = status.get("audiences")
    if status.get("authenticated") is not True or not isinstance(audiences, list) or audience not in audiences:
        raise StatusError("UNAUTHENTICATED", "unauthenticated user")
    return User(str(user.get("username") or ""), user)


def audience_of(cluster: Cluster, driver: str, call: Call) -> str:
    """The audience that the driver's SnapshotMetadataService names."""
    try:
        found = part(cluster.service(driver, call), "spec").get("audience") or ""
    except ClusterError as error:
        why = f"failed to find the SnapshotMetadataService CR for driver '{driver}': {error}"
        raise StatusError("INTERNAL", f"failed to authenticate user: {why}") from None
    if not found:
        raise StatusError(
            "INTERNAL", f"failed to authenticate user: the SnapshotMetadataService CR of '{driver}' has no audience"
        )
    return str(found)


def allowed(cluster: Cluster, user: User, namespace: str, call: Call) -> tuple[bool, str]:
    """May the user get VolumeSnapshots of a namespace; the reason if not."""
    try:
        status = cluster.review_access(dict(user.info), namespace, call)
    except ClusterError as error:
        raise StatusError("INTERNAL", f"failed to authorize the user: {error}") from None
    return status.get("allowed") is True and not status.get("denied"), str(status.get("reason") or "")


def authorize(cluster: Cluster, user: User, namespace: str, call: Call) -> None:
    """Raises StatusError unless the user may get VolumeSnapshots of the namespace."""
    fine, reason = allowed(cluster, user, namespace, call)
    if not fine:
        raise StatusError("PERMISSION_DENIED", f"user does not have permissions to perform the operation: {reason}")
