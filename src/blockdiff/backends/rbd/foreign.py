"""Images that the caller has opened with the distribution's Python bindings (``rbd.Image``), as our own speak.

Only their public methods are used: the bindings keep librbd's handles to themselves.
"""

from __future__ import annotations

from typing import Any

from blockdiff._fast import Extents
from blockdiff.extent import Kind

_NAMESPACES = ("user", "group", "trash", "mirror")


class ForeignImage:
    """Speaks as ``_rbd.Image`` does, as far as metadata goes. The image stays its owner's: it is never closed here.

    ``set_snap`` moves the owner's image too.
    """

    def __init__(self, image: Any) -> None:
        self._image = image

    def size(self) -> int:
        return int(self._image.size())

    def facts(self) -> dict[str, Any]:
        """As ``_rbd.Image.facts``; what older bindings do not tell is left out."""
        image, stat = self._image, self._image.stat()
        return {
            "order": stat["order"],
            "object_size": stat["obj_size"],
            "prefix": stat["block_name_prefix"],
            "stripe_unit": image.stripe_unit(),
            "stripe_count": image.stripe_count(),
            "features": image.features(),
            "flags": image.flags(),
            "overlap": image.overlap(),
            "id": "" if image.old_format() else image.id(),
            "name": image.get_name(),
        }

    def snaps(self) -> list[tuple[int, str, int, str]]:
        """(id, name, size, namespace) of all snapshots, oldest first."""
        found = self._image.list_snaps()
        return sorted((s["id"], s["name"], s["size"], _NAMESPACES[s.get("namespace", 0)]) for s in found)

    def set_snap(self, snap: int) -> None:
        """The head is 0, which the bindings call None."""
        if snap:
            self._image.set_snap_by_id(snap)
        else:
            self._image.set_snap(None)

    def diff(
        self,
        from_snap: str | None,
        offset: int,
        length: int,
        *,
        include_parent: bool = True,
        whole_object: bool = False,
        cancel: object = None,
    ) -> Extents:
        """As ``_rbd.Image.diff``, by a Python call for each extent."""
        found: list[tuple[int, int, int]] = []

        def take(offset: int, length: int, exists: bool) -> None:
            found.append((offset, length, Kind.DATA if exists else Kind.ZERO))

        self._image.diff_iterate(offset, length, from_snap, take, include_parent, whole_object)
        found.sort()  # striping: they come object by object
        return Extents(found).coalesce().clip(offset, offset + length)

    def diff_ranges(
        self,
        from_snap: str | None,
        ranges: Extents,
        *,
        include_parent: bool = True,
        whole_object: bool = False,
        cancel: object = None,
        from_id: int = 0,
    ) -> Extents:
        """As ``_rbd.Image.diff_ranges``; the bindings take names only."""
        options = {"include_parent": include_parent, "whole_object": whole_object}
        parts = [self.diff(from_snap, offset, length, **options) for offset, length, _ in ranges]
        return Extents(extent for part in parts for extent in part).coalesce()
