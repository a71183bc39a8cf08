"""What diffs are applied to: sizes, snapshots, zeroes, and what of it is refused before the first byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import SET_TABLES, Extents, Merge
from blockdiff.engine.plan import known_extents
from blockdiff.errors import InvalidInput
from blockdiff.exportdiff.writing import DataWriter
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.exportdiff.form import Header


class Target:
    """A writable device as diffs see it. ``size`` is that of the image on it; a device may be larger.

    ``base_size``: the size of the image that a device holds, where the device is larger.
    """

    def __init__(self, device: Any, *, base_size: int | None = None) -> None:
        self.device = device
        self.fixed = getattr(device, "is_block", True) or not hasattr(device, "resize")
        self.keeps_snapshots = hasattr(device, "has_snapshot") and hasattr(device, "create_snapshot")
        if base_size is not None and base_size > device.size:
            raise InvalidInput(f"--base-size {base_size} is more than {device.url} has: {device.size}")
        if base_size is not None and not self.fixed and base_size != device.size:
            raise InvalidInput(f"--base-size is for devices: {device.url} knows its size, {device.size}")
        self.size = device.size if base_size is None else base_size
        self.data = DataWriter(device)

    @property
    def copied(self) -> int:
        """Bytes of data written."""
        return self.data.copied

    @property
    def zeroed(self) -> int:
        """Bytes made to read as zeroes."""
        return self.data.zeroed

    def check(self, header: Header, *, first: bool) -> None:
        """InvalidInput where a diff cannot be applied; ``first`` of its chain."""
        if self.fixed and header.size > self.device.size:
            raise InvalidInput(
                f"{self.device.url} has {self.device.size} bytes and the image has {header.size}: it is too small"
            )
        if not self.keeps_snapshots:
            return
        for name in filter(None, (header.from_name, header.to_name)):
            if not name.isprintable():
                raise InvalidInput(f"{name!r} cannot be the name of a snapshot of {self.device.url}")
        if first and header.from_name is not None and not self.device.has_snapshot(header.from_name):
            raise InvalidInput(
                f"{self.device.url} has no snapshot {header.from_name!r}, which the changes begin from: "
                "they cannot be applied to anything else"
            )
        if header.to_name and self.device.has_snapshot(header.to_name):
            raise InvalidInput(
                f"{self.device.url} has a snapshot {header.to_name!r} already: this diff was applied; "
                "leave it out, and apply those after it"
            )

    def written_since(self, name: str) -> int:
        """Bytes that may have changed since a snapshot of the device, where it keeps track of that."""
        if not (self.keeps_snapshots and hasattr(self.device, "changes_since")):
            return 0
        with self.device.at(name) as base:
            if self.device.changes_refusal(base) is not None:
                return 0
            changes = self.device.changes_since(base, 0, self.device.size, "auto")
            count: int = max(0, base.size - self.device.size)
            for batch in changes:
                count += batch.total()
            return count

    def resize(self, size: int) -> None:
        """Cuts or grows the image. What a device has behind the image becomes zero when the image grows over it."""
        if not self.fixed:
            if size != self.device.size:
                self.device.resize(size)
        elif size > self.size:
            self.zero(self.size, size - self.size)
            self.data.settle()
        self.size = size

    def zero(self, offset: int, length: int) -> None:
        """Makes a range read as zeroes, before the diff is finished."""
        self.data.zero(offset, length)

    def zero_rest(self, listed: Iterable[Extents]) -> None:
        """Makes all that is not listed, and is not known to be zero already, read as zeroes."""
        rest = Merge(known_extents(self.device, 0, self.size), listed, SET_TABLES["subtract"])
        for batch in list(rest):  # all of them first: a map is not read while it changes
            for offset, length, kind in batch:
                if kind == Kind.DATA:
                    self.zero(offset, length)

    def finish_diff(self, header: Header) -> None:
        """Waits until all is written, and makes the snapshot that a diff leads to where the device has snapshots."""
        self.data.settle()
        if self.keeps_snapshots and header.to_name:
            self.device.flush()
            self.device.create_snapshot(header.to_name)
