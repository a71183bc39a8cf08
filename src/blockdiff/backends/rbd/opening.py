"""Finds the image that an address names. What is missing is told apart: pool, namespace, image or snapshot."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.backends.rbd.call import failed, library, patiently
from blockdiff.backends.rbd.connection import Connection, connect
from blockdiff.errors import DeviceError, InvalidInput, SnapshotNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff._rbd import CephError, Image, IoCtx
    from blockdiff.backends.rbd.address import RbdAddress


class NoImage(DeviceError):
    """The pool and namespace are there, an image of that name is not."""


class Snap(NamedTuple):
    """A snapshot; ids ascend with time. ``namespace``: user, group, trash or mirror."""

    id: int
    name: str
    size: int
    namespace: str


@dataclass(slots=True)
class Opened:
    """An open image, set to its snapshot. ``snap`` None is the head; ``address`` has pool and image filled in."""

    connection: Connection
    ioctx: IoCtx
    image: Any
    snap: Snap | None
    address: RbdAddress


def open_pool(address: RbdAddress) -> tuple[Connection, IoCtx, RbdAddress]:
    """The pool and namespace; DeviceError where there is none of that name."""
    connection = connect(address)
    native = library()
    pool = address.pool or connection.default_pool()
    address = replace(address, pool=pool)
    try:
        ioctx = connection.cluster.ioctx(patiently(lambda: connection.cluster.pool_id(pool)), address.namespace)
        bare = connection.cluster.ioctx(ioctx.pool)
        known = not address.namespace or patiently(lambda: bare.namespace_exists(address.namespace))
    except native.CephError as error:
        if error.errno == errno.ENOENT:
            raise _missing(address, f"there is no pool {pool!r}") from error
        raise _failed(error, address, connection) from error
    if not known:
        raise _missing(address, f"there is no namespace {address.namespace!r} in the pool {pool!r}")
    return connection, ioctx, address


def open_image(address: RbdAddress, *, read_only: bool = True) -> Opened:
    """Opens an image at its head or snapshot. Raises DeviceError, SnapshotNotFound, and what ``connect`` raises."""
    native = library()
    connection, ioctx, address = open_pool(address)

    def opened() -> Image:
        image: Image = native.Image(ioctx, name=address.image, id=address.image_id, read_only=read_only)
        return image

    try:
        image = patiently(opened)
    except native.CephError as error:
        if error.errno == errno.ENOENT:
            text = no_image(address, ioctx)
            raise NoImage(text, url=str(address), action="open", errno=errno.ENOENT) from error
        raise _failed(error, address, connection) from error
    # requests to OSDs end by themselves in time; what does not is held up by a lock that nobody gives back
    image.limit(3 * connection.timeout)
    try:
        snap = find_snap(image, address) if address.snapshot else None
        if snap is not None:
            image.set_snap(snap.id)
    except native.CephError as error:
        image.close()
        raise _failed(error, address, connection) from error
    except BaseException:
        image.close()
        raise
    return Opened(connection, ioctx, image, snap, address)


def snaps_of(image: Any) -> list[Snap]:
    """All snapshots, oldest first."""
    return [Snap(*snap) for snap in image.snaps()]


def find_snap(image: Any, address: RbdAddress) -> Snap:
    """The user's snapshot of this name, else one of mirroring or a group. Raises SnapshotNotFound."""
    snaps = snaps_of(image)
    named = [snap for snap in snaps if snap.name == address.snapshot]
    for snap in sorted(named, key=lambda snap: snap.namespace != "user"):
        return snap
    known = [snap.name for snap in snaps if snap.namespace == "user"]
    raise SnapshotNotFound(
        f"cannot open {address}: the image has no snapshot {address.snapshot!r}{_like(address.snapshot, known)}"
    )


def no_image(address: RbdAddress, ioctx: IoCtx) -> str:
    """Why there is no such image, with what was perhaps meant."""
    native = library()
    where = f"the pool {address.pool!r}" + (f", namespace {address.namespace!r}" if address.namespace else "")
    if address.image_id:
        return f"there is no image with the id {address.image_id!r} in {where}"
    names: list[str] = []
    with contextlib.suppress(native.CephError):  # a user may be allowed to open images, but not to list them
        for number, name in ioctx.trash():
            if name == address.image:
                return f"the image {name!r} is in the trash: name it by ?image-id={number}"
        names = [name for _, name in ioctx.images()]
    return f"there is no image {address.image!r} in {where}{_like(address.image, names)}"


def refuse_snapshot(address: RbdAddress) -> None:
    """Snapshots cannot be written. InvalidInput."""
    if address.snapshot:
        raise InvalidInput(f"{address} is a snapshot, which nothing can be written to: name the image without @")


def _failed(error: CephError, address: RbdAddress, connection: Connection) -> DeviceError:
    trouble = failed(error, str(address), "open")
    trouble.reason = connection.explain(error.errno) or trouble.reason
    return trouble


def _missing(address: RbdAddress, why: str) -> DeviceError:
    return DeviceError(why, url=str(address), action="open", errno=errno.ENOENT)


def _like(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=3)
    return f" (there is {', '.join(close)})" if close else ""
