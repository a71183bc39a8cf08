"""The disk in a plain qcow2 file as a device that reads the file itself: no qemu-nbd is started for it.

It holds the locks of a reader as QEMU does, so a machine that would write to the image is refused, as ever.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.backends.directio import Direct, open_direct
from blockdiff.backends.image.layer import Layer, close_layers, open_layers
from blockdiff.backends.image.locks import lock_for_reading
from blockdiff.backends.image.tables import places_of
from blockdiff.backends.image.whole import refuse_cut_off
from blockdiff.backends.opening import failure
from blockdiff.engine.sharing import Handle, Sharing
from blockdiff.errors import InvalidInput, ShortRead, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from blockdiff._fast import Extents, Places
    from blockdiff.backends.image.address import ImageAddress
    from blockdiff.backends.image.chain import ChainChanges
    from blockdiff.engine.device import Device

_BATCH = 64 << 30  # bytes of the disk whose extents are told at a time


class PlainFile:
    """The open file, its descriptor for direct I/O and where the disk is in it; of a device and its clones."""

    def __init__(self, layer: Layer, places: Places) -> None:
        self.layer, self.places = layer, places
        self.direct: Direct | None = None

    def direct_io(self) -> Direct:
        """Opened when first asked for."""
        if self.direct is None:
            self.direct = open_direct(self.layer.fd, self.layer.then.st_size)
        return self.direct

    def files(self) -> list[Layer]:
        """All files that the disk is made of."""
        return [self.layer]

    def close(self) -> None:
        """Closes the descriptors; the locks end with them."""
        direct, self.direct = self.direct, None
        if direct is not None and direct.fd >= 0:
            os.close(direct.fd)
        self.layer.close()


def open_plain(address: ImageAddress) -> PlainDevice | None:
    """The disk in a plain file that nobody writes to; None where qemu-nbd is to open it, and to say what is wrong.

    Raises what ``open_layers`` raises, and InvalidInput for a file that was cut off.
    """
    if address.format != "qcow2" or address.snapshot or address.bitmap or address.force_share:
        return None
    layers = open_layers(address.path, address.format)
    try:
        places = None
        if len(layers) == 1 and not layers[0].is_block and lock_for_reading(layers[0].fd):
            layers[0].then = os.fstat(layers[0].fd)  # from now on nobody writes to it
            try:
                refuse_cut_off(layers[0], layers[0].then.st_size)
                places = places_of(layers[0])
            except InvalidInput:
                places = None
        if places is None:
            close_layers(layers)
            return None
        return PlainDevice(address, PlainFile(layers[0], places))
    except BaseException:
        close_layers(layers)
        raise


class PlainDevice(Sharing[PlainFile]):
    """The disk in a plain qcow2 file. Reading only; units are bytes. The native reader reads it by its ``places``."""

    tracked_methods = ("chain",)
    block_size = 512
    writable = created = discards = False
    snapshot = map_note = ""
    driver = None

    def __init__(self, address: ImageAddress, file: PlainFile) -> None:
        self._handle, self._capsule = Handle(file, file.close), None
        self.url, self.address, self.size = str(address), address, file.places.size
        self.layers = [(file.layer.key, file.layer.format, file.layer.size)]
        self.file_keys = [file.layer.key]
        self.made_of = [f"{file.layer.url} ({file.layer.format}, read without qemu-nbd)"]

    @property
    def image(self) -> PlainFile | None:
        """The open file; None when the device is closed."""
        return None if self._handle is None else self._handle.held

    @property
    def places(self) -> Places:
        """Where the disk's bytes are in the file."""
        return self._held().places

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two names of one image at one state."""
        return ("image", *self.layers[0][0], "")

    def image_snapshot_id(self) -> str:
        """It is the present state."""
        return ""

    def fileno(self) -> None:
        """The file's bytes are not the disk's: who wants the file's asks for ``file_fileno``."""

    def file_fileno(self) -> int:
        """The descriptor of the file that the disk is in."""
        return self._held().layer.fd

    @property
    def file_size(self) -> int:
        """Bytes of that file."""
        return self._held().layer.then.st_size

    def direct_fileno(self) -> int | None:
        """The file with O_DIRECT; None when refused (``direct_refusal`` says why)."""
        fd = self._held().direct_io().fd
        return fd if fd >= 0 else None

    @property
    def direct_refusal(self) -> str:
        """Why there is no direct I/O; empty when there is."""
        return self._held().direct_io().refusal

    @property
    def offset_align(self) -> int:
        """The alignment of offsets and lengths for direct I/O."""
        return self._held().direct_io().offset_align

    def changes(self) -> str:
        """What happened to the file since it was opened, in words; empty when nothing was seen."""
        layer = self._held().layer
        # The ctime too: the mtime may be set back after a write.
        now, then = os.fstat(layer.fd), layer.then
        same = (now.st_mtime_ns, now.st_ctime_ns, now.st_size) == (then.st_mtime_ns, then.st_ctime_ns, then.st_size)
        return "" if same else "it was modified meanwhile"

    def evidence(self) -> dict[str, Any]:
        """What tells the image, and the content of its file, from others: for checkpoints."""
        from blockdiff.backends.image.evidence import image_evidence

        return image_evidence(self)

    def in_use(self) -> str:
        """Nobody writes to it while it is open."""
        return ""

    def explain(self, _code: int) -> str:
        """The system's words must do."""
        return ""

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Fills the buffer from ``offset``; ShortRead when the disk ends before, DeviceError when it fails."""
        file = self._held()
        with memoryview(buffer) as whole, whole.cast("B") as view:
            if offset < 0 or offset + len(view) > self.size:
                raise ShortRead("the disk ends here", url=self.url, action="read", offset=offset, length=len(view))
            for at, length, place in file.places.pieces(offset, offset + len(view)):
                part = view[at - offset : at - offset + length]
                if place < 0:
                    part[:] = bytes(length)
                else:
                    self._read(file.layer.fd, part, place, at)

    def _read(self, fd: int, view: memoryview, place: int, offset: int) -> None:
        done = 0
        while done < len(view):
            try:
                n = os.preadv(fd, [view[done:]], place + done)
            except OSError as error:
                raise failure(error, self.url, "read", offset + done, len(view) - done) from error
            if not n:
                raise ShortRead("its file ends here", url=self.url, action="read", offset=offset + done)
            done += n

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """Data and holes that together cover ``[start, start + length)``."""
        end = self.size if length is None else start + length
        places = self.places
        while start < end:
            stop = min(end, start + _BATCH)
            yield places.extents(start, stop)
            start = stop

    def changes_refusal(self, base: Device) -> str | None:
        """It has no backing file that could tell."""
        from blockdiff.backends.image.chain import refusal

        return refusal(self, base)

    def changes_since(self, base: Device, start: int, end: int, method: str = "auto") -> ChainChanges:
        """UnsupportedOperation says why its backing files do not tell: it has none."""
        raise UnsupportedOperation(f"the method {method} cannot be used: {self.changes_refusal(base)}")
