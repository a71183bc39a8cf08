"""Older states of the target: snapshots, whose bytes are compared, and manifests, whose digests are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from blockdiff.errors import BlockdiffError
from blockdiff.triage.reading import Reading

if TYPE_CHECKING:
    from blockdiff.engine.device import Device


class History(Protocol):
    """``url`` names it; ``load`` is told which bytes will be asked for. ``trouble``: what could not be read."""

    url: str
    trouble: list[str]

    def load(self, start: int, end: int) -> None:
        """Reads what it has of ``[start, end)``."""

    def bytes_at(self, offset: int, length: int) -> bytes | None:
        """What it has there; None where it has not all of it, or knows digests only."""

    def holds(self, offset: int, length: int) -> bool:
        """Whether digests prove that the target has the very bytes that were there."""

    def close(self) -> None:
        """Gives it back."""


class DeviceHistory:
    """An older snapshot, or any device."""

    def __init__(self, device: Device) -> None:
        self.url, self._device, self._reading = device.url, device, Reading(device)
        self._start, self._data = 0, b""
        self.trouble: list[str] = []

    def load(self, start: int, end: int) -> None:
        try:
            self._start, self._data = start, self._reading.read(start, end - start)
        except BlockdiffError as error:
            self._start, self._data = start, b""
            _note(self.trouble, error)

    def bytes_at(self, offset: int, length: int) -> bytes | None:
        at = offset - self._start
        found = self._data[at : at + length]
        return found if len(found) == length else None

    def holds(self, offset: int, length: int) -> bool:
        return False

    def close(self) -> None:
        self._device.close()


class ManifestHistory:
    """A manifest of an older state: it says of whole blocks whether the target has what was there then."""

    def __init__(self, manifest: Any, target: Reading) -> None:
        self.url, self._manifest, self._target = manifest.name, manifest, target
        self._known: dict[int, bool] = {}
        self.trouble: list[str] = []

    def load(self, start: int, end: int) -> None:
        self._known.clear()

    def bytes_at(self, offset: int, length: int) -> bytes | None:
        return None

    def holds(self, offset: int, length: int) -> bool:
        manifest = self._manifest
        if offset + length > min(manifest.size, self._target.size):
            return False
        number = offset // manifest.block_size
        if number not in self._known:
            self._known[number] = self._same(number)
        return self._known[number]

    def _same(self, number: int) -> bool:
        manifest = self._manifest
        start = number * manifest.block_size
        length = min(manifest.block_size, manifest.size - start)
        try:
            data = self._target.read(start, length)
            return len(data) == length and bool(manifest.hasher.hash_blocks(data) == manifest.digests(number, 1))
        except BlockdiffError as error:
            _note(self.trouble, error)
            return False

    def close(self) -> None:
        self._manifest.close()


def _note(trouble: list[str], error: BlockdiffError) -> None:
    """The first error is told; thousands of the same kind help nobody."""
    if not trouble:
        trouble.append(str(error))
