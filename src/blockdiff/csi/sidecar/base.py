"""May this user name this handle as the base of a delta.

The request carries the driver's handle, so that a base can be named whose VolumeSnapshot is gone. A handle that the
cluster still knows must be of this driver, of the target's volume, and of a namespace whose snapshots the user may get.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from blockdiff.csi.errors import StatusError
from blockdiff.csi.sidecar.access import allowed
from blockdiff.csi.sidecar.cluster import ClusterError, Patience, part
from blockdiff.csi.sidecar.lookup import refusal, volume_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.cluster import Cluster
    from blockdiff.csi.sidecar.gate import Target, User

    Content = Mapping[str, Any]

MODES = ("auto", "known", "strict", "off")


class BaseCheck:
    """``known`` lets a handle pass that no VolumeSnapshotContent has, ``strict`` does not; ``off`` lets all pass."""

    def __init__(self, cluster: Cluster, mode: str) -> None:
        self._cluster, self._mode = cluster, mode
        self._names: dict[str, str] = {}  # where a handle was found last; looked at again each time
        self._lock = threading.Lock()

    def check(self, handle: str, namespace: str, target: Target, user: User, driver: str, call: Call) -> None:
        """Raises StatusError if the handle may not be the base."""
        if self._mode == "off" or handle == target.handle:
            return
        if self._still_there(handle, namespace, target, user, driver, call):
            return
        found = self._find(handle, call)
        ours = [content for content in found if part(content, "spec").get("driver") == driver]
        if found and not ours:
            raise StatusError(
                "INVALID_ARGUMENT", f"base snapshot '{handle}' does not belong to the CSI driver '{driver}'"
            )
        if not ours and self._mode == "strict":
            raise StatusError("NOT_FOUND", f"base snapshot '{handle}' is of no VolumeSnapshotContent")
        seen = [content for content in ours if self._may_see(content, namespace, user, call)]
        if ours and not seen:
            raise StatusError(
                "PERMISSION_DENIED",
                "user does not have permissions to perform the operation: "
                f"base snapshot '{handle}' belongs to another namespace",
            )
        if seen and not any(_same_volume(content, target) for content in seen):
            raise StatusError("INVALID_ARGUMENT", f"base snapshot '{handle}' is of another volume than the target")
        if seen:
            self._remember(handle, seen[0])

    def _still_there(self, handle: str, namespace: str, target: Target, user: User, driver: str, call: Call) -> bool:
        """True if the content that had it the last time has it still, and the user may: most calls end here."""
        with self._lock:
            name = self._names.get(handle)
        if name is None:
            return False
        try:
            content = self._cluster.content(name, call)
        except ClusterError:
            return False
        return (
            _has(content, handle)
            and part(content, "spec").get("driver") == driver
            and _same_volume(content, target)
            and self._may_see(content, namespace, user, call)
        )

    def _find(self, handle: str, call: Call) -> list[Content]:
        try:
            return [content for content in self._cluster.contents(call) if _has(content, handle)]
        except ClusterError as error:
            raise refusal(error, "failed to list VolumeSnapshotContents") from None

    def _may_see(self, content: Content, namespace: str, user: User, call: Call) -> bool:
        owner = str(part(content, "spec", "volumeSnapshotRef").get("namespace") or "")
        return owner == namespace or (bool(owner) and allowed(self._cluster, user, owner, call)[0])

    def _remember(self, handle: str, content: Content) -> None:
        with self._lock:
            if len(self._names) > 100_000:
                self._names.clear()
            self._names[handle] = str(part(content, "metadata").get("name"))


def _same_volume(content: Content, target: Target) -> bool:
    volume = volume_of(content)
    return not volume or not target.volume or volume == target.volume


def _has(content: Content, handle: str) -> bool:
    """The handle of a snapshot that was made, or that is to be taken over."""
    source = part(content, "spec", "source").get("snapshotHandle")
    return handle in (part(content, "status").get("snapshotHandle"), source)


def effective_mode(cluster: Cluster, mode: str, patience: float) -> tuple[str, str]:
    """What can be done of a mode, and a warning if that is less than it says.

    ``auto`` is ``known`` where the sidecar may list VolumeSnapshotContents and ``off`` where it may not. Raises
    ClusterError in the other modes.
    """
    if mode == "off":
        return mode, ""
    try:
        next(iter(cluster.contents(Patience(patience, threading.Event()), page=1)), None)
    except ClusterError as error:
        if error.status == 403 and mode == "auto":
            return "off", (
                f"base handles are NOT checked: {error}; a client may name the snapshot of any namespace as its base. "
                "Let the service account list volumesnapshotcontents"
            )
        if mode != "auto":
            raise ClusterError(
                f"--check-base-ownership={mode} needs to list VolumeSnapshotContents: {error}", status=error.status
            ) from None
    return ("known" if mode == "auto" else mode), ""
