"""What a persistent dirty bitmap of a qcow2 image lists: a source of block metadata."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blockdiff.backends.image.address import parse_address
from blockdiff.backends.image.opening import OpenImage, open_own
from blockdiff.backends.nbd.address import BITMAP, NbdAddress
from blockdiff.backends.nbd.source import NbdSource
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.snapshot import Snapshot, SnapshotPair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.locator import Locator
    from blockdiff.record import Record


def open_source(base: Locator | None, target: Locator) -> tuple[ImageSource, SnapshotPair]:
    """The source of an image's URL that names a bitmap, and the pair that it tells about. InvalidInput for two URLs."""
    if base is not None:
        raise InvalidInput(f"{target.text} says by itself since when it lists changes: name it alone")
    address = parse_address(target)
    image = OpenImage(address)
    try:
        source = ImageSource(image)
    except BaseException:
        image.release()
        raise
    volume = str(replace(address, bitmap=""))
    return source, SnapshotPair(Snapshot(volume, address.bitmap), Snapshot(volume, ""))


class ImageSource(NbdSource):
    """Lists what was written to the image since its bitmap was made. It ends the image's server with itself."""

    def __init__(self, image: OpenImage) -> None:
        self._image, self.url = image, str(image.address)
        context = BITMAP + image.address.bitmap
        self._address = NbdAddress(socket=image.server.path, context=context)
        opening = open_own(image, [context])
        self._export, self.size = opening.export, opening.export.size
        if context not in self._export.contexts:
            opening.close()
            raise DeviceError("qemu-nbd does not tell it", url=self.url, action="open")
        self._session = opening.session()
        self.warnings: list[str] = []

    def records(self, pair: SnapshotPair, *, start: int = 0, limit: int = 0) -> Iterator[Record]:
        """As NbdSource's. DeviceError where the image changed meanwhile."""
        yield from super().records(pair, start=start, limit=limit)
        if what := self._image.changes():
            raise DeviceError(what, url=self.url, action="list the changes of")

    def close(self) -> None:
        """Ends the connection and the server."""
        super().close()
        self._image.release()
