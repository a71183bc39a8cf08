"""What tells an image and the content of its files from others, for checkpoints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.backends.opening import printable
from blockdiff.engine.checkpoint.evidence import FILE_TOLD_BY, file_content, is_ahead

if TYPE_CHECKING:
    from blockdiff.backends.image.device import ImageDevice
    from blockdiff.backends.image.plain import PlainDevice


def image_evidence(device: ImageDevice | PlainDevice) -> dict[str, Any]:
    """By all files; one that is a block device does not tell whether it was written to."""
    who: dict[str, Any] = {"internal snapshot": device.image_snapshot_id()}
    content: dict[str, Any] = {}
    sure = not device.address.force_share
    for number, file in enumerate(device.image.files() if device.image is not None else ()):
        path = printable(os.path.realpath(file.path))
        who[f"file {number}"] = f"{path} ({file.format}, inode {file.then.st_ino})"
        if file.is_block:
            sure = False
            continue
        content |= {f"{key} of {path}": value for key, value in file_content(file.then).items()}
        sure = sure and not is_ahead(file.then)
    return {"who": who, "content": content, "told_by": FILE_TOLD_BY, "sure": "running" if sure else ""}
