"""What can be done with a stream of records. A name's module is imported when it is first used.

An emitter is any object with ``record(number, record)`` and ``done(count)``; see ``blockdiff.engine.source.Emitter``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.engine.source import Emitter

_FACTORIES = {
    "json": ("json", "JsonEmitter"),
    "jsonl": ("jsonl", "JsonlEmitter"),
    "table": ("table", "TableEmitter"),
    "summary": ("summary", "SummaryEmitter"),
    "rbd": ("shapes", "RbdEmitter"),
    "qemu": ("shapes", "QemuEmitter"),
    "nbd": ("shapes", "NbdEmitter"),
    "nbd-dirty": ("shapes", "NbdDirtyEmitter"),
    "ovirt": ("shapes", "OvirtEmitter"),
    "ovirt-dirty": ("shapes", "OvirtDirtyEmitter"),
}

_OTHERS = {
    "CollectEmitter": "collect",
    "TeeEmitter": "tee",
    "ThinDeltaEmitter": "thindelta",
    "VerifierEmitter": "verifier",
    **{name: module for module, name in _FACTORIES.values()},
}


def names() -> list[str]:
    """The formats that ``make_emitter`` knows."""
    return list(_FACTORIES)


def make_emitter(name: str, out: BinaryIO, **options: Any) -> Emitter:
    """An emitter that writes a format to a binary file. InvalidInput names the known formats."""
    if name not in _FACTORIES:
        raise InvalidInput(f"unknown output format {name!r}: known are {', '.join(_FACTORIES)}")
    emitter: Emitter = __getattr__(_FACTORIES[name][1])(out, **options)
    return emitter


def __getattr__(name: str) -> Any:
    if name not in _OTHERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_OTHERS[name]}"), name)
