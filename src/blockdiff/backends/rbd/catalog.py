"""The snapshots of an image, or of all images of a pool: ``rbd:POOL/IMAGE``, ``rbd:POOL/`` or ``rbd:POOL``."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blockdiff.backends.rbd.address import FORM, parse_address
from blockdiff.backends.rbd.call import failed, library, patiently
from blockdiff.backends.rbd.opening import NoImage, open_image, open_pool, snaps_of
from blockdiff.engine.catalog import Entry, Volume
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.backends.rbd.address import RbdAddress
    from blockdiff.backends.rbd.opening import Opened
    from blockdiff.locator import Locator

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class RbdCatalog:
    """The user's snapshots; those of mirroring, groups and the trash are left out.

    ``created`` is when the cluster made the snapshot: that of a copy is when it was copied, and proves nothing.
    """

    dated = False

    def __init__(self, address: RbdAddress, *, single: bool) -> None:
        self._address, self.single = address, single
        self.url = str(address)

    def volumes(self) -> Iterator[Volume]:
        """The image, or all images of the pool and namespace, by name."""
        if self.single:
            yield _volume(self._address)
            return
        # open as long as the images are listed: they share the connection
        connection, ioctx, address = open_pool(self._address)
        for number, name in sorted(self._list(ioctx), key=lambda image: image[1]):
            try:
                yield _volume(replace(address, image=name))
            except NoImage:
                if any(number == still for still, _ in self._list(ioctx)):
                    raise
        del connection

    def url_of(self, volume: str) -> str:
        """The URL of an image of the pool."""
        return str(self._address if self.single else replace(self._address, image=volume))

    def close(self) -> None:
        """Nothing stays open."""

    def _list(self, ioctx: Any) -> list[tuple[str, str]]:
        native = library()
        try:
            images: list[tuple[str, str]] = patiently(ioctx.images)
        except native.CephError as error:
            raise failed(error, self.url, "list the images of") from error
        return images


def open_catalog(locator: Locator) -> RbdCatalog:
    """A name without a slash is that of an image in the default pool, else of a pool. InvalidInput if it is both."""
    name, mark, query = locator.rest.partition("?")
    if "@" in name:
        raise InvalidInput(f"{locator.text!r} names a snapshot: all of an image are listed, so leave the @ out")
    if name.endswith("/"):
        return _pool(name[:-1], mark + query, locator)
    address = parse_address(locator)
    try:
        opened = open_image(address)
    except DeviceError as error:
        if "/" in name or not name or error.errno != errno.ENOENT:
            raise
        with contextlib.suppress(DeviceError):
            return _pool(name, mark + query, locator)
        raise InvalidInput(
            f"{locator.text!r} is neither an image of the default pool nor a pool: write {FORM}, or rbd:POOL/"
        ) from error
    opened.image.close()
    if "/" not in name and name:
        with contextlib.suppress(DeviceError):
            _pool(name, mark + query, locator)
            raise InvalidInput(
                f"{name!r} is an image of the pool {opened.address.pool!r}, and a pool: write "
                f"rbd:{opened.address.pool}/{name}, or rbd:{name}/"
            )
    return RbdCatalog(opened.address, single=True)


def _pool(path: str, query: str, locator: Locator) -> RbdCatalog:
    """The catalog of POOL or POOL/NAMESPACE. DeviceError if there is none."""
    # parsed as an image of it, whose name is then taken away
    address = parse_address(locator._replace(rest=f"{path}/any{query}"))
    _, _, address = open_pool(replace(address, image=""))
    return RbdCatalog(address, single=False)


def _volume(address: RbdAddress) -> Volume:
    """One image: all from one look at its header."""
    opened = open_image(address)
    try:
        return _listed(opened)
    except library().CephError as error:
        raise failed(error, str(opened.address), "list the snapshots of") from error
    finally:
        opened.image.close()


def _listed(opened: Opened) -> Volume:
    image, address, ioctx = opened.image, opened.address, opened.ioctx
    facts = image.facts()
    volume = "/".join(part for part in (address.pool, address.namespace, facts["name"]) if part)
    where = (opened.connection.fsid, ioctx.pool, ioctx.namespace, facts["id"] or facts["name"])
    entries = []
    for snap in snaps_of(image):
        if snap.namespace == "user":
            made = EPOCH + dt.timedelta(microseconds=image.snap_time(snap.id) // 1000)
            identity = "/".join(map(str, (*where, snap.id)))
            url = str(address.at(snap.name))
            entries.append(Entry(Snapshot(volume, snap.name, str(snap.id), made), url, snap.size, identity))
    return Volume(facts["name"], tuple(entries), str(address))
