"""A manifest as JSON, written as it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.engine.manifest.manifest import Manifest

SCHEMA_VERSION = 1
_STEP = 4096  # digests at a time


def export_manifest(manifest: Manifest, write: Callable[[bytes], object]) -> None:
    """Writes one object: what the manifest says of itself, then ``runs`` of digests as hexadecimal text.

    Blocks that are in no run are whole blocks of zeroes. InvalidInput where the manifest is damaged.
    """
    import json

    manifest.check()
    head = json.dumps({"schema_version": SCHEMA_VERSION, **manifest.to_dict(), "zero": manifest.hasher.zero.hex()})
    write(head[:-1].encode() + b', "runs": [')
    comma, end = b"", -1
    for first, count in manifest.stored(0, manifest.blocks):
        for at in range(first, first + count, _STEP):
            digests = manifest.digests(at, min(_STEP, first + count - at)).hex(",", manifest.hasher.size)
            if at == end:
                write(b', "')
            else:
                write(b'%s\n{"first_block": %d, "digests": ["' % (comma, at))
                comma = b"]},"
            write(digests.replace(",", '", "').encode() + b'"')
            end = at + min(_STEP, first + count - at)
    write((comma[:2] if comma else b"") + b"]}\n")
