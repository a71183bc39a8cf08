"""Kubernetes and CSI changed block tracking: the SnapshotMetadata services, as client and as server.

    from blockdiff.csi import Args, JSONEmitter, build_clients, get_snapshot_metadata

What is public is listed in ``__all__`` and imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.csi.args import (
        DEFAULT_TOKEN_EXPIRY_SECONDS,
        K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX,
        Args,
        Clients,
    )
    from blockdiff.csi.connection import SnapshotMetadata
    from blockdiff.csi.emitters import IteratorEmitter, JSONEmitter, TableEmitter
    from blockdiff.csi.errors import CACertError as ErrCACert
    from blockdiff.csi.errors import Cancelled as ErrCancelled
    from blockdiff.csi.errors import InvalidArgs as ErrInvalidArgs
    from blockdiff.csi.iterator import get_snapshot_metadata, snapshot_metadata
    from blockdiff.csi.kube import build_clients
    from blockdiff.csi.verifier import VerifierEmitter
    from blockdiff.errors import ContentsDoNotMatch as ErrContentsDoNotMatch
    from blockdiff.errors import FailedToSeek as ErrFailedToSeek

_WHERE = {
    "Args": ("args", "Args"),
    "Clients": ("args", "Clients"),
    "DEFAULT_TOKEN_EXPIRY_SECONDS": ("args", "DEFAULT_TOKEN_EXPIRY_SECONDS"),
    "ErrCACert": ("errors", "CACertError"),
    "ErrCancelled": ("errors", "Cancelled"),
    "ErrContentsDoNotMatch": ("", "ContentsDoNotMatch"),
    "ErrFailedToSeek": ("", "FailedToSeek"),
    "ErrInvalidArgs": ("errors", "InvalidArgs"),
    "IteratorEmitter": ("emitters", "IteratorEmitter"),
    "JSONEmitter": ("emitters", "JSONEmitter"),
    "K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX": ("args", "K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX"),
    "SnapshotMetadata": ("connection", "SnapshotMetadata"),
    "TableEmitter": ("emitters", "TableEmitter"),
    "VerifierEmitter": ("verifier", "VerifierEmitter"),
    "build_clients": ("kube", "build_clients"),
    "get_snapshot_metadata": ("iterator", "get_snapshot_metadata"),
    "snapshot_metadata": ("iterator", "snapshot_metadata"),
}

__all__ = [
    "DEFAULT_TOKEN_EXPIRY_SECONDS",
    "K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX",
    "Args",
    "Clients",
    "ErrCACert",
    "ErrCancelled",
    "ErrContentsDoNotMatch",
    "ErrFailedToSeek",
    "ErrInvalidArgs",
    "IteratorEmitter",
    "JSONEmitter",
    "SnapshotMetadata",
    "TableEmitter",
    "VerifierEmitter",
    "build_clients",
    "get_snapshot_metadata",
    "snapshot_metadata",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'blockdiff.csi' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name]
    found = import_module(f"blockdiff.csi.{module}" if module else "blockdiff.errors")
    value = globals()[name] = getattr(found, attribute)
    return value


def __dir__() -> list[str]:
    return __all__
