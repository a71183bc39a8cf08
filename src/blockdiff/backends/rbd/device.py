"""An RBD image, at its head or at a snapshot, as a device."""

from __future__ import annotations

import errno
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from blockdiff._fast import Extents
from blockdiff.backends.rbd import decide, header
from blockdiff.backends.rbd.call import failed, leave, library, patiently
from blockdiff.backends.rbd.opening import Opened, Snap, open_image, snaps_of
from blockdiff.backends.rbd.view import View, allocated, allocation_method, changes_since
from blockdiff.engine.plan import whole
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput, ShortRead, SnapshotNotFound
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

    from blockdiff._rbd import CephError
    from blockdiff.backends.rbd.checksum import ChecksumPlan
    from blockdiff.backends.rbd.view import TrackedChanges
    from blockdiff.engine.device import Device
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import RateLimit

ZERO_STEP = 256 << 20  # one request: an operator's Ctrl-C does not wait longer than this takes
MAX_BATCH = 4096
NOTE = "blockdiff.replication"  # of the image's metadata (rbd image-meta)


class _Handle:
    """The open image that a device and its clones share; the last one closes it."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self._users, self._lock = opened, 1, threading.Lock()

    def share(self) -> _Handle:
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            leave(self.opened.image.close)


class RbdDevice:
    """An image at its head, or (read-only) at a snapshot. All I/O is positional; units are bytes.

    ``snapshot`` is the snapshot's name, empty at the head; ``facts`` are those of ``_rbd.Image.facts``.
    """

    is_block = False
    digest_method = "osd-checksum"
    block_size = 512

    def __init__(self, opened: Opened, *, writable: bool = False, created: bool = False) -> None:
        self._handle: _Handle | None = _Handle(opened)
        self.address, self.snap = opened.address, opened.snap
        self.url, self.snapshot = str(opened.address), opened.snap.name if opened.snap else ""
        self.writable, self.created, self.discards = writable, created, False
        self.facts: dict[str, Any] = self._try(opened.image.facts, "open")
        self.size: int = self._try(opened.image.size, "open")
        self._capsule: Any = None
        self._users_then: list[str] = []

    # ---- what it is ----

    @property
    def image(self) -> Any:
        """The native image. DeviceError when the device is closed."""
        if self._handle is None:
            raise DeviceError("it is closed", url=self.url, action="use")
        return self._handle.opened.image

    @property
    def opened(self) -> Opened:
        """Connection, pool and image. DeviceError when the device is closed."""
        if self._handle is None:
            raise DeviceError("it is closed", url=self.url, action="use")
        return self._handle.opened

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

    def fileno(self) -> None:
        """There is none: librbd reads it."""

    def driver(self) -> Any:
        """What the native reader reads and writes it by, several requests in flight."""
        if self._capsule is None:
            self._capsule = self.image.driver(self.size)
        return self._capsule

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

    def at(self, snapshot: str) -> RbdDevice:
        """The image at a snapshot, opened for reading. SnapshotNotFound if it has none of that name."""
        return RbdDevice(open_image(self.address.at(snapshot)))

    def note(self) -> str | None:
        """The line of text that ``set_note`` left with the image."""
        text: str | None = self._try(lambda: self.image.metadata(NOTE), "read the metadata of")
        return text

    def set_note(self, text: str | None) -> None:
        """Leaves a line of text with the image, for the next run; None removes it."""
        self._try(lambda: self.image.set_metadata(NOTE, text), "write the metadata of")

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

    def explain(self, code: int, *, writing: bool = False) -> str:
        """What an errno of a read or write means here; empty where the system's words are right."""
        return self.opened.connection.explain(code)

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
        """Data and holes, parents resolved: whole objects where there are object maps, else exact."""
        return self._covered(start, length, exact=False)

    def digest_extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """The same where object maps tell it; else all is data: OSDs need not be asked twice about each object."""
        end = self.size if length is None else min(self.size, start + length)
        return self.extents(start, length) if allocation_method(self.view()) == "fast-diff" else iter(whole(start, end))

    def allocation(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """The same to the byte, as the OSDs keep it."""
        return self._covered(start, length, exact=True)

    def _covered(self, start: int, length: int | None, *, exact: bool) -> Iterator[Extents]:
        end = self.size if length is None else min(self.size, start + length)
        view = self.view()
        if not exact and allocation_method(view) == "fast-diff":
            found = view.question(None).whole(start, end)
        else:
            found = iter(allocated(view, start, end))
        return _with_holes(found, start, end)

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

    def clone(self) -> RbdDevice:
        """Another device on the same open image: librbd serves many threads."""
        opened = self.opened
        assert self._handle is not None
        twin = object.__new__(RbdDevice)
        twin.__dict__.update(self.__dict__)
        twin._handle, twin._capsule = self._handle.share(), None
        assert twin.opened is opened
        return twin

    def close(self) -> None:
        """Gives the image back; every later use is an error."""
        handle, self._handle, self._capsule = self._handle, None, None
        if handle is not None:
            handle.release()

    def __enter__(self) -> RbdDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- writing ----

    def pwrite(self, data: Buffer, offset: int) -> None:
        """Writes all of it or raises DeviceError."""
        with memoryview(data) as whole, whole.cast("B") as view:
            self._writing(offset, len(view))
            image = self.image
            if len(view):
                self._try(lambda: image.write(view, offset), "write", offset, len(view))

    def zero(self, offset: int, length: int, *, punch: bool = True) -> None:
        """Makes a range read as zeroes; ``punch`` gives its space back."""
        self._writing(offset, length)
        image, end = self.image, offset + length
        while offset < end:
            at, step = offset, min(end, offset - offset % ZERO_STEP + ZERO_STEP) - offset
            self._try(lambda at=at, step=step: image.zero(at, step, punch=punch), "zero", at, step)
            offset += step

    def flush(self) -> None:
        """Returns when everything written is on stable storage."""
        if self.writable:
            self._try(self.image.flush, "flush")

    def refuse_if_same(self, source: object) -> None:
        """Raises DeviceBusy when the source is this very head; a snapshot of it may be copied back."""
        if isinstance(source, RbdDevice) and source.identity == self.identity:
            raise DeviceBusy(f"{source.url} and {self.url} are the same image")

    def resize(self, size: int) -> None:
        """Makes the image longer or shorter; the caller has asked whether it may be cut."""
        self._writing(0, 0)
        image = self.image
        self._try(lambda: patiently(lambda: image.resize(size, allow_shrink=True)), "resize")
        self.size, self._capsule = size, None

    def create_snapshot(self, name: str) -> None:
        """Makes a snapshot of the head, after a flush. InvalidInput if there is one of this name."""
        self._writing(0, 0)
        if self.has_snapshot(name):
            raise InvalidInput(f"{self.url} already has a snapshot {name!r}")
        self.flush()
        image = self.image
        self._try(lambda: patiently(lambda: image.create_snap(name)), f"make the snapshot {name!r} of")

    # ---- inside ----

    def _writing(self, offset: int, length: int) -> None:
        if not self.writable:
            self.image  # noqa: B018 - a closed device says that first
            raise InvalidInput(f"{self.url} was opened for reading only")
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidInput(f"writing [{offset}, {offset + length}) leaves {self.url}, which has {self.size} bytes")

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


def _with_holes(found: Iterable[Extents], start: int, end: int) -> Iterator[Extents]:
    """What is allocated as data, and the rest as holes."""
    from blockdiff.engine.stream import union

    data = (batch.with_kind(Kind.DATA).coalesce() for batch in found)
    holes = [Extents([(start, end - start, Kind.HOLE)])] if end > start else []
    for batch in union(data, holes):
        for at in range(0, len(batch), MAX_BATCH):
            yield batch[at : at + MAX_BATCH]
