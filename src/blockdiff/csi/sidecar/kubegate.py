"""The gate of a cluster: tokens, rights, and snapshots are those of the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.csi.sidecar import access, lookup

if TYPE_CHECKING:
    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.base import BaseCheck
    from blockdiff.csi.sidecar.cluster import Cluster
    from blockdiff.csi.sidecar.gate import Target, User


class KubeGate:
    """``audience`` stands in for that of the driver's SnapshotMetadataService, if it is not empty."""

    needs_token = True

    def __init__(self, cluster: Cluster, base: BaseCheck, audience: str = "") -> None:
        self._cluster, self._base, self._audience = cluster, base, audience

    def admit(self, token: str, namespace: str, driver: str, call: Call) -> User:
        audience = self._audience or access.audience_of(self._cluster, driver, call)
        user = access.authenticate(self._cluster, token, audience, call)
        call.fields["user"] = user.name
        access.authorize(self._cluster, user, namespace, call)
        return user

    def target(self, namespace: str, name: str, driver: str, call: Call) -> Target:
        return lookup.find(self._cluster, namespace, name, driver, call)

    def check_base(self, handle: str, namespace: str, target: Target, user: User, driver: str, call: Call) -> None:
        self._base.check(handle, namespace, target, user, driver, call)
