"""Names of logical volumes: ``/dev/vg/custom_default_my--vol-snap0.block``.

A hyphen is written twice, the slash between volume and snapshot as one. Of three and more it cannot be told which one
is the slash, unless the volume is an instance's, as these do not end with a hyphen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockdiff.pool.lxd.kind import ContentType, SnapshotKind, VolumeType
from blockdiff.pool.lxd.name import Name
from blockdiff.pool.naming import NamingError, only, proved

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = {ContentType.BLOCK: ".block", ContentType.ISO: ".iso"}
_LEGAL = re.compile(r"[A-Za-z0-9+_.-]+", re.ASCII)
_LONGEST = 127
_TYPES = "|".join(VolumeType)
_TEXT = re.compile(rf"(?:(?:/dev/)?([A-Za-z0-9+_.-]+)/)?({_TYPES})_([A-Za-z0-9+_.-]+?)(\.block|\.iso)?", re.ASCII)
_ODD = re.compile(r"(?<!-)-(?:--)*(?!-)")
_WANTED = f"[/dev/VG/]TYPE_NAME[-SNAPSHOT][.block|.iso] is wanted, TYPE one of {', '.join(VolumeType)}"


class Lvm:
    """The names on LVM."""

    def make(self, name: Name) -> str:
        name.checked()
        if name.deleted or name.content is None or name.kind is not SnapshotKind.USER:
            raise NamingError(f"{name} has no name on lvm: a known content is wanted, and nothing deleted or internal")
        escaped = [part.replace("-", "--") for part in (name.storage, name.snapshot) if part]
        volume = f"{name.type}_{'-'.join(escaped)}" + (f"_{name.filesystem}" if name.filesystem else "")
        volume += _SUFFIXES.get(name.content, "")
        if not _LEGAL.fullmatch(volume) or len(volume) > _LONGEST:
            raise NamingError(f"{name} has no name on lvm: letters, digits and +_.- are wanted, {_LONGEST} at most")
        text = f"/dev/{name.pool}/{volume}" if name.pool else volume
        return proved(text, self.parse(text, pool=name.pool), name)

    def parse(self, text: str, *, pool: str | None = None) -> Name:
        return only(text, _readings(text), _WANTED, pool=pool)


def _readings(text: str) -> Iterator[Name]:
    match = _TEXT.fullmatch(text)
    if match is None or len(text.rpartition("/")[2]) > _LONGEST:
        return
    pool, kind, rest, suffix = match.groups()
    if len(text.rpartition("/")[2]) > _LONGEST:
        return
    kind = VolumeType(kind)
    content = next((one for one, known in _SUFFIXES.items() if known == suffix), ContentType.FILESYSTEM)
    filesystem = ""
    if kind is VolumeType.IMAGE and "_" in rest:
        rest, _, filesystem = rest.rpartition("_")
    for storage, snapshot in _splits(rest):
        try:
            project, volume = Name.split(kind, storage)
            name = Name(kind, volume, content, project, pool or "", snapshot, filesystem=filesystem)
            yield name.checked()
        except NamingError:
            continue  # a reading that none has


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """The volume and the snapshot, in each way in which they may have been written."""
    odd = list(_ODD.finditer(text))
    if not odd:
        yield text.replace("--", "-"), ""
    elif len(odd) == 1:
        before, after = text[: odd[0].start()].replace("--", "-"), text[odd[0].end() :].replace("--", "-")
        hyphens = len(odd[0][0]) // 2
        for count in range(hyphens + 1):
            if before + "-" * count and "-" * (hyphens - count) + after:
                yield before + "-" * count, "-" * (hyphens - count) + after
