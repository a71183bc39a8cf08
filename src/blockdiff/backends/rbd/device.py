"""An RBD image, at its head or at a snapshot, as a device."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from blockdiff.backends.rbd import decide, header
from blockdiff.backends.rbd.call import leave, library, patiently
from blockdiff.backends.rbd.opening import Opened, Snap, open_image
from blockdiff.backends.rbd.view import View, allocated, allocation_method, changes_since, with_holes
from blockdiff.backends.rbd.writing import Writing
from blockdiff.engine.plan import whole
from blockdiff.engine.sharing import Handle
from blockdiff.errors import DeviceError, ShortRead, SnapshotNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

    from blockdiff._fast import Extents
    from blockdiff.backends.rbd.checksum import ChecksumPlan
    from blockdiff.backends.rbd.view import TrackedChanges
    from blockdiff.engine.device import Device
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import RateLimit


class RbdDevice(Writing):
    """An image at its head, or (read-only) at a snapshot. All I/O is positional; units are bytes.

    ``snapshot`` is the snapshot's name, empty at the head; ``facts`` are those of ``_rbd.Image.facts``.
    """

    size: int
    is_block = False
    digest_method = "osd-checksum"
    block_size = 512

    def __init__(self, opened: Opened, *, writable: bool = False, created: bool = False) -> None:
        self._handle = Handle(opened, lambda: leave(opened.image.close))
        self.address, self.snap = opened.address, opened.snap
        self.url, self.snapshot = str(opened.address), opened.snap.name if opened.snap else ""
        self.writable, self.created, self.discards = writable, created, False
        self.facts: dict[str, Any] = self._try(opened.image.facts, "open")
        self.size = self._try(opened.image.size, "open")
        self._capsule: Any = None
        self._users_then: list[str] = []

    # ---- what it is ----

    def fileno(self) -> None:
        """There is none: librbd reads it."""

    def driver(self) -> Any:
        """What the native reader reads and writes it by, several requests in flight."""
        if self._capsule is None:
            self._capsule = self.image.driver(self.size)
        return self._capsule

    def at(self, snapshot: str) -> RbdDevice:
        """The image at a snapshot, opened for reading. SnapshotNotFound if it has none of that name."""
        return RbdDevice(open_image(self.address.at(snapshot)))

    def in_use(self) -> str:
        """Who has the head open or locked, in words; empty for a snapshot, which nobody can write."""
        found = self._users_then = self.users()
        return "; ".join([*found, "a snapshot of it would stand still"]) if found else ""

    def users(self) -> list[str]:
        """Who else has the head open or locked; nobody writes to a snapshot.

        A lock that librbd takes by itself ("auto") is left behind by a client that died: without its watch it is
        nobody's, and librbd breaks it when it is needed.
        """
        if self.snap is not None:
            return []
        own = f"client.{self.opened.connection.cluster.instance_id()}"
        watchers = [f"client.{number}" for _, number in self._try(self.image.watchers, "ask who uses")]
        locks = self._try(self.image.lockers, "ask who uses")
        lockers = [who for who, cookie in locks if who in watchers or not cookie.startswith("auto ")]
        found = [f"opened by {who}" for who in dict.fromkeys(watchers) if who != own]
        return found + [f"locked by {who}" for who in dict.fromkeys(lockers) if who != own]

    def changes(self) -> str:
        """What happened since it was opened: a size that changed, in words. What vanished is an error: librbd reads
        zeroes where an image or a snapshot is not there any more.
        """
        try:
            size = self._size_now()
        except (DeviceError, SnapshotNotFound) as error:
            if isinstance(error, DeviceError) and error.errno != errno.ENOENT:
                raise
            raise DeviceError(
                "it was removed meanwhile, so nothing that was read is sure", url=self.url, action="read"
            ) from error
        if size != self.size:
            return f"its size was {self.size} and is now {size}"
        # also who removes it: its header is the last to go, and what it held reads as zeroes before
        new = [who for who in self.users() if who not in self._users_then]
        return f"it was {' and '.join(new)} meanwhile" if new else ""

    def evidence(self) -> dict[str, Any]:
        """What tells the image at its point in time from all others: for checkpoints. A snapshot never changes."""
        fsid, pool, namespace, image = self.image_identity
        who = {"cluster": fsid, "pool": pool, "namespace": namespace, "image": image, "snapshot": self.snapshot_id}
        return {"who": who, **({"told_by": "being a snapshot", "sure": "always"} if self.snap is not None else {})}

    def _size_now(self) -> int:
        opened, number = self.opened, self.facts["id"]
        if number:
            snap = opened.snap.id if opened.snap else 0
            size: int = self._try(lambda: patiently(lambda: header.size_at(opened.ioctx, number, snap)), "read")
            return size
        with RbdDevice(open_image(self.address)) as fresh:
            if opened.snap is not None and (fresh.snap is None or fresh.snap.id != opened.snap.id):
                raise DeviceError(
                    "the snapshot was removed meanwhile, and another has its name", url=self.url, action="read"
                )
            return fresh.size

    # ---- reading ----

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Fills the buffer from ``offset``; ShortRead where the image ends before, DeviceError when it fails."""
        with memoryview(buffer) as whole, whole.cast("B") as view:
            end = min(offset + len(view), self.size)
            image, wanted = self.image, max(0, end - offset)
            done = self._try(lambda: image.read_into(view[:wanted], offset), "read", offset, wanted) if wanted else 0
            if done < len(view):
                raise ShortRead(
                    "the image ends here", url=self.url, action="read", offset=offset + done, length=len(view) - done
                )

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """Data and holes, parents resolved, as the OSDs keep them: objects of a thin image are seldom full, and asking
        how long they are costs less than reading what is not there.
        """
        end = self.size if length is None else min(self.size, start + length)
        return with_holes(allocated(self.view(), start, end), start, end)

    def digest_extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """In whole objects where object maps tell them; else all is data: OSDs need not be asked twice about each."""
        end = self.size if length is None else min(self.size, start + length)
        view = self.view()
        if allocation_method(view) != "fast-diff":
            return iter(whole(start, end))
        return with_holes(view.question(None).whole(start, end), start, end)

    def view(self, base: RbdDevice | None = None) -> View:
        """What metadata is asked of; ``base`` is another snapshot of the image that is open."""
        errors = (library().CephError,)
        at = partial(self._at, known=base)
        return View(
            self.image, self.url, self.snap, self.size, self.facts, at, self._flags_at, self.all_snapshots, errors
        )

    @contextmanager
    def _at(self, snap: Snap, known: RbdDevice | None = None) -> Iterator[Any]:
        """Another handle of the image, set to a snapshot: setting this one would change what others read."""
        if known is not None and known.snap == snap:
            yield known.image
            return
        address = self.address.at("")
        other = open_image(replace(address, image="", image_id=self.facts["id"]) if self.facts["id"] else address)
        try:
            self._try(lambda: other.image.set_snap(snap.id), "ask about a snapshot of")
            yield other.image
        finally:
            other.image.close()

    def _flags_at(self, snap: Snap) -> int:
        """By the image's header, which is one question where opening the image is a dozen."""
        opened, number = self.opened, self.facts["id"]
        if not number:  # images of format 1 have no object maps
            return 0
        flags: int = self._try(lambda: header.flags_at(opened.ioctx, number, snap.id), "ask for the flags of")
        return flags

    def changes_refusal(self, base: object) -> str | None:
        """Why metadata cannot tell what changed against ``base``; None when it can. InvalidInput for a wrong order."""
        if not isinstance(base, RbdDevice) or base.image_identity != self.image_identity:
            return "they are not snapshots of one RBD image"
        decide.refuse_order(base.snap, self.snap)
        return decide.untracked(self.facts["features"]) or None

    def changes_since(self, base: RbdDevice, start: int, end: int, method: str) -> TrackedChanges:
        """The extents that changed since the snapshot ``base``; ``method`` auto or one of decide.METHODS."""
        assert base.snap is not None, "changes_refusal said so"
        return changes_since(self.view(base), base.snap, start, end, method)

    def digest_refusal(self, other: Device) -> str | None:
        """Why the OSDs' checksums cannot tell what is equal on the other device; None when they can."""
        from blockdiff.backends.rbd.checksum import refusal

        return refusal(self, other)

    def digest_plan(
        self,
        source: Device,
        target: Device,
        plan: Iterable[Extents],
        *,
        options: ReadOptions,
        limit: RateLimit | None = None,
    ) -> ChecksumPlan:
        """The plan without what the OSDs' checksums prove to be equal; this is one of the two devices."""
        from blockdiff.backends.rbd.checksum import ChecksumPlan

        return ChecksumPlan(source, target, plan, options=options, limit=limit)
