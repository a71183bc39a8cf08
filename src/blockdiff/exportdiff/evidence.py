"""What tells an image that nobody restored from others, for checkpoints: its base, and the files of diffs over it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.engine.checkpoint.evidence import FILE_TOLD_BY, file_content, is_ahead
from blockdiff.engine.checkpoint.job import describe

if TYPE_CHECKING:
    from blockdiff.engine.device import Device
    from blockdiff.exportdiff.chain import Chain


def overlay_evidence(base: Device | None, chain: Chain | None) -> dict[str, Any]:
    """As sure as the base is; a diff that came by a pipe cannot be read again."""
    under: dict[str, Any] = {"who": {}, "content": {}, "boot": {}, "told_by": "", "sure": "running"}
    under = under if base is None else describe(base)
    who, content, sure = dict(under["who"]), dict(under["content"]), under["sure"]
    for number, file in enumerate(chain.files if chain is not None else ()):
        if file.status.st_nlink == 0:
            return {"who": {}, "refusal": f"{file.name} cannot be read again; keep it in a file"}
        where = os.path.realpath(file.name.removeprefix("file:"))
        who[f"diff {number}"] = f"{where} (inode {file.status.st_ino})"
        content |= {f"{key} of {file.name}": value for key, value in file_content(file.status).items()}
        sure = ("running" if sure else "") if not is_ahead(file.status) else ""
    return {"who": who, "content": content, "boot": under["boot"], "told_by": FILE_TOLD_BY, "sure": sure}
