"""What a verify, copy or audit found: the value that the Python API returns and every output prints."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.engine.device import Device

SCHEMA_VERSION = 1
UNREADABLE_SIDES = {1: "source", 2: "target", 3: "both"}


class Side:
    """One of the two devices and how it was read. ``bytes_by_path``: bytes read by mmap, direct and buffered.

    ``made_of``: the files of an image of a virtual machine, each with its format.
    """

    __slots__ = ("bytes_by_path", "made_of", "note", "size", "url")

    def __init__(self, url: str, size: int, made_of: Iterable[str] = ()) -> None:
        self.url, self.size, self.note, self.made_of = url, size, "", list(made_of)
        self.bytes_by_path: dict[str, int] = {}

    @classmethod
    def of(cls, device: Device) -> Side:
        """The side that a device is."""
        return cls(device.url, device.size, getattr(device, "made_of", ()))

    @property
    def read_path(self) -> str:
        """``mmap``, ``direct``, ``buffered``, two joined by ``+``, or ``none``."""
        return "+".join(sorted(self.bytes_by_path, key=lambda path: -self.bytes_by_path[path])) or "none"

    def to_dict(self) -> dict[str, Any]:
        """The report's JSON form."""
        return {
            "url": self.url,
            "size": self.size,
            "read_path": self.read_path,
            "bytes_by_path": dict(self.bytes_by_path),
            "note": self.note,
            **({"made_of": list(self.made_of)} if self.made_of else {}),
        }


class VerifyReport:
    """The result of comparing two devices. Units are bytes.

    ``identical`` is True only when every byte that was asked for (of the range and the list) was compared or is known
    to be equal, the sizes agree (or the policy is ``min``) and nothing was unreadable. ``differences`` are ascending
    and coalesced, their kind is their class; ``complete`` is False when the run stopped at the first difference or by
    an error.
    """

    # written out, not a dataclass: making one would take a millisecond of every start
    def __init__(
        self,
        command: str,
        source: Side,
        target: Side,
        method: str,
        granularity: int,
        *,
        offset: int = 0,
        length: int = 0,
    ) -> None:
        self.command, self.source, self.target, self.method = command, source, target, method
        self.granularity, self.offset, self.length = granularity, offset, length
        self.size_policy = "strict"
        self.identical = self.complete = False
        self.differences = Extents()
        self.difference_count = self.differing_bytes = self.bytes_compared = 0
        self.bytes_by_class: dict[str, int] = {}
        self.skipped: dict[str, int] = {}
        self.unreadable = Extents()
        self.unreadable_bytes = 0
        self.warnings: list[str] = []
        self.workers = 1
        self.started_at = now()
        self.elapsed_seconds = 0.0
        self.extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        return (
            f"VerifyReport({self.command} {self.source.url!r} {self.target.url!r}: identical={self.identical}, "
            f"{self.difference_count} differences, {self.differing_bytes} bytes)"
        )

    @property
    def bytes_read(self) -> int:
        """Bytes read from both sides together."""
        return sum(self.source.bytes_by_path.values()) + sum(self.target.bytes_by_path.values())

    @property
    def bytes_per_second(self) -> float:
        """Bytes of the range settled a second, read or skipped for a reason that says they are equal."""
        settled = self.length - self.skipped.get("not-listed", 0)
        return settled / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0

    def recount(self, found: Extents) -> None:
        """Makes these differences all that were found."""
        self.difference_count = self.differing_bytes = 0
        self.bytes_by_class = {}
        self.count(found)

    def count(self, found: Extents) -> None:
        """Adds differences to the totals (not to the list)."""
        self.difference_count += len(found)
        for kind, total in found.totals().items():
            label = Kind(kind).label
            self.bytes_by_class[label] = self.bytes_by_class.get(label, 0) + total
            self.differing_bytes += total

    def summary_dict(self) -> dict[str, Any]:
        """The report's JSON form without ``differences``, which may be too long for memory."""
        return {
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "identical": self.identical,
            "complete": self.complete,
            "source": self.source.to_dict(),
            "target": self.target.to_dict(),
            "method": self.method,
            "granularity": self.granularity,
            "offset": self.offset,
            "length": self.length,
            "size_policy": self.size_policy,
            "difference_count": self.difference_count,
            "differing_bytes": self.differing_bytes,
            "bytes_by_class": dict(self.bytes_by_class),
            "bytes_compared": self.bytes_compared,
            "bytes_read": self.bytes_read,
            "skipped": [{"reason": reason, "bytes": count} for reason, count in self.skipped.items()],
            "unreadable": [
                {"offset": e.offset, "length": e.length, "side": UNREADABLE_SIDES[int(e.kind)]} for e in self.unreadable
            ],
            "unreadable_bytes": self.unreadable_bytes,
            "warnings": list(self.warnings),
            "workers": self.workers,
            "started_at": self.started_at,
            "elapsed_seconds": round(self.elapsed_seconds, 6),
            **self.extra,
        }

    def to_dict(self) -> dict[str, Any]:
        """The whole report as plain values, ready for JSON."""
        return {**self.summary_dict(), "differences": list(difference_dicts(self.differences))}


def now() -> str:
    """The time by the clock, in UTC, as RFC 3339 writes it."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03}Z"


def difference_dicts(extents: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """Differences in their JSON form."""
    return ({"offset": e.offset, "length": e.length, "class": Kind(e.kind).label} for e in extents)
