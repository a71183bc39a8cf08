"""Our sources behind the interface that every server of this room speaks to: blockdiff.csi.driver.Driver."""

from __future__ import annotations

import errno
import logging
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.csi.driver import check_time
from blockdiff.csi.errors import StatusError
from blockdiff.csi.provider.directory import SourceUnavailable
from blockdiff.csi.provider.shape import Shape
from blockdiff.csi.provider.stamps import Stamps
from blockdiff.csi.stream import after, bounded
from blockdiff.engine.diff import METHODS, Diff
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.scan import Map
from blockdiff.errors import (
    BackendUnavailable,
    BlockdiffError,
    DeviceError,
    InvalidInput,
    RemoteError,
    SnapshotNotFound,
    UnsupportedOperation,
)
from blockdiff.extent import Kind

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterator, Mapping

    from blockdiff._fast import Extents
    from blockdiff.csi.provider.catalog import Catalog, Place
    from blockdiff.engine.device import Device
    from blockdiff.record import Record

_log = logging.getLogger("blockdiff.csi.provider")
_OUTAGE = (errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNREFUSED, errno.ECONNRESET, errno.ESTALE)


class Provider:
    """The snapshots of a catalog, as a CSI driver of the given ``name``.

    ``method`` and ``require`` are those of engine.diff.Diff: with ``require`` a delta that would need another method is
    FAILED_PRECONDITION, and the caller makes a full backup. Raises InvalidInput.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        name: str = "blockdiff",
        shape: Shape | None = None,
        method: str = "auto",
        require: str | None = None,
        workers: int = 0,
        rate: int = 0,
    ) -> None:
        for one in (method, require or "auto"):
            if one not in METHODS:
                raise InvalidInput(f"unknown method {one!r}: known are {', '.join(METHODS)}")
        if require not in (None, "auto", method) and method != "auto":
            raise InvalidInput(f"the method {method} contradicts the required {require}")
        self.name = name
        self._catalog, self._method, self._require = catalog, method, require
        self._shape = shape or Shape()
        self._options = ReadOptions(granularity=self._shape.block_size, workers=workers, rate=rate)
        self._stamps = Stamps()

    def ready(self) -> bool:
        return self._catalog.ready()

    def supports_metadata(self) -> bool:
        return True

    def allocated(
        self,
        snapshot_id: str,
        *,
        start: int,
        limit: int,
        secrets: Mapping[str, str],
        deadline: float,
        cancelled: threading.Event,
    ) -> Iterator[Record]:
        """What holds data. Ranges that are reserved and were never written are left out: they read as zeroes."""
        with ExitStack() as stack:
            check_arguments(start, limit, snapshot_id=snapshot_id)
            _, image = self._open(snapshot_id, stack, start)
            check_start(start, image)
            watch = Watch(deadline, cancelled)
            # closed before the devices are: threads may be reading them
            batches = stack.enter_context(closing(self._data(image, self._aligned(start), watch)))
            with translated():
                shaped = self._shape.records(watch.batches(batches), image.size)
                yield from bounded(after(shaped, start), limit)
                check_same(image)

    def delta(
        self,
        base_id: str,
        target_id: str,
        *,
        start: int,
        limit: int,
        secrets: Mapping[str, str],
        deadline: float,
        cancelled: threading.Event,
    ) -> Iterator[Record]:
        """What changed. A snapshot did not change against itself."""
        with ExitStack() as stack:
            check_arguments(start, limit, base_snapshot_id=base_id, target_snapshot_id=target_id)
            where, base = self._open(base_id, stack, start)
            there, target = self._open(target_id, stack, start)
            check_related(where, there)
            check_start(start, target)
            watch = Watch(deadline, cancelled)
            batches = stack.enter_context(closing(self._changes(base, target, self._aligned(start), watch)))
            with translated():
                shaped = self._shape.records(watch.batches(batches), target.size)
                yield from bounded(after(shaped, start), limit)
                check_same(base, target)

    def close(self) -> None:
        """Every stream has its own handles; nothing else is held."""

    def _open(self, snapshot_id: str, stack: ExitStack, start: int) -> tuple[Place, Device]:
        """Opens a snapshot until the stack ends."""
        with opening(snapshot_id):
            place = self._catalog.find(snapshot_id)
            device = place.source.open(place.snapshot)
        stack.callback(device.close)
        self._stamps.check(snapshot_id, device, start)
        return place, device

    def _aligned(self, start: int) -> int:
        """Where reading begins: blocks are judged whole, so that a resumed stream says what the first one said."""
        return start - start % self._shape.block_size

    def _data(self, image: Device, start: int, watch: Watch) -> Generator[Extents]:
        run = Map(image, options=self._options, offset=start, progress=watch)
        with ended(run.records()) as records:
            for record in records:
                yield record.extents.only(Kind.DATA)

    def _changes(self, base: Device, target: Device, start: int, watch: Watch) -> Generator[Extents]:
        if getattr(base, "identity", base) == getattr(target, "identity", target):
            return
        run = Diff(
            base,
            target,
            method=self._method,
            require=self._require,
            options=self._options,
            offset=start,
            progress=watch,
        )
        why = f" (not {run.better}: {run.fallback})" if run.fallback else ""
        _log.info("changes of %s since %s: method %s%s", target.url, base.url, run.method, why)
        with ended(run.records()) as records:
            for record in records:
                yield record.extents


@contextmanager
def ended(records: Iterator[Record]) -> Iterator[Iterator[Record]]:
    """The same stream, whose work ends with the block."""
    try:
        yield records
    finally:
        close = getattr(records, "close", None)
        if close is not None:
            close()


class Watch:
    """Ends long work when nobody waits for it, also while nothing is found. It is the engine's Progress, too."""

    def __init__(self, deadline: float, cancelled: threading.Event) -> None:
        self._deadline, self._cancelled = deadline, cancelled

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, done: int) -> None:
        self._check()

    def finish(self) -> None:
        pass

    def batches(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches; StatusError between two of them when the time is up."""
        self._check()
        for batch in batches:
            yield batch
            self._check()
        self._check()

    def _check(self) -> None:
        check_time(self._deadline, self._cancelled)


def check_arguments(start: int, limit: int, **ids: str) -> None:
    """Raises StatusError with the codes of the CSI specification."""
    for name, value in ids.items():
        if not value:
            raise StatusError("INVALID_ARGUMENT", f"{name} is missing")
    if limit < 0:
        raise StatusError("INVALID_ARGUMENT", f"max_results must not be negative, and is {limit}")
    if start < 0:
        raise StatusError("OUT_OF_RANGE", f"starting_offset must not be negative, and is {start}")


def check_start(start: int, image: Device) -> None:
    """OUT_OF_RANGE for an offset beyond the volume; its end is none: nothing is left there."""
    if start > image.size:
        raise StatusError("OUT_OF_RANGE", f"starting_offset {start} is beyond the volume, which has {image.size} bytes")


def check_related(base: Place, target: Place) -> None:
    """INVALID_ARGUMENT for snapshots of two volumes, as far as the source tells volumes apart."""
    one, other = base.source.volume(base.snapshot), target.source.volume(target.snapshot)
    if base.name != target.name or one != other:
        raise StatusError("INVALID_ARGUMENT", "the snapshots do not belong to the same volume")


def check_same(*images: Any) -> None:
    """A snapshot that was written to while it was read is none: what was told of it may be wrong."""
    for image in images:
        what = image.changes() if hasattr(image, "changes") else ""
        if what:
            raise StatusError("INTERNAL", f"the snapshot {image.url} changed while it was read: {what}")


@contextmanager
def opening(snapshot_id: str) -> Iterator[None]:
    """What keeps a snapshot from being opened, as a status. Nothing of that is the caller's fault but the id."""
    try:
        yield
    except SnapshotNotFound as error:
        raise StatusError("NOT_FOUND", str(error)) from error
    except DeviceError as error:
        if error.errno == errno.ENOENT:
            raise StatusError("NOT_FOUND", str(error)) from error
        raise status_of(error) from error
    except (InvalidInput, UnsupportedOperation) as error:
        code = "UNAVAILABLE" if isinstance(error, BackendUnavailable) else "INTERNAL"
        raise StatusError(code, f"cannot open the snapshot {snapshot_id!r}: {error}") from error
    except BlockdiffError as error:
        raise status_of(error) from error


@contextmanager
def translated() -> Iterator[None]:
    """What goes wrong in a stream, as a status."""
    try:
        yield
    except BlockdiffError as error:
        raise status_of(error) from error


def status_of(error: BlockdiffError) -> StatusError:
    """The code that CSI has for an error."""
    if isinstance(error, StatusError):
        return error
    away = isinstance(error, RemoteError | SourceUnavailable | BackendUnavailable)
    if away or (isinstance(error, DeviceError) and error.errno in _OUTAGE):
        return StatusError("UNAVAILABLE", str(error))
    if isinstance(error, UnsupportedOperation):
        return StatusError("FAILED_PRECONDITION", str(error))
    if isinstance(error, InvalidInput) and error.exit_code == InvalidInput.exit_code:
        return StatusError("INVALID_ARGUMENT", str(error))
    return StatusError("INTERNAL", str(error))
