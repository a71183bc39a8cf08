"""Manifests: the digests of a volume's blocks, with a tree over them. A volume is verified by its manifest alone.

What is named here is imported when it is first used: whether a file is a manifest is asked at every start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.engine.manifest.algorithm import ALGORITHMS, Hasher
    from blockdiff.engine.manifest.diff import ManifestDiff
    from blockdiff.engine.manifest.digest import Digesting, digest_device
    from blockdiff.engine.manifest.manifest import Manifest, open_manifest
    from blockdiff.engine.manifest.run import DigestRun, Piece
    from blockdiff.engine.manifest.verify import ManifestVerification

__all__ = [
    "ALGORITHMS",
    "MAGIC",
    "DigestRun",
    "Digesting",
    "Hasher",
    "Manifest",
    "ManifestDiff",
    "ManifestVerification",
    "Piece",
    "digest_device",
    "is_manifest",
    "open_manifest",
]

MAGIC = b"\x89BDMAN\r\n"
_WHERE = {
    "ALGORITHMS": "algorithm",
    "Hasher": "algorithm",
    "Digesting": "digest",
    "digest_device": "digest",
    "Manifest": "manifest",
    "open_manifest": "manifest",
    "DigestRun": "run",
    "Piece": "run",
    "ManifestVerification": "verify",
    "ManifestDiff": "diff",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def is_manifest(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a manifest does."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb", buffering=0) as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False
