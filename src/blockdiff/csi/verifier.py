"""The iterator's VerifierEmitter: proves a list of changes by applying it.

What differs from the original, on purpose: the report has every range that does not match, not only that there is one;
a device that fails is never told as a mismatch; ranges that the target is too small for are refused; a source that
shrinks meanwhile is an error. What the original copies, this copies; but in batches, so that an error may come with a
later record, or with ``done``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from blockdiff.engine.apply import Application
from blockdiff.engine.registry import open_device
from blockdiff.engine.verify import verify_devices
from blockdiff.errors import ContentsDoNotMatch, DeviceError, FailedToSeek, InvalidInput, SizeChanged

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport
    from blockdiff.record import Record

    Name = str | os.PathLike[str]

_TOP = (1 << 63) - 1


class VerifierFailed(DeviceError):
    """A device failed; the text is the original's. The fields are those of the DeviceError that is its cause."""

    def __str__(self) -> str:
        return self.reason


class SeekFailed(VerifierFailed, FailedToSeek):
    """A range begins where a device has no bytes."""


class VerifierEmitter:
    """Copies every listed range from ``source`` to ``target`` (WRITING to it), then compares the two whole devices.

    To check a list of allocated ranges, the source is a volume restored from the snapshot and the target an empty one;
    to check a list of changes, the target is a volume restored from the older snapshot. Devices are given open, or as a
    path or URL, and are then opened here and closed by ``close``.

    ``done`` raises ContentsDoNotMatch when a byte differs that the list left out; ``report`` then says where. What a
    driver lists too much cannot be seen in this way. Both methods raise DeviceError (also FailedToSeek);
    InvalidInput if the source is smaller than the volume: equal parts of it would prove nothing. Devices that share
    storage are refused at once (InvalidInput).
    ``max_differences`` limits the ranges that the report lists, never its totals; ``on_differences`` is given them in
    batches as they are found, and the report then lists none.
    """

    def __init__(
        self,
        source: Device | Name,
        target: WritableDevice | Name,
        *,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
        max_differences: int | None = None,
        on_differences: Callable[[Extents], None] | None = None,
    ) -> None:
        self._opened: list[Any] = []
        self._how = {
            "options": options,
            "progress": progress,
            "max_differences": max_differences,
            "on_differences": on_differences,
        }
        self.report: VerifyReport | None = None
        self.beyond_bytes = 0
        self._warnings: list[str] = []
        try:
            self._source = self._open(source)
            self._target = self._open(target, writable=True)
            self._application = Application(self._source, self._target)
            refuse = getattr(self._target, "refuse_if_same", None)
            if refuse is not None:  # a loop device and the file below it: the copy would prove itself
                refuse(self._source)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def applied_bytes(self) -> int:
        """Bytes written to the target so far."""
        return self._application.applied_bytes

    def record(self, number: int, metadata: Record) -> None:
        """Copies the ranges of a record."""
        if number == 1:
            self._look_at_capacity(metadata.capacity)
        extents = self._readable(metadata.extents)
        self._refuse_past_target(extents)
        self._try(lambda: self._application.add(extents))

    def done(self, count: int) -> None:  # the protocol
        """Makes the target durable and compares the devices from start to end."""
        self._try(self._application.finish)
        try:
            report = verify_devices(self._source, self._target, **self._how)  # type: ignore[arg-type]
        except SizeChanged:
            raise
        except DeviceError as error:
            raise self._failed(error, self._comparing(error)) from error
        self.report = report
        report.warnings += self._warnings
        if self.beyond_bytes:
            report.warnings.append(
                f"the list names {self.beyond_bytes} bytes past the end of {self._source.url} "
                f"({self._source.size} bytes): they were not copied"
            )
        if not report.identical:
            raise ContentsDoNotMatch("source and target device contents do not match", report=report)

    def close(self) -> None:
        """Closes what was opened here. What was held back of a list that failed is not written any more."""
        application: Application | None = getattr(self, "_application", None)
        if application is not None:
            application.close()
        while self._opened:
            self._opened.pop().close()

    def _open(self, device: Any, **options: bool) -> Any:
        if not isinstance(device, str) and not hasattr(device, "__fspath__"):
            return device
        self._opened.append(open_device(device, **options))
        return self._opened[-1]

    def _look_at_capacity(self, capacity: int) -> None:
        """The check says nothing about what a device does not have."""
        refuse_part(self._source, capacity)
        if self._target.size < capacity:
            self._warnings.append(
                f"{self._target.url} has {self._target.size} bytes and the volume has {capacity}: "
                "the rest was not compared"
            )

    def _readable(self, extents: Extents) -> Extents:
        """The ranges without what the source does not have: there the original reads nothing and goes on."""
        size = self._source.size
        if extents.end <= size:
            return extents
        offset = _first_from(extents, size + 1)
        if offset is not None:
            raise self._cannot_seek("source", self._source, offset)
        self.beyond_bytes += extents.clip(size, _TOP).total()
        return extents.clip(0, size)

    def _refuse_past_target(self, extents: Extents) -> None:
        size = self._target.size
        if extents.end <= size:
            return
        offset = _first_from(extents, size + 1)
        if offset is not None:
            raise self._cannot_seek("target", self._target, offset)
        where = {"url": self._target.url, "action": "write", "offset": size, "length": extents.end - size}
        reason = f"the device has {size} bytes, and a range ends at {extents.end}"
        raise VerifierFailed(f'failed to write to target device("{self._target.url}"): {reason}', **where)

    def _cannot_seek(self, side: str, device: Device, offset: int) -> SeekFailed:
        return SeekFailed(
            f'failed to seek ({side} device("{device.url}"), offset({offset})): the device has {device.size} bytes',
            url=device.url,
            action="seek",
            offset=offset,
        )

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except InvalidInput:
            raise
        except DeviceError as error:
            reading = error.action == "read"
            verb, side = ("read from", "source") if reading else ("write to", "target")
            device = self._source if reading else self._target
            raise self._failed(error, f'failed to {verb} {side} device("{device.url}"): {error}') from error

    def _comparing(self, error: DeviceError) -> str:
        """The original's text, where a side without trouble has none."""
        texts = [str(error) if device.url == error.url else "<nil>" for device in (self._source, self._target)]
        return f'error reading source and target device contents: source("{texts[0]}") target("{texts[1]}")'

    def _failed(self, error: DeviceError, text: str) -> VerifierFailed:
        return VerifierFailed(
            text,
            url=error.url,
            action=error.action,
            offset=error.offset,
            length=error.length,
            errno=error.errno,
        )


def refuse_part(source: Any, capacity: int) -> None:
    """InvalidInput if the source is smaller than the volume: nothing could be said about the rest."""
    if source.size < capacity:
        raise InvalidInput(
            f"{source.url} has {source.size} bytes and the snapshot's volume has {capacity}: "
            "it is not restored from it, or not all of it"
        )


def _first_from(extents: Extents, start: int) -> int | None:
    """The offset of the first range that begins at or after ``start``."""
    begun = len(extents.clip(0, start))
    return extents[begun].offset if begun < len(extents) else None
