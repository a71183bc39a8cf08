"""Ceph RBD images: ``rbd:[pool/[namespace/]]image[@snapshot]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.backends.rbd.catalog import RbdCatalog
    from blockdiff.backends.rbd.device import RbdDevice
    from blockdiff.backends.rbd.source import RbdSource as RbdSource
    from blockdiff.locator import Locator

__all__ = ["SNAPSHOTS", "RbdSource", "open_catalog", "open_device"]

SNAPSHOTS = True  # its devices are engine.replicate.SnapshotDevice


def open_device(locator: Locator, **options: Any) -> RbdDevice:
    """As ``target.open_device``. The cluster is asked to answer first: it takes about as long as loading the rest."""
    from blockdiff.backends.rbd.address import parse_address
    from blockdiff.backends.rbd.connection import begin

    begin(parse_address(locator))
    from blockdiff.backends.rbd import target

    return target.open_device(locator, **options)


def open_catalog(locator: Locator) -> RbdCatalog:
    """As ``catalog.open_catalog``."""
    from blockdiff.backends.rbd import catalog

    return catalog.open_catalog(locator)


def __getattr__(name: str) -> Any:
    if name == "RbdSource":  # seldom asked for by a command
        from blockdiff.backends.rbd.source import RbdSource

        return RbdSource
    raise AttributeError(name)
