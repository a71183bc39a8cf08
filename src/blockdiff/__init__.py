"""Say exactly which blocks changed between two devices, and prove that a replica is identical.

    report = blockdiff.verify("disk.img", "replica.img")

Everything public is listed in ``__all__`` and imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.api import (  # the command's names
        AuditReport,
        apply,
        audit,
        copy,
        diff,
        map,  # noqa: A004
        merge,
        open_chain,
        verify,
    )
    from blockdiff.engine.manifest.commands import digest
    from blockdiff.engine.manifest.manifest import Manifest, open_manifest
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.registry import open_device, register
    from blockdiff.engine.repair.commands import repair, undo
    from blockdiff.engine.repair.undoing import UndoReport
    from blockdiff.engine.report import VerifyReport
    from blockdiff.engine.sampled import Sampling
    from blockdiff.engine.source import ordered
    from blockdiff.errors import (
        BackendUnavailable,
        BlockdiffError,
        ContentsDoNotMatch,
        DeviceBusy,
        DeviceError,
        FailedToSeek,
        InvalidInput,
        OutOfOrder,
        OutputError,
        RemoteError,
        ShortRead,
        SizeChanged,
        SnapshotNotFound,
        SnapshotNotReady,
        SourceError,
        StreamInterrupted,
        UnsupportedOperation,
    )
    from blockdiff.exportdiff.apply import ApplyReport
    from blockdiff.exportdiff.emitter import ExportDiffEmitter
    from blockdiff.exportdiff.merge import MergeReport
    from blockdiff.extent import Extent, Kind
    from blockdiff.record import BlockMetadataType, Record
    from blockdiff.snapshot import Snapshot, SnapshotPair

__version__ = "0.1.0"

_WHERE = {
    "blockdiff._fast": ("Extents",),
    "blockdiff.api": ("AuditReport", "apply", "audit", "copy", "diff", "map", "merge", "open_chain", "verify"),
    "blockdiff.engine.manifest.commands": ("digest",),
    "blockdiff.engine.manifest.manifest": ("Manifest", "open_manifest"),
    "blockdiff.engine.options": ("ReadOptions",),
    "blockdiff.engine.registry": ("open_device", "register"),
    "blockdiff.engine.repair.commands": ("repair", "undo"),
    "blockdiff.engine.repair.undoing": ("UndoReport",),
    "blockdiff.engine.report": ("VerifyReport",),
    "blockdiff.engine.sampled": ("Sampling",),
    "blockdiff.engine.source": ("ordered",),
    "blockdiff.errors": (
        "BackendUnavailable",
        "BlockdiffError",
        "ContentsDoNotMatch",
        "DeviceBusy",
        "DeviceError",
        "FailedToSeek",
        "InvalidInput",
        "OutOfOrder",
        "OutputError",
        "RemoteError",
        "ShortRead",
        "SizeChanged",
        "SnapshotNotFound",
        "SnapshotNotReady",
        "SourceError",
        "StreamInterrupted",
        "UnsupportedOperation",
    ),
    "blockdiff.exportdiff.apply": ("ApplyReport",),
    "blockdiff.exportdiff.emitter": ("ExportDiffEmitter",),
    "blockdiff.exportdiff.merge": ("MergeReport",),
    "blockdiff.extent": ("Extent", "Kind"),
    "blockdiff.record": ("BlockMetadataType", "Record"),
    "blockdiff.snapshot": ("Snapshot", "SnapshotPair"),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "ApplyReport",
    "AuditReport",
    "BackendUnavailable",
    "BlockMetadataType",
    "BlockdiffError",
    "ContentsDoNotMatch",
    "DeviceBusy",
    "DeviceError",
    "ExportDiffEmitter",
    "Extent",
    "Extents",
    "FailedToSeek",
    "InvalidInput",
    "Kind",
    "Manifest",
    "MergeReport",
    "OutOfOrder",
    "OutputError",
    "ReadOptions",
    "Record",
    "RemoteError",
    "Sampling",
    "ShortRead",
    "SizeChanged",
    "Snapshot",
    "SnapshotNotFound",
    "SnapshotNotReady",
    "SnapshotPair",
    "SourceError",
    "StreamInterrupted",
    "UndoReport",
    "UnsupportedOperation",
    "VerifyReport",
    "__version__",
    "apply",
    "audit",
    "copy",
    "diff",
    "digest",
    "map",
    "merge",
    "open_chain",
    "open_device",
    "open_manifest",
    "ordered",
    "register",
    "repair",
    "undo",
    "verify",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'blockdiff' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return __all__
