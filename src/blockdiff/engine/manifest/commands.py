"""``blockdiff digest`` as a function."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff.engine.manifest.digest import Digesting, digest_device
from blockdiff.engine.manifest.manifest import open_manifest
from blockdiff.engine.registry import open_device

if TYPE_CHECKING:
    from blockdiff.engine.device import Device
    from blockdiff.engine.manifest.manifest import Manifest
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress


def digest(
    image: str | os.PathLike[str] | Device,
    manifest: str | os.PathLike[str] | None = None,
    *,
    algorithm: str = "xxh3-128",
    block_size: int = 0,
    force: bool = False,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Digests the blocks of an image. The Manifest is kept in a file of the name ``manifest``, or until it is closed.

    ``block_size`` 0 is 64 KiB, with ``blake3`` 128 KiB. ``force`` overwrites a file that is no manifest. Close the
    result. Raises InvalidInput, DeviceError, OutputError.
    """
    from importlib.metadata import version

    asked: dict[str, Any] = {"algorithm": algorithm, "block_size": block_size, "options": options, "progress": progress}
    with ExitStack() as stack:
        device: Any = image
        if isinstance(image, str) or hasattr(image, "__fspath__"):
            device = open_device(image)  # type: ignore[arg-type]
            stack.callback(device.close)
        if manifest is None:
            return digest_device(device, **asked)
        Digesting(device, made_by=f"blockdiff {version('blockdiff')}", **asked).save(os.fspath(manifest), force=force)
        return open_manifest(manifest)
