"""The kinds of volumes of LXD, and of what is in them."""

from __future__ import annotations

from enum import StrEnum


class VolumeType(StrEnum):
    """The text is the plural, as in paths."""

    CONTAINER = "containers"
    VM = "virtual-machines"
    IMAGE = "images"
    CUSTOM = "custom"
    BUCKET = "buckets"

    @property
    def singular(self) -> str:
        """The name in LXD's database, and on Ceph; buckets have none there."""
        return "" if self is VolumeType.BUCKET else self.removesuffix("s")

    @property
    def is_instance(self) -> bool:
        """Whether it belongs to a container or a virtual machine."""
        return self in (VolumeType.CONTAINER, VolumeType.VM)

    @property
    def content(self) -> ContentType:
        """What an instance of this type has in its volume."""
        return ContentType.BLOCK if self is VolumeType.VM else ContentType.FILESYSTEM


class ContentType(StrEnum):
    """What is in a volume."""

    FILESYSTEM = "filesystem"
    BLOCK = "block"
    ISO = "iso"

    @property
    def is_block(self) -> bool:
        """Whether it is a block device."""
        return self is not ContentType.FILESYSTEM


class SnapshotKind(StrEnum):
    """Who made a snapshot, and what for."""

    USER = "snapshot"  # by hand, or by a schedule
    READONLY = "readonly"  # of an image, for clones
    DELETED = "deleted"  # something still depends on it
    MIGRATION = "migration"  # while a volume is sent
