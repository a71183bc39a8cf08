"""Which module serves which URL scheme. Modules are imported when their scheme is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput
from blockdiff.locator import Locator, parse_locator

if TYPE_CHECKING:
    import os
    from types import ModuleType

    from blockdiff.engine.device import Device

ENTRY_POINT_GROUP = "blockdiff.backends"

_modules: dict[str, str | ModuleType] = {"file": "blockdiff.backends.file", "rbd": "blockdiff.backends.rbd"}


def register(scheme: str, module: str | ModuleType) -> None:
    """Adds a backend: a module (or its dotted name) with ``open_device(locator, **options)``. InvalidInput if taken."""
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


def open_device(target: str | os.PathLike[str] | Locator, **options: Any) -> Device:
    """Opens a device by path or URL; ``options`` go to the backend (``writable``, ``create_size``, ``force``)."""
    locator = parse_locator(target)
    device: Device = backend(locator.scheme).open_device(locator, **options)
    return device


def _entry_points() -> Any:
    # only when the table above does not know: scanning installed packages costs more than a whole small verify
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINT_GROUP)
