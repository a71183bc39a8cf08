"""The device behind image files and block devices: the kernel itself reads it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING, NoReturn

from blockdiff import _fast
from blockdiff.backends.directio import Direct, open_direct
from blockdiff.backends.evidence import Evident
from blockdiff.backends.opening import failure, printable, reopen, sector_size
from blockdiff.backends.zeroing import STEP, discard_block, write_some, zero_block, zero_file
from blockdiff.errors import DeviceError, InvalidInput, ShortRead, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

    from blockdiff._fast import Extents


class FileDevice(Evident):
    """A regular file or block device. Opened for reading only unless ``writable``; all I/O is positional.

    ``url`` is the name for messages, ``path`` the real one. ``size`` is what it was when opened (see ``changes``).
    """

    def __init__(self, fd: int, path: str, *, writable: bool = False, created: bool = False) -> None:
        self.path, self.url = path, printable(path)
        self.writable, self.created = writable, created
        self.discards = False
        self._fd = fd
        self._direct: Direct | None = None
        self._stat = os.fstat(fd)
        self.is_block = stat.S_ISBLK(self._stat.st_mode)
        self.size = self.current_size()
        self._sector = sector_size(fd) if self.is_block else 0
        told = _fast.dio_alignment(fd)
        self.block_size = self._sector or (told[1] if told and told[1] else 512)

    # ---- what it is ----

    def fileno(self) -> int:
        """The descriptor that the native core reads; its file offset belongs to ``extents``."""
        if self._fd < 0:
            self._closed("use")
        return self._fd

    @property
    def identity(self) -> tuple[str, int, int]:
        """Equal for two names of one file or device."""
        from blockdiff.backends.inuse import identity

        return identity(self._stat)

    def current_size(self) -> int:
        """The size now, in bytes."""
        try:
            return os.lseek(self.fileno(), 0, os.SEEK_END) if self.is_block else os.fstat(self.fileno()).st_size
        except OSError as error:
            self._failed(error, "find the size of")

    def changes(self) -> str:
        """What happened to the file since it was opened, in words; empty when nothing was seen."""
        size = self.current_size()
        if size != self.size:
            return f"its size was {self.size} and is now {size}"
        if self.is_block or self.writable:
            return ""
        now = os.fstat(self.fileno())
        same = (now.st_mtime_ns, now.st_ctime_ns) == (self._stat.st_mtime_ns, self._stat.st_ctime_ns)
        return "" if same else "it was modified meanwhile"

    def clone(self) -> FileDevice:
        """The same file opened once more, for another worker."""
        try:
            fd = reopen(self.fileno(), os.O_RDWR if self.writable else os.O_RDONLY)
        except OSError as error:
            self._failed(error, "open")
        twin = FileDevice(fd, self.path, writable=self.writable)
        twin.size, twin._stat = self.size, self._stat
        return twin

    def close(self) -> None:
        """Closes all descriptors; every later use is an error."""
        direct, self._direct = self._direct, None
        if direct and direct.fd >= 0:
            os.close(direct.fd)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> FileDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()

    # ---- direct I/O ----

    def direct_fileno(self) -> int | None:
        """A descriptor with O_DIRECT, opened when first asked for; None when refused (``direct_refusal`` says why)."""
        fd = self._direct_io().fd
        return fd if fd >= 0 else None

    @property
    def direct_refusal(self) -> str:
        """Why there is no direct I/O; empty when there is."""
        return self._direct_io().refusal

    @property
    def memory_align(self) -> int:
        """The alignment of buffers for direct I/O."""
        return self._direct_io().memory_align

    @property
    def offset_align(self) -> int:
        """The alignment of offsets and lengths for direct I/O."""
        return self._direct_io().offset_align

    def _direct_io(self) -> Direct:
        if self._direct is None:
            self._direct = open_direct(self.fileno(), self.size, self._sector)
        return self._direct

    # ---- reading ----

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Fills the buffer from ``offset``; ShortRead when the file ends before, DeviceError when it fails."""
        fd, done = self.fileno(), 0
        with memoryview(buffer) as whole, whole.cast("B") as view:
            while done < len(view):
                try:
                    n = os.preadv(fd, [view[done:]], offset + done)
                except OSError as error:
                    self._failed(error, "read", offset + done, len(view) - done)
                if n == 0:
                    raise ShortRead(
                        "the file ends here", url=self.url, action="read", offset=offset + done, length=len(view) - done
                    )
                done += n

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """Data and holes that together cover ``[start, start + length)``, at most 4096 extents a batch."""
        end = self.size if length is None else start + length
        while start < end:
            try:
                batch = _fast.map_fd(self.fileno(), start, end)
            except OSError as error:
                self._failed(error, "map", start, end - start)
            yield batch
            start = batch.end

    def shared_refusal(self, other: object) -> str | None:
        """Why shared storage cannot tell where the two are equal; None when it can."""
        if not isinstance(other, FileDevice):
            return "only regular files can share storage"
        from blockdiff.backends.reflink import reflink_refusal

        return reflink_refusal(self.fileno(), other.fileno())

    def shared_extents(self, other: FileDevice, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """The ranges in which both files are one and the same storage; ask ``shared_refusal`` first."""
        from blockdiff.backends.reflink import shared_extents

        return shared_extents(self, other, start, length)

    def in_use(self) -> str:
        """Who else uses a block device, in words; empty when nobody does. Files tell by ``changes``."""
        if not self.is_block:
            return ""
        from blockdiff.backends.inuse import reasons

        return "; ".join(reasons(self.path))

    def refuse_if_same(self, source: object) -> None:
        """Raises DeviceBusy when writing here would change the source."""
        if isinstance(source, FileDevice):
            from blockdiff.backends.inuse import refuse_if_same

            refuse_if_same(source, self)
            return
        from blockdiff.backends.inuse import busy_for_ever, places

        keys = getattr(source, "file_keys", ())
        if any(place.key in keys for place in places(self)):
            raise busy_for_ever(self.url, f"{source.url} is made of it")  # type: ignore[attr-defined]

    def unwritten(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """The allocated ranges that read as zeroes, as far as the file system tells (kind ZERO); often nothing.

        ``extents`` calls them holes: seeking cannot tell them apart.
        """
        end = self.size if length is None else start + length
        while start < end and not self.is_block:
            try:
                packed, start_next = _fast.fiemap_fd(self.fileno(), start, end)
            except OSError:
                return
            flags_wanted = _fast.FIEMAP_UNWRITTEN
            found = (e for e in struct.iter_unpack("=4Q", packed) if e[3] & flags_wanted)
            spans = ((max(e[0], start), min(e[0] + e[2], end)) for e in found)
            yield _fast.Extents((lo, hi - lo, 1) for lo, hi in spans if lo < hi)
            start = start_next

    # ---- writing ----

    def pwrite(self, data: Buffer, offset: int) -> None:
        """Writes all of it or raises DeviceError at the first byte not written."""
        done = 0
        with memoryview(data) as whole, whole.cast("B") as view:
            fd = self._writing(offset, len(view))
            while done < len(view):
                try:
                    done += write_some(fd, view[done:], offset + done)
                except OSError as error:
                    self._failed(error, "write", offset + done, len(view) - done)

    def zero(self, offset: int, length: int, *, punch: bool = True) -> None:
        """Makes a range read as zeroes; ``punch`` frees its space, on a block device only if ``discards`` is set."""
        fd, free = self._writing(offset, length), punch and self.discards
        if self.is_block:
            self._in_steps("zero", offset, length, lambda o, n: zero_block(fd, o, n, self.block_size, free=free))
        else:
            self._in_steps("zero", offset, length, lambda o, n: zero_file(fd, o, n, punch=punch))

    def discard(self, offset: int, length: int) -> None:
        """Gives the space back to the device. What is read there afterwards is promised for a file only: zeroes."""
        fd = self._writing(offset, length)
        if not self.is_block:
            self.zero(offset, length)
            return

        def step(offset: int, length: int) -> None:
            if not discard_block(fd, offset, length, self.block_size):
                raise UnsupportedOperation(f"{self.url} has no discard")

        self._in_steps("discard", offset, length, step)

    def flush(self) -> None:
        """Returns when everything written is on stable storage."""
        try:
            os.fsync(self.fileno())
        except OSError as error:
            self._failed(error, "flush")

    def drop_cache(self) -> None:
        """Forgets clean cached pages, so that the next read comes from the device. Best effort; ``flush`` first."""
        fd = self.fileno()
        if self.is_block:
            # Also drops what direct I/O went past; allowed to root only.
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, _fast.BLKFLSBUF, 0)
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def resize(self, size: int) -> None:
        """Cuts or extends (with a hole) a regular file."""
        fd = self._writing(0, 0)
        if self.is_block:
            raise UnsupportedOperation(f"{self.url} is a block device: its size is fixed")
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            self._failed(error, "resize", size)
        self.size = size

    # ---- inside ----

    def _writing(self, offset: int, length: int) -> int:
        fd = self.fileno()
        if not self.writable:
            raise InvalidInput(f"{self.url} was opened for reading only")
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidInput(f"writing [{offset}, {offset + length}) leaves {self.url}, which has {self.size} bytes")
        return fd

    def _in_steps(self, action: str, offset: int, length: int, do: Callable[[int, int], None]) -> None:
        end = offset + length
        while offset < end:
            step = min(end, offset - offset % STEP + STEP) - offset
            try:
                do(offset, step)
            except OSError as error:
                self._failed(error, action, offset, step)
            offset += step

    def _failed(self, error: OSError, action: str, offset: int | None = None, length: int | None = None) -> NoReturn:
        if isinstance(error, DeviceError):
            raise error
        raise failure(error, self.url, action, offset, length) from error

    def _closed(self, action: str) -> NoReturn:
        raise DeviceError("it is closed", url=self.url, action=action)
