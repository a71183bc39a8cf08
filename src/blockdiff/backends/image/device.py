"""The disk in an image as a device, read through the image's own qemu-nbd."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blockdiff.backends.image.address import ImageAddress, parse_address
from blockdiff.backends.image.direct import open_direct
from blockdiff.backends.image.opening import OpenImage, open_own
from blockdiff.backends.nbd.device import ALLOCATION, NbdDevice, ask
from blockdiff.errors import DeviceError, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from typing_extensions import Buffer

    from blockdiff._fast import Extents
    from blockdiff.backends.image.chain import ChainChanges
    from blockdiff.engine.device import Device
    from blockdiff.locator import Locator

DEPTH = "qemu:allocation-depth"
_BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN)


def open_device(
    locator: Locator,
    *,
    writable: bool = False,
    create_size: int | None = None,
    force: bool = False,
    force_share: bool = False,
) -> ImageDevice:
    """Opens the disk in an image for reading; with ``force_share`` also while a virtual machine writes to it.

    Raises InvalidInput (no such image, or broken), DeviceBusy (a virtual machine uses it), UnsupportedOperation (for
    writing, encrypted, files that are not followed), SnapshotNotFound, BackendUnavailable (no qemu-nbd), DeviceError.
    """
    del create_size, force
    address = parse_address(locator)
    if force_share:
        address = replace(address, force_share=True)
    if writable:
        raise UnsupportedOperation(
            f"{address} is a {address.format} image, and blockdiff only reads these: to write to the disk inside, "
            f"export it with qemu-nbd and name its nbd+unix: URL; file:{address.path} means the file itself"
        )
    image = OpenImage(address)
    try:
        return ImageDevice(image)
    except BaseException:
        image.release()
        raise


class ImageDevice(NbdDevice):
    """The disk in an image, at its present state or at an internal snapshot. Reading only; units are bytes.

    ``made_of`` names the files and their formats; ``file_keys`` are equal for two names of one file.
    """

    address: ImageAddress  # type: ignore[assignment]
    tracked_methods = ("chain",)

    def __init__(self, image: OpenImage) -> None:
        super().__init__(open_own(image, [ALLOCATION, DEPTH]))
        self.image: OpenImage | None = image
        self.url, self.address = str(image.address), image.address
        self.size = min(self.size, image.size) if image.snapshot is not None else self.size
        self._direct = open_direct(image.layers) if image.snapshot is None and not image.address.force_share else None
        if self._direct is not None:
            self.driver = None  # type: ignore[assignment,method-assign]
        self.snapshot = image.snapshot.name if image.snapshot is not None else ""
        self.layers = [(layer.key, layer.format, layer.size) for layer in image.layers]
        self.file_keys = [file.key for file in image.files()]
        self.made_of = [f"{file.url} ({file.format})" for file in image.files()]

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two names of one image at one state."""
        return ("image", *self.layers[0][0], self.image_snapshot_id())

    def image_snapshot_id(self) -> str:
        """The id of the internal snapshot that it is; empty for the present state."""
        return self.image.snapshot.id if self.image is not None and self.image.snapshot is not None else ""

    def changes(self) -> str:
        """What happened to the files since they were opened, in words."""
        return self.image.changes() if self.image is not None else ""

    def evidence(self) -> dict[str, Any]:
        """What tells the image, and the content of its files, from others: for checkpoints."""
        from blockdiff.backends.image.evidence import image_evidence

        return image_evidence(self)

    def in_use(self) -> str:
        """A warning where somebody may be writing to it."""
        return "it was opened with --force-share" if self.address.force_share else ""

    def explain(self, code: int) -> str:
        """What qemu-nbd said where it has ended."""
        if self.image is not None and code in _BROKEN and self.image.server.ended(1.0):
            return "qemu-nbd, which reads the image, has ended" + (
                f": {said}" if (said := self.image.server.said()) else ""
            )
        return super().explain(code)

    def clone(self) -> Self:
        """Another device on the same server."""
        twin = super().clone()
        assert self.image is not None
        twin.image = self.image.shared()
        return twin

    def close(self) -> None:
        """Closes the connections; the last device ends the server."""
        super().close()
        image, self.image = self.image, None
        if image is not None:
            image.release()

    def __del__(self) -> None:
        if getattr(self, "image", None) is not None:
            self.close()

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Plain clusters are read from the files, the rest by QEMU. ShortRead, DeviceError."""
        self.session  # noqa: B018 - a closed device says so
        if self._direct is not None and self.image is not None and self.image.server.ended():
            # nobody keeps writers away any more
            raise DeviceError(self.explain(errno.ECONNRESET), url=self.url, action="read", offset=offset)
        with memoryview(buffer) as whole, whole.cast("B") as view:
            if self._direct is None or offset + len(view) > self.size:
                super().pread_into(view, offset)
                return
            for start, end in self._direct.read(view, offset):
                super().pread_into(view[start:end], offset + start)

    # ---- what changed since a backing file ----

    def depths(self, start: int, end: int) -> Iterator[Extents]:
        """How deep in the chain of backing files each range is: the kind is 0 for nowhere, 1 for the image itself, ...

        32 stands for all from there on. UnsupportedOperation where QEMU does not tell.
        """
        from blockdiff._nbd import RAW, NbdError

        context = self.export.contexts.get(DEPTH)
        if context is None:
            raise UnsupportedOperation(f"this qemu-nbd does not tell which file of {self.url} has what")
        export, session, at = self.export, self.session, start
        while at < end:
            try:
                found, told = ask(session, export, context, RAW, at, end)
            except NbdError as error:
                raise self._failed(error, "ask for the changes of", at, end - at) from error
            yield found
            at = told

    def changes_refusal(self, base: Device) -> str | None:
        """Why the chain of backing files does not tell what changed since ``base``; None where it does."""
        from blockdiff.backends.image.chain import refusal

        return refusal(self, base)

    def changes_since(self, base: Device, start: int, end: int, method: str = "auto") -> ChainChanges:
        """What this image, and those between, allocate over ``base``, which is one of its backing files."""
        from blockdiff.backends.image.chain import ChainChanges

        return ChainChanges(self, base, start, end)

    def _failed(self, error: Any, action: str, offset: int | None, length: int | None) -> DeviceError:
        failed = super()._failed(error, action, offset, length)
        failed.reason = self.explain(error.errno) or failed.reason
        return failed
