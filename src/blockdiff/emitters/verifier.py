"""Proves a list of changes by applying it: the target must then equal the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.engine.apply import Application
from blockdiff.errors import ContentsDoNotMatch, OutOfOrder

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.record import Record


class VerifierEmitter:
    """Copies every listed range from ``source`` to ``target`` (WRITING to it), then compares the two whole devices.

    ``report`` holds every range that still differs: what the list should have named and did not. It is made by
    ``compare(source, target)``, by default the engine's ``verify_devices``. With ``check``, done() raises
    ContentsDoNotMatch on a difference.
    """

    def __init__(
        self,
        source: Device,
        target: WritableDevice,
        *,
        compare: Callable[[Device, WritableDevice], Any] | None = None,
        check: bool = False,
    ) -> None:
        self._source, self._target = source, target
        self._compare, self._check = compare or _verify, check
        self._application = Application(source, target)
        self.report: Any = None

    @property
    def applied_bytes(self) -> int:
        """Bytes written to the target so far."""
        return self._application.applied_bytes

    @property
    def differences(self) -> Extents:
        """The ranges that differ after everything was applied."""
        found: Extents = self.report.differences
        return found

    def record(self, number: int, record: Record) -> None:
        """Applies a record's extents. They are gathered: an error may come with a later record or with ``done``."""
        end = min(self._source.size, self._target.size)
        if record.extents.end > end:
            raise OutOfOrder(f"record {number} ends at {record.extents.end}, past the end of the smaller device, {end}")
        self._application.add(record.extents)

    def done(self, count: int) -> None:  # the protocol
        """Makes the writes durable and compares."""
        self._application.finish()
        self._application.close()
        self.report = self._compare(self._source, self._target)
        if self._check and not self.report.identical:
            first = self.differences[0]
            raise ContentsDoNotMatch(
                f"{self._source.url} and {self._target.url} differ in {self.differences.total()} bytes after all "
                f"listed ranges were applied, first at offset {first.offset} (length {first.length})"
            )


def _verify(source: Device, target: WritableDevice) -> Any:
    from blockdiff.engine.verify import verify_devices

    return verify_devices(source, target)
