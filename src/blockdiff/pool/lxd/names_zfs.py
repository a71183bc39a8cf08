"""Names of ZFS datasets: ``tank/lxd/virtual-machines/vm1.block@snapshot-snap0``.

Custom volumes do not tell whether they are a file system or a block device, except for ISO images.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from blockdiff.pool.lxd.kind import ContentType, SnapshotKind, VolumeType
from blockdiff.pool.lxd.name import Name
from blockdiff.pool.naming import NamingError, only, proved
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELETED = "deleted"
_MARKS = {SnapshotKind.USER: "snapshot-", SnapshotKind.DELETED: "deleted-", SnapshotKind.MIGRATION: "migration-"}
_LEGAL = re.compile(r"[A-Za-z0-9_.:/-]+(?:@[A-Za-z0-9_.:-]+)?", re.ASCII)
_LONGEST = 255
_WANTED = f"[POOL/][{_DELETED}/]TYPE/NAME[.block|.iso][@snapshot-NAME] is wanted, TYPE one of {', '.join(VolumeType)}"


class Zfs:
    """The names on ZFS."""

    def make(self, name: Name) -> str:
        name.checked()
        parts = [name.pool] if name.pool else []
        parts += [_DELETED] if name.deleted else []
        volume = name.storage + (f"_{name.filesystem}" if name.filesystem else "") + _suffix(name)
        text = "/".join([*parts, name.type, volume])
        if name.snapshot:
            text += f"@{name.snapshot if name.kind is SnapshotKind.READONLY else _MARKS[name.kind] + name.snapshot}"
        if not _LEGAL.fullmatch(text) or len(text) > _LONGEST:
            raise NamingError(f"{name} has no name on zfs: letters, digits and _.:- are wanted, {_LONGEST} at most")
        told = None if name.type is VolumeType.CUSTOM and name.content is not ContentType.ISO else name.content
        proved(text, self.parse(text, pool=name.pool), replace(name, content=told))
        return text

    def parse(self, text: str, *, pool: str | None = None) -> Name:
        readings = _readings(text) if _LEGAL.fullmatch(text) and len(text) <= _LONGEST else ()
        return only(text, readings, _WANTED, pool=pool)


def _suffix(name: Name) -> str:
    if name.content is ContentType.ISO:
        return ".iso"
    return ".block" if name.content is ContentType.BLOCK and name.type is not VolumeType.CUSTOM else ""


def _readings(text: str) -> Iterator[Name]:
    dataset, at, mark = text.partition("@")
    *above, word, volume = ["", "", *dataset.split("/")]
    above = above[2:]
    if word not in set(VolumeType) or not volume or "" in above or "@" in mark:
        return
    deleted = above[-1:] == [_DELETED]
    kind, snapshot = _snapshot(text, mark) if at else (SnapshotKind.USER, "")
    found = VolumeType(word)
    content, volume = _content(found, volume)
    filesystem = ""
    if found is VolumeType.IMAGE and "_" in volume:
        volume, _, filesystem = volume.rpartition("_")
    project, volume = Name.split(found, volume, deleted=deleted)
    pool = "/".join(above[:-1] if deleted else above)
    yield Name(found, volume, content, project, pool, snapshot, kind, filesystem, deleted).checked()


def _content(kind: VolumeType, volume: str) -> tuple[ContentType | None, str]:
    if kind is VolumeType.CUSTOM:
        return (ContentType.ISO, volume[:-4]) if volume.endswith(".iso") else (None, volume)
    if kind is not VolumeType.BUCKET and volume.endswith(".block"):
        return ContentType.BLOCK, volume[:-6]
    return ContentType.FILESYSTEM, volume


def _snapshot(text: str, mark: str) -> tuple[SnapshotKind, str]:
    if mark == "readonly":
        return SnapshotKind.READONLY, mark
    for kind, prefix in _MARKS.items():
        if mark.startswith(prefix) and mark != prefix:
            return kind, mark.removeprefix(prefix)
    raise NamingError(f"{quoted(text)} is no snapshot of LXD: its names are readonly, {', '.join(_MARKS.values())}...")
