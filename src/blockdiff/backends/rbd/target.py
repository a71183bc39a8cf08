"""Opens devices by URL; one that is written to is made where it is missing, and refused where it is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.backends.rbd.address import parse_address
from blockdiff.backends.rbd.call import failed, library, patiently
from blockdiff.backends.rbd.device import RbdDevice
from blockdiff.backends.rbd.opening import NoImage, open_image, open_pool, refuse_snapshot
from blockdiff.errors import DeviceBusy

if TYPE_CHECKING:
    from blockdiff.backends.rbd.address import RbdAddress
    from blockdiff.locator import Locator


def open_device(
    locator: Locator, *, writable: bool = False, create_size: int | None = None, force: bool = False
) -> RbdDevice:
    """Opens an image, read-only unless ``writable``: no client's lock is touched then, and nothing is left behind.

    A missing target is made with ``create_size`` bytes when that is given. A writable one that others have open or
    locked is refused with DeviceBusy unless ``force``.
    """
    address = parse_address(locator)
    if not writable:
        return RbdDevice(open_image(address))
    refuse_snapshot(address)
    created = False
    try:
        with RbdDevice(open_image(address)) as seen:
            users = [] if force else seen.users()
    except NoImage:
        if create_size is None or address.image_id:
            raise
        _create(address, create_size)
        created, users = True, []
    if users:
        raise DeviceBusy(
            f"{seen.url} is in use ({'; '.join(users)}): a client that died is forgotten within 30 s, "
            "and --force writes nevertheless"
        )
    return RbdDevice(open_image(address, read_only=False), writable=True, created=created)


def _create(address: RbdAddress, size: int) -> None:
    native = library()
    _, ioctx, address = open_pool(address)
    try:
        patiently(lambda: ioctx.create_image(address.image, size))
    except native.CephError as error:
        raise failed(error, str(address), "make") from error
