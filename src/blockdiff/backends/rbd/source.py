"""What changed between two snapshots of an image, and what is allocated in one, as a stream of records."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from blockdiff._fast import Extents
from blockdiff.backends.rbd.call import failed
from blockdiff.backends.rbd.foreign import ForeignImage
from blockdiff.backends.rbd.opening import Snap, snaps_of
from blockdiff.backends.rbd.view import View, allocated, changes_since
from blockdiff.errors import DeviceError, InvalidInput, SnapshotNotFound
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from blockdiff.snapshot import Snapshot, SnapshotPair


class RbdSource:
    """The source of block metadata of one image: ``RbdSource.open(url)`` or ``RbdSource.from_image(image)``.

    ``method`` says how the last records were known (fast-diff or byte), ``fallback`` why not by object maps. A pair
    names snapshots by their name; a target with an empty name is the head.
    """

    def __init__(
        self,
        image: Any,
        url: str,
        errors: tuple[type[Exception], ...],
        *,
        close: Any = None,
        again: Callable[[], list[Snap]] | None = None,
    ) -> None:
        self._image, self._url, self._errors, self._close = image, url, errors, close
        self._again = again or self._snaps  # a handle for reading only never learns what happens to its image
        self._asked = 0
        self.method, self.fallback = "fast-diff", ""
        self.warnings: list[str] = []

    @classmethod
    def open(cls, url: str) -> Self:
        """By an ``rbd:`` URL without a snapshot; the image is opened read-only."""
        from blockdiff.backends.rbd.address import parse_address
        from blockdiff.backends.rbd.call import library
        from blockdiff.backends.rbd.opening import open_image
        from blockdiff.locator import parse_locator

        opened = open_image(parse_address(parse_locator(url)).at(""))
        number = opened.image.facts()["id"]
        address = replace(opened.address, image="", image_id=number) if number else opened.address

        def again() -> list[Snap]:
            image = open_image(address).image
            try:
                return snaps_of(image)
            finally:
                image.close()

        return cls(opened.image, str(opened.address), (library().CephError,), close=opened.image.close, again=again)

    @classmethod
    def from_image(cls, image: Any) -> Self:
        """An ``rbd.Image`` that the caller has opened. It stays the caller's: it is set to the snapshot of each target
        that is asked for, and never closed. One that was opened for reading only does not learn of snapshots that are
        removed meanwhile: keep them.
        """
        return cls(ForeignImage(image), f"rbd:{image.get_name()}", _errors_of(image))

    @classmethod
    def from_ioctx(cls, ioctx: Any, name: str) -> Self:
        """An image by name in a ``rados.Ioctx`` that the caller has opened; needs the distribution's ``rbd`` module."""
        import rbd  # type: ignore[import-not-found]

        def again() -> list[Snap]:
            with rbd.Image(ioctx, name, read_only=True) as fresh:
                return [Snap(*snap) for snap in ForeignImage(fresh).snaps()]

        image = rbd.Image(ioctx, name, read_only=True)
        return cls(ForeignImage(image), f"rbd:{name}", (rbd.Error,), close=image.close, again=again)

    def snapshots(self) -> list[Snap]:
        """The user's snapshots, oldest first."""
        return [snap for snap in self._snaps() if snap.namespace == "user"]

    def records(self, pair: SnapshotPair, *, start: int = 0, limit: int = 0) -> Iterator[Record]:
        """The extents of the target that changed since the base (no base: that are allocated) and end after ``start``.

        At most ``limit`` a record. Raises SnapshotNotFound, InvalidInput (a base newer than its target), DeviceError.
        One question at a time: the next one ends this one, which is then an InvalidInput.
        """
        self._asked += 1
        asked = self._asked
        base = None if pair.base is None else self._find(pair.base)
        target = self._find(pair.target) if pair.target.name else None
        view = self._view(target)
        end = view.size
        found = allocated(view, start, end) if base is None else changes_since(view, base, start, end)
        self.method, self.fallback, self.warnings = found.method, found.fallback, found.warnings
        given = False
        for batch in found:
            for part in _parts(batch, limit):
                if asked != self._asked:  # the image was set to another snapshot meanwhile
                    raise InvalidInput(f"{self._url} was asked something else meanwhile: open it twice")
                given = True
                yield Record(BlockMetadataType.VARIABLE_LENGTH, view.size, part)
        if not given:  # an empty list still says whose it is
            yield Record(BlockMetadataType.VARIABLE_LENGTH, view.size, Extents())
        if asked != self._asked:
            raise InvalidInput(f"{self._url} was asked something else meanwhile: open it twice")
        self._check(base, target)

    def close(self) -> None:
        """Closes what was opened here; an image of the caller's stays open."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _view(self, target: Snap | None) -> View:
        self._set(target)
        url = self._url if target is None else f"{self._url}@{target.name}"
        image, at = self._image, self._at(target)

        def flags_at(snap: Snap) -> int:
            with at(snap):
                return int(image.facts()["flags"])

        return View(image, url, target, image.size(), image.facts(), at, flags_at, self._snaps, self._errors)

    def _at(self, target: Snap | None) -> Callable[[Snap], AbstractContextManager[Any]]:
        @contextmanager
        def at(snap: Snap) -> Iterator[Any]:
            """The one image there is, set to another snapshot for a while."""
            self._set(snap)
            try:
                yield self._image
            finally:
                self._set(target)

        return at

    def _set(self, snap: Snap | None) -> None:
        try:
            self._image.set_snap(0 if snap is None else snap.id)
        except self._errors as error:
            url = self._url if snap is None else f"{self._url}@{snap.name}"
            raise failed(error, url, "list the changes of") from error  # type: ignore[arg-type]

    def _snaps(self) -> list[Snap]:
        return [Snap(*snap) for snap in self._image.snaps()]

    def _find(self, snapshot: Snapshot) -> Snap:
        for snap in self.snapshots():
            if snap.name == snapshot.name:
                return snap
        raise SnapshotNotFound(f"{self._url} has no snapshot {snapshot.name!r}")

    def _check(self, *snaps: Snap | None) -> None:
        """A snapshot that was removed meanwhile took the truth along."""
        gone: tuple[type[Exception], ...] = (DeviceError, *self._errors)
        try:
            known = {snap.id for snap in self._again()}
        except gone as error:
            raise DeviceError("it was removed meanwhile", url=self._url, action="list the changes of") from error
        for snap in snaps:
            if snap is not None and snap.id not in known:
                raise DeviceError(
                    "it was removed meanwhile", url=f"{self._url}@{snap.name}", action="list the changes of"
                )


def _parts(batch: Extents, limit: int) -> Iterator[Extents]:
    if not limit:
        yield batch
        return
    for at in range(0, len(batch), limit):
        yield batch[at : at + limit]


def _errors_of(image: Any) -> tuple[type[Exception], ...]:
    """The exceptions of the module that the image comes from."""
    import sys

    module = sys.modules.get(type(image).__module__)
    return (getattr(module, "OSError", OSError), getattr(module, "Error", OSError))
