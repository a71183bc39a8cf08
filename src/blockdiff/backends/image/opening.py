"""Opens an image: its files, the right server, the snapshot and the bitmap that the URL names."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from blockdiff.backends.image import qcow2
from blockdiff.backends.image.layer import Layer, close_layers, node_of, open_layers
from blockdiff.backends.image.server import ImageServer
from blockdiff.backends.image.whole import refuse_cut_off
from blockdiff.backends.nbd.address import NbdAddress
from blockdiff.backends.nbd.opening import Opening
from blockdiff.backends.opening import printable
from blockdiff.errors import (
    BlockdiffError,
    DeviceBusy,
    DeviceError,
    InvalidInput,
    SnapshotNotFound,
    UnsupportedOperation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff._nbd import Session
    from blockdiff.backends.image.address import ImageAddress
    from blockdiff.backends.image.qcow2 import Bitmap, ImageSnapshot


_LIMIT = 60.0  # seconds of silence of a server that runs on this machine
_CONNECTIONS = 2
_END = 5.0  # seconds that it may take to end when it has broken a connection


class OpenImage:
    """The files and the server of an image, shared by a device and its clones: the last one to close ends them.

    ``size`` is the disk's size in bytes where the header tells, else 0. ``snapshot`` and ``bitmap`` are what the URL
    asked for, found.
    """

    def __init__(self, address: ImageAddress) -> None:
        self.address = address
        self._users = 1
        self._lock = threading.Lock()
        self.layers = open_layers(address.path, address.format)
        try:
            top = self.layers[0]
            if not address.force_share:  # of one that is being written, the tables cannot be believed
                _refuse_cut_off(self.layers)
            self.snapshot = _find_snapshot(top, address) if address.snapshot else None
            if self.snapshot is not None and not address.force_share:
                refuse_cut_off(top, _length(top), self.snapshot)
            self.bitmap = _find_bitmap(top, address) if address.bitmap else None
            self.size = _size(top, self.snapshot, address)
            node = node_of(self.layers, force_share=address.force_share)
            self.server = ImageServer(node, [f.fd for f in self.files()], self._options(), str(address))
        except BaseException:
            close_layers(self.layers)
            raise

    def files(self) -> list[Layer]:
        """All open files, the image first."""
        return [file for layer in self.layers for file in layer.files()]

    def shared(self) -> OpenImage:
        """The same for one user more."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self.server.stop()
            close_layers(self.layers)

    def changes(self) -> str:
        """What happened to the files since they were opened, in words; empty when nothing was seen."""
        for file in self.files():
            if file.is_block:
                continue
            now, then = os.fstat(file.fd), file.then
            # The ctime too: the mtime may be set back after a write.
            if (now.st_mtime_ns, now.st_ctime_ns, now.st_size) != (then.st_mtime_ns, then.st_ctime_ns, then.st_size):
                return "it was modified meanwhile" if file is self.layers[0] else f"{file.url} was modified meanwhile"
        return ""

    def failure(self, why: str) -> Exception:
        """What the server said about its end, in our words; ``why`` where it said nothing."""
        return failure_of(self.server, self.layers, str(self.address), why)

    def _options(self) -> list[str]:
        options = ["--allocation-depth"]
        if self.snapshot is not None:
            options += ["--load-snapshot", f"snapshot.id={self.snapshot.id.replace(',', ',,')}"]
        if self.bitmap is not None:
            options += ["--bitmap", self.bitmap.name]
        return options


def failure_of(server: ImageServer, layers: list[Layer], url: str, why: str) -> Exception:
    """The error of an image whose server could not open it: what it said, with our names of the files, else ``why``."""
    server.ended(_END)
    said = server.said()
    for file in (file for layer in layers for file in layer.files()):
        said = said.replace(f"/proc/self/fd/{file.fd}", file.url)
    text = " ".join(line.removeprefix("qemu-nbd: ") for line in said.splitlines()) or why
    if "lock" in text and "another process" in text:
        return DeviceBusy(
            f"{url} is in use, by a running virtual machine perhaps, and would change while it is read "
            f"(--force-share reads it all the same): {text}",
            reasons=(text,),
        )
    return DeviceError(text, url=url, action="open", errno=errno.EIO)


