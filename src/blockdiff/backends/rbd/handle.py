"""A device that shares an open image with its clones, and how its errors are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from blockdiff.backends.rbd.call import failed, library
from blockdiff.backends.rbd.opening import snaps_of
from blockdiff.engine.sharing import Sharing

if TYPE_CHECKING:
    from blockdiff._rbd import CephError
    from blockdiff.backends.rbd.opening import Opened, Snap


class Held(Sharing["Opened"]):
    """Something that holds an open image, and is closed with it; ``url`` names it in messages, ``facts`` are those of
    ``_rbd.Image.facts``.
    """

    url: str
    facts: dict[str, Any]

    @property
    def image(self) -> Any:
        """The native image. DeviceError when the device is closed."""
        return self._held().image

    @property
    def opened(self) -> Opened:
        """Connection, pool and image. DeviceError when the device is closed."""
        return self._held()

    @property
    def identity(self) -> tuple[str, int, str, str, int]:
        """Equal for two names of one image at one point in time."""
        opened = self.opened
        return (*self.image_identity, 0 if opened.snap is None else opened.snap.id)

    @property
    def image_identity(self) -> tuple[str, int, str, str]:
        """Equal for all snapshots of one image."""
        opened = self.opened
        return (
            opened.connection.fsid,
            opened.ioctx.pool,
            opened.ioctx.namespace,
            self.facts["id"] or self.facts["name"],
        )

    @property
    def snapshot_id(self) -> str:
        """The number of the snapshot, which no other one of the pool ever has; empty at the head."""
        snap = self.opened.snap
        return "" if snap is None else str(snap.id)

    def snapshots(self) -> list[Snap]:
        """The user's snapshots, oldest first; those of mirroring, groups and the trash are left out."""
        return [snap for snap in self.all_snapshots() if snap.namespace == "user"]

    def all_snapshots(self) -> list[Snap]:
        """All snapshots, oldest first."""
        snaps: list[Snap] = self._try(lambda: snaps_of(self.image), "list the snapshots of")
        return snaps

    def has_snapshot(self, name: str) -> bool:
        """True when the image has a user's snapshot of this name."""
        return any(snap.name == name for snap in self.snapshots())

    def explain(self, code: int, *, writing: bool = False) -> str:
        """What an errno of a read or write means here; empty where the system's words are right."""
        return self.opened.connection.explain(code)

    def _try(self, call: Any, action: str, offset: int | None = None, length: int | None = None) -> Any:
        native = library()
        try:
            return call()
        except native.CephError as error:
            self._failed(error, action, offset, length)

    def _failed(self, error: CephError, action: str, offset: int | None, length: int | None) -> NoReturn:
        trouble = failed(error, self.url, action, offset, length)
        if self._handle is not None:
            trouble.reason = self.explain(error.errno, writing=action != "read") or trouble.reason
        raise trouble from error
