"""Paths below a pool's directory, of the drivers dir and btrfs: ``POOL/custom-snapshots/default_vol1/snap0/root.img``.

A volume is a directory; of a block device or an ISO image it holds the file ``root.img``, and that file is what is
named. The directory of an image alone is read as the image, too: its name ends with ``.iso``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.pool.lxd.kind import ContentType, SnapshotKind, VolumeType
from blockdiff.pool.lxd.name import Name
from blockdiff.pool.naming import NamingError, only, proved

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISK, _ISO, _SNAPSHOTS = "root.img", ".iso", "-snapshots"
_WANTED = f"[POOL/]TYPE[{_SNAPSHOTS}]/NAME[/SNAPSHOT][/{_DISK}] is wanted, TYPE one of {', '.join(VolumeType)}"


class Directory:
    """The names in directories and btrfs subvolumes."""

    def make(self, name: Name) -> str:
        name.checked()
        if name.deleted or name.content is None or name.kind is not SnapshotKind.USER or name.filesystem:
            raise NamingError(
                f"{name} has no name in a directory: a known content is wanted, and nothing deleted or internal"
            )
        volume = name.storage + (_ISO if name.content is ContentType.ISO else "")
        parts = [f"{name.type}{_SNAPSHOTS}", volume, name.snapshot] if name.snapshot else [name.type, volume]
        parts += [_DISK] if name.content.is_block else []
        text = "/".join([name.pool, *parts] if name.pool else parts)
        return proved(text, self.parse(text, pool=name.pool), name)

    def parse(self, text: str, *, pool: str | None = None) -> Name:
        return only(text, _readings(text), _WANTED, pool=pool)


def _readings(text: str) -> Iterator[Name]:
    parts = text.split("/")
    forms = [(parts, False)] + ([(parts[:-1], True)] if parts[-1] == _DISK else [])
    for path, disk in forms:
        if path[-2:-1] and path[-2] in set(VolumeType):
            yield from _reading(path[:-2], VolumeType(path[-2]), path[-1], "", disk=disk)
        if path[-3:-2] and path[-3].endswith(_SNAPSHOTS) and path[-3].removesuffix(_SNAPSHOTS) in set(VolumeType):
            kind = VolumeType(path[-3].removesuffix(_SNAPSHOTS))
            if path[-1]:
                yield from _reading(path[:-3], kind, path[-2], path[-1], disk=disk)


def _reading(above: list[str], kind: VolumeType, storage: str, snapshot: str, *, disk: bool) -> Iterator[Name]:
    if "" in above[1:] or above == [""] or ".." in above or "." in above:
        return  # a path in another form than LXD's
    content = ContentType.BLOCK if disk else ContentType.FILESYSTEM
    if kind is VolumeType.CUSTOM and storage.endswith(_ISO):
        content, storage = ContentType.ISO, storage.removesuffix(_ISO)
    try:
        project, volume = Name.split(kind, storage)
        yield Name(kind, volume, content, project, "/".join(above), snapshot).checked()
    except NamingError:
        return