class OwnOpening(Opening):
    """Our own server does not come back: a lost connection is an error at once.

    It is near: smaller requests than across a network cost it a third of the processor time, and keep it as busy.
    """

    def __init__(self, address: NbdAddress, contexts: list[str]) -> None:
        super().__init__(address, contexts)
        self.in_flight, self.piece = (512 << 10, 16, 2 << 20), 256 << 10

    def session(self, *, resume: bool = True) -> Session:
        return super().session(resume=False)


def open_own(image: OpenImage, contexts: list[str]) -> OwnOpening:
    """Connects to the image's server. Raises what was wrong with the image, as its server said it."""
    try:
        return OwnOpening(NbdAddress(socket=image.server.path, timeout=_LIMIT, connections=_CONNECTIONS), contexts)
    except BlockdiffError as error:
        raise image.failure(str(error)) from error


def _refuse_cut_off(layers: list[Layer]) -> None:
    for layer in layers:
        if layer.header is not None:
            refuse_cut_off(layer, _length(layer))


def _length(layer: Layer) -> int:
    """Bytes of the file, or of the block device that the image lies on."""
    return os.lseek(layer.fd, 0, os.SEEK_END) if layer.is_block else layer.then.st_size


def _size(top: Layer, snapshot: ImageSnapshot | None, address: ImageAddress) -> int:
    """QEMU shows a snapshot with the image's size of now. UnsupportedOperation where that cuts something off."""
    if snapshot is None or not snapshot.size:
        return top.size
    if snapshot.size > top.size:
        raise UnsupportedOperation(
            f"{address} had {snapshot.size} bytes, the image has {top.size} now, and QEMU shows no more of a snapshot"
        )
    return snapshot.size


def _find_snapshot(top: Layer, address: ImageAddress) -> ImageSnapshot:
    """By name, else by id. SnapshotNotFound names what there is."""
    assert top.header is not None
    found = list(qcow2.snapshots(top.read, top.header, top.url))
    for attribute in ("name", "id"):
        matching = [snapshot for snapshot in found if getattr(snapshot, attribute) == address.snapshot]
        if len(matching) > 1:
            ids = ", ".join(snapshot.id for snapshot in matching)
            raise SnapshotNotFound(f"cannot open {address}: several snapshots have that name; their ids are {ids}")
        if matching:
            _refuse_same_id(found, matching[0], address)
            return matching[0]
    raise SnapshotNotFound(f"cannot open {address}: there is no such snapshot{_known(s.name for s in found)}")


def _refuse_same_id(found: list[ImageSnapshot], snapshot: ImageSnapshot, address: ImageAddress) -> None:
    """QEMU is told the id, and would take the first one that has it."""
    if sum(other.id == snapshot.id for other in found) > 1:
        raise InvalidInput(f"{address.path} is broken: several of its snapshots have the id {snapshot.id!r}")


def _find_bitmap(top: Layer, address: ImageAddress) -> Bitmap:
    """One of the image itself: QEMU takes one of a backing file too, which knows nothing of this image's writes."""
    assert top.header is not None
    found = list(qcow2.bitmaps(top.read, top.header, top.url))
    for bitmap in found:
        if bitmap.name == address.bitmap:
            if address.snapshot:
                raise UnsupportedOperation(f"{address}: a bitmap is about the image as it is now, not about a snapshot")
            if bitmap.in_use:
                raise UnsupportedOperation(
                    f"{address}: the bitmap was not written back, so it is not known what changed: a virtual machine "
                    "uses the image (export the bitmap over NBD), or it was not closed well (the bitmap is lost)"
                )
            if not bitmap.enabled:
                raise UnsupportedOperation(
                    f"{address}: the bitmap is disabled, so it knows nothing of what was written since it was; if "
                    f"nothing was, enable it: qemu-img bitmap --enable {printable(address.path)} "
                    f"{printable(bitmap.name)}"
                )
            return bitmap
    raise UnsupportedOperation(f"{address}: the image has no such bitmap{_known(b.name for b in found)}")


def _known(names: Iterable[str]) -> str:
    listed = ", ".join(repr(name) for name in names)
    return f"; it has {listed}" if listed else "; it has none"
