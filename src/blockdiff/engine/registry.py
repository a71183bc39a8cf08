"""Which module serves which URL scheme. Modules are imported when their scheme is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.locator import Locator, parse_locator

if TYPE_CHECKING:
    import os
    from types import ModuleType

    from blockdiff.engine.device import Device
    from blockdiff.engine.source import Source
    from blockdiff.snapshot import SnapshotPair

    Named = str | os.PathLike[str] | Locator

ENTRY_POINT_GROUP = "blockdiff.backends"

_modules: dict[str, str | ModuleType] = {
    "file": "blockdiff.backends.file",
    "rbd": "blockdiff.backends.rbd",
    "csi": "blockdiff.csi.source",
    **dict.fromkeys(("qcow2", "vmdk", "vhdx", "vdi", "vpc"), "blockdiff.backends.image"),
    **dict.fromkeys(("nbd", "nbds", "nbd+unix", "nbds+unix"), "blockdiff.backends.nbd"),
}

_WITH_DATA = ("file", "rbd")  # known without importing them
_RECOGNISER = "blockdiff.backends.recognise"


def locate(target: Named) -> Locator:
    """Where a name is. A bare path that is an image of a virtual machine gets the scheme of its format.

    InvalidInput where that is not certain.
    """
    locator = parse_locator(target)
    if locator.scheme != "file":
        return locator
    found: Locator = importlib.import_module(_RECOGNISER).recognise(locator)
    return found


def register(scheme: str, module: str | ModuleType) -> None:
    """Adds a backend: a module (or its dotted name) with ``open_device(locator, **options)``. InvalidInput if taken.

    One that knows block metadata and holds no data has ``open_source(base, target)`` in its place. One that has both
    has ``is_source(locator)``, which says of a URL whether it is of the second kind.
    """
    if scheme in _modules:
        raise InvalidInput(f"the scheme {scheme!r} is already registered")
    _modules[scheme] = module


def schemes() -> list[str]:
    """All known schemes, entry points included."""
    return sorted({*_modules, *(point.name for point in _entry_points())})


def backend(scheme: str) -> Any:
    """The module that serves a scheme. InvalidInput names the known ones."""
    found = _modules.get(scheme)
    if found is None:
        found = next((point.value for point in _entry_points() if point.name == scheme), None)
        if found is None:
            known = ", ".join(f"{name}:" for name in schemes())
            raise InvalidInput(
                f"unknown scheme {scheme!r}: known are {known} (write ./{scheme}:... for a file of that name)"
            )
    if isinstance(found, str):
        found = _modules[scheme] = importlib.import_module(found)
    return found


def open_device(target: Named, **options: Any) -> Device:
    """Opens a device by path or URL; ``options`` go to the backend (``writable``, ``create_size``, ``force``).

    UnsupportedOperation for a URL that holds no data.
    """
    locator = locate(target)
    if is_source(locator):
        raise UnsupportedOperation(
            f"{locator.text} lists blocks and holds no data: name the device whose blocks it lists, and "
            f"give the list by --extents (or to blockdiff diff and map)"
        )
    if options.get("create_size") is not None and locator.scheme == "file":
        importlib.import_module(_RECOGNISER).refuse_misnamed(locator)
    device: Device = backend(locator.scheme).open_device(locator, **options)
    return device


def is_source(target: Named) -> bool:
    """Whether a name is of a source of block metadata, which holds no data. InvalidInput for an unknown scheme."""
    locator = locate(target)
    if locator.scheme in _WITH_DATA:
        return False
    module = backend(locator.scheme)
    asked: bool = module.is_source(locator) if hasattr(module, "is_source") else not hasattr(module, "open_device")
    return asked


def open_source(base: Named | None, target: Named) -> tuple[Source, SnapshotPair]:
    """Opens a source of block metadata and says which pair it is to be asked about.

    Without a base: what is allocated in the target, unless the target's own URL names a base. InvalidInput if one of
    the two is no such source, or the other's.
    """
    names = [locate(name) for name in (base, target) if name is not None]
    for locator in names:
        if not is_source(locator):
            other = next(name for name in names if is_source(name))
            raise InvalidInput(
                f"{other.text} lists blocks and holds no data, {locator.text} is a device: name two of one kind"
            )
    if len({locator.scheme for locator in names}) > 1:
        raise InvalidInput(f"{names[0].text} and {names[1].text} are of two services: the changes are not known")
    opened: tuple[Source, SnapshotPair] = backend(names[-1].scheme).open_source(
        names[0] if base is not None else None, names[-1]
    )
    return opened


def _entry_points() -> Any:
    # only when the table above does not know: scanning installed packages costs more than a whole small verify
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINT_GROUP)
