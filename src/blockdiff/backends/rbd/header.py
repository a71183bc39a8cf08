"""Asks the header object of an image, which is one question where opening it is a dozen. Images of format 2 only.

The methods of Ceph's object class ``rbd`` are what every client speaks to an OSD, of any release.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockdiff._rbd import IoCtx

HEAD = 2**64 - 2  # CEPH_NOSNAP


def size_at(ioctx: IoCtx, image_id: str, snap: int) -> int:
    """The size at a snapshot (0: the head), as it is now. CephError(ENOENT) when image or snapshot are gone."""
    answer = _ask(ioctx, image_id, "get_size", snap)
    _, size = struct.unpack("<BQ", answer)
    return int(size)


def flags_at(ioctx: IoCtx, image_id: str, snap: int) -> int:
    """The flags at a snapshot (0: the head). CephError(ENOENT) when image or snapshot are gone."""
    (flags,) = struct.unpack("<Q", _ask(ioctx, image_id, "get_flags", snap))
    return int(flags)


def _ask(ioctx: IoCtx, image_id: str, method: str, snap: int) -> bytes:
    return ioctx.exec(f"rbd_header.{image_id}", "rbd", method, struct.pack("<Q", snap or HEAD))
