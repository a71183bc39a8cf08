"""Names of LXD's volumes on storage, by driver (docs/lxd-names.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.pool.lxd.names_ceph import Ceph
from blockdiff.pool.lxd.names_dir import Directory
from blockdiff.pool.lxd.names_lvm import Lvm
from blockdiff.pool.lxd.names_zfs import Zfs
from blockdiff.pool.naming import NamingError
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from blockdiff.pool.lxd.name import Name
    from blockdiff.pool.naming import Naming

_NAMINGS: dict[str, Naming[Name]] = {
    "ceph": Ceph(),
    "lvm": Lvm(),
    "zfs": Zfs(),
    "btrfs": Directory(),
    "dir": Directory(),
}
DRIVERS = tuple(_NAMINGS)


def make_name(driver: str, name: Name) -> str:
    """The name on the storage of a driver. Raises NamingError if there is none, or none of its own."""
    return _naming(driver).make(name)


def parse_name(driver: str, text: str, *, pool: str | None = None) -> Name:
    """The volume or snapshot of a name on storage. With ``pool``, only of that one: paths may say more than one pool.

    Raises NamingError if it is no name of LXD, or may be that of two volumes.
    """
    return _naming(driver).parse(text, pool=pool)


def _naming(driver: str) -> Naming[Name]:
    if driver not in _NAMINGS:
        raise NamingError(f"no names of the driver {quoted(driver)} are known: accepted are {', '.join(DRIVERS)}")
    return _NAMINGS[driver]
