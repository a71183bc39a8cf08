"""A volume or a snapshot of LXD, as its names on storage tell it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from blockdiff.pool.fault import printable
from blockdiff.pool.lxd.kind import ContentType, SnapshotKind, VolumeType
from blockdiff.pool.naming import NamingError
from blockdiff.schedule.words import plain, quoted

TEMPORARY = ".lxdtmp"  # volumes and snapshots while they are made
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_FINGERPRINT = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_WRONG = re.compile(r"[/\s\x00-\x1f\x7f]")
_WRONG_PROJECT = re.compile(r"[/_\s'\"*\x00-\x1f\x7f]")
_CONTENTS = {
    VolumeType.CONTAINER: {ContentType.FILESYSTEM},
    VolumeType.VM: {ContentType.BLOCK, ContentType.FILESYSTEM},
    VolumeType.IMAGE: {ContentType.BLOCK, ContentType.FILESYSTEM},
    VolumeType.CUSTOM: {*ContentType, None},
    VolumeType.BUCKET: {ContentType.FILESYSTEM},
}


@dataclass(frozen=True, slots=True)
class Name:
    """``content`` is None where a name does not tell it (custom volumes on ZFS).

    A virtual machine has two volumes: its disk, which is a block device, and a file system with its configuration.
    ``filesystem`` is that of an image. Images belong to no project and keep "default"; what is ``deleted`` and lives
    on for its clones may have none at all. ``str()`` is for people.
    """

    type: VolumeType
    volume: str
    content: ContentType | None = ContentType.FILESYSTEM
    project: str = "default"
    pool: str = ""
    snapshot: str = ""
    kind: SnapshotKind = SnapshotKind.USER
    filesystem: str = ""
    deleted: bool = False

    def __str__(self) -> str:
        shown = f"{self.type}/{self.volume}" + (f"/{self.snapshot}" if self.snapshot else "")
        marks = [self.content or "", self.project and f"project {self.project}", self.filesystem]
        marks += [f"pool {self.pool}" if self.pool else "", "deleted" if self.deleted else ""]
        marks += [str(self.kind) if self.kind is not SnapshotKind.USER else ""]
        return printable(f"{shown} ({', '.join(filter(None, marks))})")

    @property
    def storage(self) -> str:
        """The name with its project in front, as all drivers write it."""
        if self.type is VolumeType.IMAGE:
            return self.volume
        hidden = "default" if self.type.is_instance and not self.deleted else ""
        return self.volume if self.project in ("", hidden) else f"{self.project}_{self.volume}"

    @classmethod
    def split(cls, type: VolumeType, text: str, *, deleted: bool = False) -> tuple[str, str]:  # noqa: A002 its name
        """The project and the volume of a storage name. Raises NamingError."""
        project, line, volume = text.partition("_")
        if type is VolumeType.IMAGE:
            return "default", text
        if not line:
            if type.is_instance and not deleted:
                return "default", text
            if not deleted:
                raise NamingError(f"{quoted(text)} names no project: PROJECT_VOLUME is wanted")
            return "", text
        if type.is_instance and project == "default" and not deleted:
            raise NamingError(f"{quoted(text)} names the project default, which instances do not")
        return project, volume

    def checked(self) -> Self:
        """Itself. Raises NamingError for what no volume of LXD is."""
        for problem in (self._name_problem(), self._snapshot_problem()):
            if problem:
                raise NamingError(f"no volume {plain(str(self))}: {problem}")
        return self

    def _name_problem(self) -> str:
        if self.content not in _CONTENTS[self.type]:
            return f"{self.type} have no content {self.content}"
        if not self.project and (not self.deleted or self.type is VolumeType.IMAGE):
            return "it has no project"
        if self.project in (".", "..") or _WRONG_PROJECT.search(self.project):
            return f"the project {quoted(self.project)} has a character that projects have not"
        if self.type is VolumeType.IMAGE:
            return self._image_problem()
        if self.filesystem:
            return "the file system is told of images only"
        if self.type.is_instance:
            return "" if _HOST.fullmatch(self.volume) else f"{quoted(self.volume)} is no host name"
        if self.deleted and not self.project and "_" in self.volume:
            return "what has no project has no _"
        return _text_problem(self.volume)

    def _image_problem(self) -> str:
        if self.project != "default":
            return "images belong to no project"
        if not _FINGERPRINT.fullmatch(self.volume):
            return f"{quoted(self.volume)} is no fingerprint"
        if self.filesystem and not _FINGERPRINT.fullmatch(self.filesystem):
            return f"{quoted(self.filesystem)} is no file system"
        return ""

    def _snapshot_problem(self) -> str:
        if not self.snapshot:
            return "" if self.kind is SnapshotKind.USER else "its snapshot has no name"
        if self.kind is SnapshotKind.READONLY and (self.type, self.snapshot) != (VolumeType.IMAGE, "readonly"):
            return "images have it, under the name readonly"
        if self.kind is SnapshotKind.USER and self.type is VolumeType.IMAGE:
            return "nobody takes snapshots of images"
        return _text_problem(self.snapshot)


def _text_problem(text: str) -> str:
    """What is wrong with a name that people may choose freely."""
    if text.endswith(TEMPORARY):
        return f"{quoted(text)} is temporary: it ends with {TEMPORARY}"
    if not text or text in (".", "..") or _WRONG.search(text):
        return f"{quoted(text)} is empty, has only dots, or has a slash or a space"
    return ""
