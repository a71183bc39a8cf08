"""Names of RBD images: ``pool/custom_default_vol1.block@snapshot_snap0``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.pool.lxd.kind import ContentType, SnapshotKind, VolumeType
from blockdiff.pool.lxd.name import Name
from blockdiff.pool.naming import NamingError, only, proved
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZOMBIE = "zombie_"
_TYPES = {kind.singular: kind for kind in VolumeType if kind.singular}
_SUFFIXES = {ContentType.BLOCK: ".block", ContentType.ISO: ".iso"}
_MARKS = {
    SnapshotKind.USER: "snapshot_",
    SnapshotKind.DELETED: "zombie_snapshot_",
    SnapshotKind.MIGRATION: "migration-send-",
}
_WANTED = f"[POOL/][{_ZOMBIE}]TYPE_NAME[.block|.iso][@snapshot_NAME] is wanted, TYPE one of {', '.join(_TYPES)}"


class Ceph:
    """The names on Ceph RBD."""

    def make(self, name: Name) -> str:
        name.checked()
        if not name.type.singular or name.content is None:
            raise NamingError(f"{name} has no name on ceph: a known content is wanted, and no bucket")
        if (name.type is VolumeType.IMAGE) is not bool(name.filesystem):
            raise NamingError(f"{name} has no name on ceph without its file system")
        if "@" in name.storage + name.snapshot:
            raise NamingError(f"{name} has no name on ceph: @ begins a snapshot")
        image = f"{_ZOMBIE if name.deleted else ''}{name.type.singular}_{name.storage}"
        image += f"_{name.filesystem}" if name.filesystem else ""
        text = f"{name.pool}/{image}" if name.pool else image
        text += _SUFFIXES.get(name.content, "") + _snapshot_text(name)
        return proved(text, self.parse(text, pool=name.pool), name)

    def parse(self, text: str, *, pool: str | None = None) -> Name:
        return only(text, _readings(text), _WANTED, pool=pool)


def _snapshot_text(name: Name) -> str:
    if not name.snapshot:
        return ""
    return f"@{name.snapshot}" if name.kind is SnapshotKind.READONLY else f"@{_MARKS[name.kind]}{name.snapshot}"


def _readings(text: str) -> Iterator[Name]:
    pool, slash, whole = text.rpartition("/")
    image, at, mark = whole.partition("@")
    bare = image.removeprefix(_ZOMBIE)
    word, _, rest = bare.partition("_")
    if word not in _TYPES or "/" in pool or (slash and not pool) or "@" in mark:
        return
    kind, snapshot = _snapshot(text, mark) if at else (SnapshotKind.USER, "")
    content = next((one for one, suffix in _SUFFIXES.items() if rest.endswith(suffix)), ContentType.FILESYSTEM)
    rest = rest.removesuffix(_SUFFIXES.get(content, ""))
    filesystem = ""
    if _TYPES[word] is VolumeType.IMAGE:
        rest, _, filesystem = rest.rpartition("_")
        if not filesystem:
            return
    deleted = bare != image
    project, volume = Name.split(_TYPES[word], rest, deleted=deleted)
    yield Name(_TYPES[word], volume, content, project, pool, snapshot, kind, filesystem, deleted).checked()


def _snapshot(text: str, mark: str) -> tuple[SnapshotKind, str]:
    if mark == "readonly":
        return SnapshotKind.READONLY, mark
    for kind, prefix in _MARKS.items():
        if mark.startswith(prefix) and mark != prefix:
            return kind, mark.removeprefix(prefix)
    raise NamingError(f"{quoted(text)} is no snapshot of LXD: its names are readonly, {', '.join(_MARKS.values())}...")
