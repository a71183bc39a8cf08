"""The half of an RBD device that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.backends.rbd.call import patiently
from blockdiff.backends.rbd.handle import Held
from blockdiff.errors import DeviceBusy, InvalidInput

if TYPE_CHECKING:
    from typing_extensions import Buffer

ZERO_STEP = 256 << 20  # one request: an operator's Ctrl-C does not wait longer than this takes
NOTE = "blockdiff.replication"  # of the image's metadata (rbd image-meta)


class Writing(Held):
    """Writes to the head of an image that was opened for it (``writable``), and makes snapshots of it."""

    writable: bool
    size: int
    _capsule: Any

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
        if isinstance(source, Writing) and source.identity == self.identity:
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

    def note(self) -> str | None:
        """The line of text that ``set_note`` left with the image."""
        text: str | None = self._try(lambda: self.image.metadata(NOTE), "read the metadata of")
        return text

    def set_note(self, text: str | None) -> None:
        """Leaves a line of text with the image, for the next run; None removes it."""
        self._try(lambda: self.image.set_metadata(NOTE, text), "write the metadata of")

    def _writing(self, offset: int, length: int) -> None:
        if not self.writable:
            self.image  # noqa: B018 - a closed device says that first
            raise InvalidInput(f"{self.url} was opened for reading only")
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidInput(f"writing [{offset}, {offset + length}) leaves {self.url}, which has {self.size} bytes")
