"""The digests of an image: asked of the OSDs, object by object, and of its parents where it has no objects."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from blockdiff._fast import Extents, Sums
from blockdiff.backends.rbd.call import library
from blockdiff.backends.rbd.decide import MIGRATING
from blockdiff.backends.rbd.device import RbdDevice
from blockdiff.backends.rbd.layout import Layout
from blockdiff.backends.rbd.opening import open_image
from blockdiff.errors import BlockdiffError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    Run = tuple[int, int, int, int, bool]
    """Of an object: its number, offset, length; the index of the first chunk; whether a parent may have the data."""

MIN_CHUNK = 4096
DIRTY_CACHE = 1 << 11  # a feature: a client has data that the objects do not have


def layout_of(device: RbdDevice) -> Layout:
    """Where the bytes of an image are."""
    facts = device.facts
    return Layout(facts["order"], device.size, facts["prefix"], facts["stripe_unit"], facts["stripe_count"])


def image_refusal(image: RbdDevice) -> str:
    """Why the digests of its objects are none of the image; empty when they are."""
    features = image.facts["features"]
    if image.facts["old_format"]:
        return "is an image of the old format"
    if features & MIGRATING:
        return "is being migrated: its objects do not have all of the data"
    if features & DIRTY_CACHE:
        return "has a client's cache that is not written back"
    if layout_of(image).stripe_unit < MIN_CHUNK:
        return f"is striped in units of less than {MIN_CHUNK} bytes"
    return ""


class ImageSums:
    """Digests chunks of an image (``device``). Any number of threads may ask at once.

    ``parents`` are the objects whose data only a parent has, which could not be asked for it; ``failed`` are the bytes
    that gave no digest, by errno.
    """

    def __init__(self, device: RbdDevice, chunk: int, seeds: tuple[int, int], depth: int) -> None:
        native, opened = library(), device.opened
        self.device, self._chunk, self._seeds, self._depth = device, chunk, seeds, depth
        self._layout, self._pool = layout_of(device), device.facts["data_pool"]
        self._overlap: int = device.facts["overlap"]
        self._cluster = opened.connection.cluster
        ioctx = self._cluster.ioctx(self._pool, opened.ioctx.namespace)
        if opened.snap is not None:
            ioctx.set_read_snap(opened.snap.id)
        timeout = opened.connection.timeout + 5  # after the cluster's own limit
        self._sums = native.ObjectSums(ioctx, self._layout.prefix, 16, chunk, seeds, depth=depth, timeout=timeout)
        self._missing = native.SUM_PARENT
        self._parent: ImageSums | None = None
        self._parent_tried = False
        self._lock = threading.Lock()
        self.parents: set[int] = set()
        self.failed: dict[int, int] = {}

    def sums(self, want: Extents, bit: int, _other: Sums | None = None) -> Sums:
        """The digests of the wanted ranges."""
        sums = Sums(want, bit, self._chunk)
        runs = list(self._runs(want, bit))
        self._sums.run(runs, sums)
        missing = [run for run in runs if run[4] and sums.lengths[run[3]] == self._missing]
        parent = self._opened_parent() if missing else None
        if parent is not None:
            self._ask_parent(parent, missing, sums)
        self._count(runs, sums)
        return sums

    def shorten(self, sums: Sums, pieces: list[tuple[int, int, int]]) -> None:
        """Takes the digests of fewer bytes where all after them is zeroes: (offset in the image, index, bytes)."""
        runs = [(*self._layout.locate(offset), length, index, False) for offset, index, length in pieces]
        self._sums.shorten(runs, sums)

    def _runs(self, want: Extents, bit: int) -> Iterator[Run]:
        edge = -(-self._overlap // self._chunk) * self._chunk
        index = 0
        for extent in want:
            if int(extent.kind) & bit:
                for run in self._layout.runs(extent.offset, extent.length):
                    first = index + (run.start - extent.offset) // self._chunk
                    below = max(0, min(run.length, edge - run.start))
                    if below:
                        yield run.number, run.offset, below, first, True
                    if below < run.length:
                        rest = first + below // self._chunk
                        yield run.number, run.offset + below, run.length - below, rest, False
            index += extent.length // self._chunk

    # ---- parents ----

    def _opened_parent(self) -> ImageSums | None:
        """The parent, if its objects can be asked."""
        with self._lock:
            if not self._parent_tried:
                self._parent_tried = True
                try:
                    self._parent = self._open_parent()
                except (BlockdiffError, library().CephError):
                    self._parent = None  # then the data is read, and librbd says what is wrong
            return self._parent

    def _open_parent(self) -> ImageSums | None:
        found = self.device.image.parent()
        if found is None:
            return None
        pool, namespace, _, number, snapshot = found
        address = replace(
            self.device.address, pool=pool, namespace=namespace, image="", image_id=number, snapshot=snapshot
        )
        device = RbdDevice(open_image(address))
        if image_refusal(device) or layout_of(device).stripe_unit % self._chunk:
            device.close()
            return None
        return ImageSums(device, self._chunk, self._seeds, self._depth)

    def _ask_parent(self, parent: ImageSums, missing: list[Run], sums: Sums) -> None:
        """Takes the parent's digests of whole chunks below the overlap. The image's offsets are the parent's."""
        end = self._overlap - self._overlap % self._chunk
        spans = []
        for number, offset, length, first, _ in missing:
            start = self._layout.image_offset(number, offset)
            if start < end:
                spans.append((start, min(length, end - start), first))
        if not spans:
            return
        theirs = parent.sums(Extents((start, length, 1) for start, length, _ in spans), 1)
        at = 0
        for _, length, first in spans:
            n = length // self._chunk
            sums.lengths[first : first + n] = theirs.lengths[at : at + n]
            sums.values[2 * first : 2 * (first + n)] = theirs.values[2 * at : 2 * (at + n)]
            at += n

    # ---- the books ----

    def _count(self, runs: list[Run], sums: Sums) -> None:
        with self._lock:
            for number, _, length, first, _ in runs:
                last = first + length // self._chunk - 1
                code = min(sums.lengths[first], sums.lengths[last])
                if code == self._missing:
                    self.parents.add(number)
                elif code < 0:
                    self.failed[-code] = self.failed.get(-code, 0) + length

    def check(self) -> None:
        """Pool and parents must still be there: objects of what was deleted look like objects that never were."""
        try:
            self._cluster.pool_name(self._pool)
        except library().CephError as error:
            raise DeviceError(
                "its pool was removed meanwhile, so nothing that was read is sure", url=self.device.url, action="read"
            ) from error
        if self._parent is not None:
            self._parent.check()
            self._parent.device.changes()  # raises when it is not there any more

    def cancel(self) -> None:
        """Ends what is under way."""
        self._sums.cancel()
        if self._parent is not None:
            self._parent.cancel()

    def close(self) -> None:
        """Closes what was opened here: the parents."""
        if self._parent is not None:
            self._parent.close()
            self._parent.device.close()

    def bytes_read(self) -> dict[str, int]:
        """Nothing is read here."""
        return {}

    @property
    def objects(self) -> int:
        """Objects that were asked about, parents' included."""
        return int(self._sums.objects) + (self._parent.objects if self._parent is not None else 0)

    @property
    def operations(self) -> int:
        """Requests that were sent for it."""
        return int(self._sums.operations) + (self._parent.operations if self._parent is not None else 0)
