"""Everything blockdiff raises on purpose.

    BlockdiffError                     exit code 3 unless said
    ├── InvalidInput                   2  the caller's words, numbers or files are wrong
    │   ├── OutOfOrder                 3  a source's extents are unsorted, overlap or leave the volume
    │   └── DeviceBusy                 2  refused: the target is mounted, held, or is the source itself
    ├── UnsupportedOperation           4  asked for what this device, file system or build cannot do
    │   └── BackendUnavailable         4  a scheme whose library is not installed (``hint`` says what to install)
    ├── SourceError                    3  a source of block metadata failed
    │   ├── SnapshotNotFound
    │   ├── SnapshotNotReady           (retryable)
    │   └── StreamInterrupted          (retryable; ``resume_offset``)
    ├── DeviceError (also OSError)     3  open, read, write or ioctl failed at ``offset``
    │   ├── ShortRead                  the device ended before the bytes that it promised
    │   ├── SizeChanged                the device grew or shrank while it was read
    │   └── FailedToSeek
    ├── ContentsDoNotMatch             3  copied data read back differently; also the snapshot-metadata API's error
    ├── OutputError                    3  a report or an extent list could not be written
    └── RemoteError                    5  a remote service failed

A difference between two devices is a result, not an exception.
"""

from __future__ import annotations

import os


class BlockdiffError(Exception):
    """Base of all errors. ``msg`` is a template over the stored fields; ``exit_code`` is what the CLI returns."""

    msg = "{reason}"
    exit_code = 3
    retryable = False

    def __init__(self, reason: str = "", **fields: object) -> None:
        super().__init__(reason)
        self.reason = reason
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.msg.format_map(_Fields(self))


class _Fields(dict[str, object]):
    """Looks template fields up on the error, so that the text is made only when it is printed."""

    def __init__(self, error: BlockdiffError) -> None:
        super().__init__()
        self._error = error

    def __missing__(self, key: str) -> object:
        return getattr(self._error, key)


class InvalidInput(BlockdiffError):
    """The caller's words, numbers or files are wrong; nothing was done."""

    exit_code = 2


class OutOfOrder(InvalidInput):
    """Extents are unsorted, overlap, or leave the volume. ``index`` is the first bad extent where known."""

    exit_code = 3
    index: int | None = None


class DeviceBusy(InvalidInput):
    """Refused to write: the target is mounted, held by somebody, or the source itself."""


class UnsupportedOperation(BlockdiffError):
    """This device, file system or build cannot do what was asked."""

    exit_code = 4


class BackendUnavailable(UnsupportedOperation):
    """A scheme is known but its library is missing; ``hint`` says what to install."""

    msg = "{reason}; {hint}"
    hint = ""


class SourceError(BlockdiffError):
    """A source of block metadata failed."""


class SnapshotNotFound(SourceError):
    """The snapshot does not exist."""


class SnapshotNotReady(SourceError):
    """The snapshot exists but cannot be used yet."""

    retryable = True


class StreamInterrupted(SourceError):
    """A stream broke; ``resume_offset`` (bytes) is where it can go on."""

    retryable = True
    resume_offset = 0


class DeviceError(BlockdiffError, OSError):
    """An operation on a device failed.

    ``url`` names the device, ``action`` what was tried ("read", "write", "open", ...), ``offset`` and ``length``
    (bytes) the range or None, ``errno`` the system's code or None.
    """

    def __init__(
        self,
        reason: str = "",
        *,
        url: str = "",
        action: str = "use",
        offset: int | None = None,
        length: int | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.url, self.action, self.offset, self.length, self.errno = url, action, offset, length, errno

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at offset {self.offset}"
        if where and self.length is not None:
            where += f" (length {self.length})"
        reason = self.reason or (os.strerror(self.errno) if self.errno else "failed")
        return f"cannot {self.action} {self.url}{where}: {reason}"


class ShortRead(DeviceError):
    """The device ended before the bytes that its size promises."""


class SizeChanged(DeviceError):
    """The device grew or shrank while it was read."""


class FailedToSeek(DeviceError):
    """``ErrFailedToSeek`` of the snapshot-metadata iterator."""


class ContentsDoNotMatch(BlockdiffError):
    """Data read back differs from what was written; ``ErrContentsDoNotMatch`` of the snapshot-metadata iterator."""


class OutputError(BlockdiffError):
    """A report or an extent list could not be written."""


class RemoteError(BlockdiffError):
    """A remote service failed."""

    exit_code = 5
