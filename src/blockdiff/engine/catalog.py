"""Lists the snapshots of a storage, for planning: ``open_catalog("rbd:pool/image")``. A backend that can has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from blockdiff.engine.registry import backend
from blockdiff.errors import SourceError, UnsupportedOperation
from blockdiff.locator import parse_locator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.engine.device import Device
    from blockdiff.engine.registry import Named
    from blockdiff.snapshot import Snapshot


class Entry(NamedTuple):
    """A snapshot, and what one needs to open it and to know it again.

    ``url`` opens it; empty if nothing does. ``size`` is in bytes, None if unknown. ``identity`` is that of the device
    that the URL opens, as ``identity_of`` gives it; empty if unknown.
    """

    snapshot: Snapshot
    url: str = ""
    size: int | None = None
    identity: str = ""


class Volume(NamedTuple):
    """A volume and its snapshots, oldest first. ``name`` is what its copy on another storage is called too.

    ``url`` opens its head; empty if nothing does.
    """

    name: str
    entries: tuple[Entry, ...]
    url: str = ""


class Catalog(Protocol):
    """What a storage lists. ``url`` names it in messages.

    ``single`` is true if it is of one volume that was named, which may be called otherwise on the other side.
    ``dated``: a copy of a snapshot has the date of the original (``Snapshot.created``), so that dates can be compared.
    """

    url: str
    single: bool
    dated: bool

    def volumes(self) -> Iterable[Volume]:
        """All volumes, with their snapshots. Raises what opening a device raises."""
        ...

    def url_of(self, volume: str) -> str:
        """The URL of a volume of this name, also of one that is not there; empty if nothing opens it."""
        ...

    def close(self) -> None:
        """Ends it."""


class SnapshotReplaced(SourceError):
    """What a plan names is not there any more; something else has its name."""


def open_catalog(target: Named) -> Catalog:
    """The catalog of a URL. UnsupportedOperation for a backend that lists no snapshots."""
    locator = parse_locator(target)
    module = backend(locator.scheme)
    if not hasattr(module, "open_catalog"):
        raise UnsupportedOperation(f"the snapshots of {locator.text} cannot be listed: give them as JSON (--json)")
    catalog: Catalog = module.open_catalog(locator)
    return catalog


def identity_of(device: Device) -> str:
    """What tells a device from all others, in one line; empty for one that has no identity."""
    identity = getattr(device, "identity", None)
    return "" if identity is None else "/".join(map(str, identity))


def check_identity(device: Device, *, identity: str, handle: str, size: int | None) -> None:
    """Raises SnapshotReplaced unless the device is what was listed: something else must not be taken for it.

    ``handle`` is the snapshot's id, for a device that knows it (``snapshot_id``). What was not listed is not checked;
    an identity that the device cannot give is an UnsupportedOperation.
    """
    found = identity_of(device)
    if identity and not found:
        raise UnsupportedOperation(f"{device.url} cannot be told from another of its name: it has no identity")
    if identity and identity != found:
        raise SnapshotReplaced(
            f"{device.url} is not what the plan names: it was made again since (it was {identity}, it is {found}); "
            "make a new plan"
        )
    known = getattr(device, "snapshot_id", "")
    if handle and known and handle != known:
        raise SnapshotReplaced(
            f"{device.url} is not what the plan names: it was made again since (its id was {handle}, it is {known}); "
            "make a new plan"
        )
    if size is not None and device.size != size:
        raise SnapshotReplaced(
            f"{device.url} is not what the plan names: it has {device.size:,} bytes, not {size:,}; make a new plan"
        )
