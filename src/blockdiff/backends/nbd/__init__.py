"""NBD exports: ``nbd://host[:port][/export]``, ``nbds://``, ``nbd+unix:///export?socket=PATH``, ``nbds+unix://``.

A URL with ``bitmap=`` or ``meta=`` is a source: it lists what such a context says of the export, and holds no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.backends.nbd.device import NbdDevice
    from blockdiff.backends.nbd.source import NbdSource
    from blockdiff.locator import Locator
    from blockdiff.snapshot import SnapshotPair


def is_source(locator: Locator) -> bool:
    """Whether the URL names a context such as a dirty bitmap. InvalidInput for a URL that is malformed."""
    from blockdiff.backends.nbd.address import parse_address

    return bool(parse_address(locator).context)


def open_device(locator: Locator, **options: Any) -> NbdDevice:
    """As ``device.open_device``."""
    from blockdiff.backends.nbd import device

    return device.open_device(locator, **options)


def list_volumes(locator: Locator) -> list[dict[str, Any]]:
    """As ``listing.list_volumes``."""
    from blockdiff.backends.nbd import listing

    return listing.list_volumes(locator)


def open_source(base: Locator | None, target: Locator) -> tuple[NbdSource, SnapshotPair]:
    """As ``source.open_source``."""
    from blockdiff.backends.nbd import source

    return source.open_source(base, target)
