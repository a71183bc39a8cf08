"""Readers: one per worker thread, the native one for kernel devices, this module's for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff import _fast
from blockdiff._fast import Cancelled, Extents, ReadFailed
from blockdiff.errors import DeviceError, ShortRead, SizeChanged, UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.options import ReadOptions

# Bytes of read buffers, and of mapped windows, over all workers: memory must not grow with their number.
BUFFER_BUDGET = WINDOW_BUDGET = 16 << 20
CHUNK, MIN_CHUNK = 512 << 10, 64 << 10
WINDOW, REMOTE_WINDOW = 8 << 20, 2 << 20
MAX_DEPTH = 8
# Devices across a network: what they wait for is the way there and back, so more and bigger requests are in flight.
REMOTE_BUDGET = 128 << 20
REMOTE_FLIGHT = (4 << 20, 16, 0)
NEAR_WRITES = 4  # chunks that a worker writes to a server on this machine: more take memory and save little
REMOTE_WORKERS = 2
REMOTE_TASK = 64 << 20


def affordable(workers: int, granularity: int) -> int:
    """How many of so many workers the budget has buffers for: each needs a chunk of each side."""
    return max(1, min(workers, BUFFER_BUDGET // (2 * max(MIN_CHUNK, granularity))))


def remote_shape(workers: int, granularity: int, *devices: object) -> tuple[int, int, int, int]:
    """The same where a side is read by a driver: by default 16 requests of 4 MiB a side over all workers.

    Last is how many bytes of a side are asked for before one chunk more is, 0: as many as the chunks in flight have.
    Devices with a driver may have a wish, ``in_flight``: the bytes of a chunk, how many, and these bytes. The largest
    counts.
    """
    wishes = [getattr(device, "in_flight", REMOTE_FLIGHT) for device in devices if has_driver(device)]
    wanted, most, ahead = max(wishes, default=REMOTE_FLIGHT)
    chunk = max(wanted, granularity)
    depth = max(1, min(most, REMOTE_BUDGET // (2 * workers * chunk)))
    return chunk, depth, REMOTE_WINDOW, ahead


def shape(workers: int, granularity: int) -> tuple[int, int, int]:
    """The bytes of a chunk, the requests in flight for each side, and the bytes of a mapped window of one worker."""
    share = BUFFER_BUDGET // (2 * workers)
    chunk = CHUNK
    while chunk > MIN_CHUNK and 2 * chunk > share:
        chunk //= 2
    chunk = max(chunk, granularity)
    window = max(min(WINDOW, 1 << (WINDOW_BUDGET // (2 * workers)).bit_length() - 1), granularity)
    return chunk, max(1, min(MAX_DEPTH, share // chunk)), window


class BufferReader:
    """Drives devices that have no descriptor: reads a chunk of each side into buffers, then judges them natively.

    The two devices are its own and closed with it; the writer is not.
    """

    def __init__(
        self,
        source: Device | None,
        target: Device | None,
        options: ReadOptions,
        *,
        strict: bool = False,
        writer: WritableDevice | None = None,
        write_sparse: bool = False,
        chunk: int = CHUNK,
    ) -> None:
        self._devices = (source, target)
        self._options, self._strict = options, strict
        self._chunk = max(chunk, options.granularity)
        self._buffers: list[bytearray | None] = [None, None]
        self._cancelled = False
        self._read = [0, 0]
        self._writer, self._write_sparse = writer, write_sparse
        self.compared = self.written = self.punched = 0

    def cancel(self) -> None:
        self._cancelled = True

    def bytes_read(self, side: int) -> dict[str, int]:
        return {"buffered": self._read[side]} if self._read[side] else {}

    def direct_errno(self, _side: int) -> int:
        return 0

    def close(self) -> None:
        self._buffers = [None, None]
        for device in self._devices:
            if device is not None:
                device.close()

    def run(self, plan: Extents) -> tuple[Extents, Extents]:
        """As the native Reader's: findings and unreadable ranges of a batch of plan segments."""
        found: list[Extents] = []
        bad: list[tuple[int, int, int]] = []
        for offset, length, kind in plan:
            at, end = offset, offset + length
            while at < end and (_reads(int(kind) & 7, 0) or _reads(int(kind) & 7, 1)):
                stop = min(end, (at // self._chunk + 1) * self._chunk)
                self._judge(int(kind) & 7, at, stop - at, found, bad)
                at = stop
        return join(found), Extents(bad)

    def _judge(self, seg: int, offset: int, length: int, found: list[Extents], bad: list[tuple[int, int, int]]) -> None:
        if self._cancelled:
            raise Cancelled
        sides = [s for s in (0, 1) if _reads(seg, s)]
        views: list[memoryview | None] = [None, None]
        unreadable = 0
        for side in sides:
            try:
                views[side] = self._fill(side, offset, length)
            except ShortRead as error:
                raise ReadFailed(side, offset, length, 0, False) from error
            except DeviceError:
                if length <= 4096:
                    if not self._options.keep_going:
                        raise
                    unreadable |= 1 << side
                else:
                    return self._halve(seg, offset, length, found, bad)
        if unreadable:
            bad.append((offset, length, unreadable))
            return None
        for side in sides:
            self._read[side] += length
        self.compared += length
        if seg == _fast.SEG_COPY:
            self._write(offset, views[0])
            return None
        found.append(
            _fast.judge_buffers(
                seg, views[0], views[1], offset, granularity=self._options.granularity, strict=self._strict
            )
        )
        return None

    def _halve(self, seg: int, offset: int, length: int, found: list[Extents], bad: list[tuple[int, int, int]]) -> None:
        """A chunk failed: go on in granules, then in blocks of 4 KiB, so that only what is bad is called bad."""
        g = self._options.granularity
        step = g if length > g else 4096
        at, end = offset, offset + length
        while at < end:
            stop = min(end, (at // step + 1) * step)
            self._judge(seg, at, stop - at, found, bad)
            at = stop

    def _write(self, offset: int, view: memoryview | None) -> None:
        assert view is not None
        assert self._writer is not None
        granularity, runs = self._options.granularity, Extents([(offset, len(view))])
        if self._write_sparse:
            runs = _fast.judge_buffers(_fast.SEG_MAP, view, None, offset, granularity=granularity)
        for start, length, kind in runs:
            if kind == Kind.ZERO:
                self._writer.zero(start, length)
                self.punched += length
            else:
                self._writer.pwrite(view[start - offset : start - offset + length], start)
                self.written += length

    def _fill(self, side: int, offset: int, length: int) -> memoryview:
        buffer = self._buffers[side]
        if buffer is None:
            buffer = self._buffers[side] = bytearray(self._chunk)
        device = self._devices[side]
        assert device is not None
        view = memoryview(buffer)[:length]
        device.pread_into(view, offset)
        return view


def _reads(seg: int, side: int) -> bool:
    if seg == _fast.SEG_COMPARE:
        return True
    return seg == _fast.SEG_SRC_HOLE if side else seg in (_fast.SEG_DST_HOLE, _fast.SEG_MAP, _fast.SEG_COPY)


def join(batches: list[Extents]) -> Extents:
    """Batches one after the other as one, neighbours of one kind joined."""
    joiner = _fast.Aligner(1)
    parts = [part for batch in batches if len(part := joiner.feed(batch))]
    parts.append(joiner.finish())
    return parts[0] if len(parts) == 1 else Extents(extent for part in parts for extent in part)


def is_native(device: Device | None) -> bool:
    """True when the native core can read the device by a descriptor or driver (or when there is nothing to read)."""
    return device is None or device.fileno() is not None or has_driver(device) or has_places(device)


def has_places(device: object) -> bool:
    """True for a device whose bytes are in places of a file, which the native core reads there."""
    return getattr(device, "places", None) is not None


def has_driver(device: object) -> bool:
    """True for a device that gives the native core a driver to read and write it by."""
    return getattr(device, "driver", None) is not None


def make_reader(
    source: Device | None,
    target: Device | None,
    options: ReadOptions,
    workers: int,
    *,
    strict: bool = False,
    writer: WritableDevice | None = None,
    write_sparse: bool = False,
    digester: _fast.Digester | None = None,
) -> Any:
    """A reader for one worker; devices that are not kernel-backed are cloned for it.

    ``writer`` takes what SEG_COPY segments read; with ``write_sparse`` blocks of zeroes are punched there. With a
    ``digester`` (native devices only) blocks are digested and not judged.
    """
    remote = any(has_driver(device) for device in (source, target, writer))
    sizes = (workers, options.granularity)
    chunk, depth, window, ahead = remote_shape(*sizes, source, target, writer) if remote else (*shape(*sizes), 0)
    if ahead and has_driver(writer):
        depth = min(depth, NEAR_WRITES)
    if remote and options.read in ("direct", "mmap"):
        refuse_read(options.read, source, target, writer)
    if is_native(source) and is_native(target) and is_native(writer):
        return _fast.Reader(
            _side(source, "past-cache" if options.source_past_cache else options.read),
            _side(target, "past-cache" if options.target_past_cache else options.read),
            granularity=options.granularity,
            keep_going=options.keep_going,
            chunk=chunk,
            queue_depth=depth,
            window=window,
            strict=strict,
            write_fd=-1 if writer is None or has_driver(writer) else _descriptor(writer),
            writer=writer.driver() if has_driver(writer) else None,  # type: ignore[union-attr]
            write_sparse=write_sparse,
            digester=digester,
            most_ahead=ahead,
        )
    if options.read in ("direct", "mmap"):
        refuse_read(options.read, source, target, writer)
    twins = (source and source.clone(), target and target.clone())
    return BufferReader(*twins, options, strict=strict, writer=writer, write_sparse=write_sparse, chunk=chunk)


def refuse_read(mode: str, *devices: Device | None) -> None:
    """A read path of the kernel, asked for by name, where a device is none of the kernel's."""
    asked = next(d for d in devices if d is not None and d.fileno() is None)
    raise UnsupportedOperation(f"--read {mode} needs a file or block device, and {asked.url} is neither")


def _side(device: Any, mode: str) -> Any:
    """What the native reader takes for a side: descriptors and how to use them, or a driver."""
    if device is None:
        return None
    if has_driver(device):
        return device.driver()
    if has_places(device):
        if mode in ("direct", "mmap"):
            refuse_read(mode, device)
        return _inside(device, mode)
    direct = device.direct_fileno() if mode in ("auto", "direct", "past-cache") else None
    if mode == "direct" and direct is None:
        raise UnsupportedOperation(f"{device.url} cannot be read with --read direct: {device.direct_refusal}")
    if mode == "auto" and direct is not None and getattr(device, "is_block", False):
        # a file system writes to its device behind the back of the device's own page cache, which may thus be stale
        mode = "direct"
    if mode == "past-cache":
        mode = "buffered" if direct is None else "direct"
    return device.fileno(), -1 if direct is None else direct, device.size, device.offset_align, mode


def _inside(device: Any, mode: str) -> Any:
    """A disk that lies in a file: the file, and its places there. What is in many small pieces is read one by one."""
    direct = device.direct_fileno() if mode in ("auto", "past-cache") else None
    if mode == "past-cache":
        mode = "buffered" if direct is None else "direct"
    fd = -1 if direct is None else direct
    return device.file_fileno(), fd, device.file_size, device.offset_align, mode, device.places


def translate(error: ReadFailed, source: Device | None, target: Device | None) -> DeviceError:
    """The native core's report of trouble in the words of the devices."""
    device = target if error.side else source
    assert device is not None
    where = {"url": device.url, "offset": error.offset, "length": error.length}
    explain: Any = getattr(device, "explain", lambda _: "")
    if error.writing:
        return DeviceError(explain(error.errno), action="write", errno=error.errno, **where)  # type: ignore[arg-type]
    if error.errno:
        return DeviceError(explain(error.errno), action="read", errno=error.errno, **where)  # type: ignore[arg-type]
    return SizeChanged(
        f"the device ended early: it had {device.size} bytes when it was opened and shrank while it was read",
        action="read",
        **where,  # type: ignore[arg-type]
    )


def _descriptor(device: Device) -> int:
    fd = device.fileno()
    assert fd is not None, "asked of kernel devices only"
    return fd
