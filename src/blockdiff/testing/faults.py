"""A device that fails where it is told to."""

from __future__ import annotations

import errno
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.errors import DeviceError, InvalidInput, ShortRead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents


class Fault(NamedTuple):
    """What happens to ``action`` ("read", "write") on ``[start, end)``: an errno, after a delay in seconds.

    Errno 0 with action "read" is a short read; with ``only_delay`` nothing fails. ``times``: how often it strikes
    (0: always).
    """

    start: int
    end: int
    action: str = "read"
    errno: int = errno.EIO
    delay: float = 0.0
    only_delay: bool = False
    times: int = 0


_PICTURE = {
    "E": ("read", errno.EIO),
    "S": ("read", 0),
    "W": ("write", errno.EIO),
    "N": ("write", errno.ENOSPC),
}


def faults_of(picture: str, block: int = 4096) -> list[Fault]:
    """One character a block: ``E`` cannot be read, ``W`` cannot be written, ``X`` neither, ``N`` has no space left,
    ``S`` ends a read early; ``r`` and ``.`` are healthy, as is all that follows.
    """
    found = []
    for i, char in enumerate(picture.replace(" ", "")):
        if char not in "r.X" and char not in _PICTURE:
            raise InvalidInput(f"not a part of a picture of faults: {char!r} (r . E S W N X)")
        for letter in {"X": "EW", "r": "", ".": ""}.get(char, char):
            action, code = _PICTURE[letter]
            found.append(Fault(i * block, (i + 1) * block, action, code))
    return found


@dataclass
class _State:
    """Shared by all clones."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    struck: dict[Fault, int] = field(default_factory=dict)
    reads: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int]] = field(default_factory=list)
    handles: int = 0
    size: int | None = None
    size_after: tuple[int, int] | None = None


class FaultDevice:
    """Passes all on to ``inner``, except where ``picture`` or ``faults`` say otherwise. It has no descriptor.

    ``reads`` and ``writes`` list what was asked for, as (offset, length), of all clones together; ``handles`` counts
    the open ones. ``delay`` seconds pass before each read and write.
    """

    def __init__(
        self,
        inner: Any,
        picture: str = "",
        *,
        block: int = 4096,
        faults: Iterable[Fault] = (),
        delay: float = 0.0,
        _state: _State | None = None,
    ) -> None:
        self._inner, self._delay = inner, delay
        self.faults = [*faults_of(picture, block), *faults]
        self._state = _state or _State()
        self._state.handles += 1
        self._open = True
        self.url, self.size, self.block_size = inner.url, inner.size, inner.block_size

    @property
    def reads(self) -> list[tuple[int, int]]:
        """All reads so far."""
        return self._state.reads

    @property
    def writes(self) -> list[tuple[int, int]]:
        """All writes so far, zeroing included."""
        return self._state.writes

    @property
    def handles(self) -> int:
        """How many handles are open."""
        return self._state.handles

    def resize_after(self, reads: int, size: int) -> None:
        """After so many more reads the device has another size, as if somebody had cut or extended it."""
        self._state.size_after = (len(self.reads) + reads, size)

    def current_size(self) -> int:
        """The size now."""
        return self.size if self._state.size is None else self._state.size

    def changes(self) -> str:
        """What happened since it was opened, in words."""
        now = self.current_size()
        return "" if now == self.size else f"its size was {self.size} and is now {now}"

    def evidence(self) -> dict[str, Any]:
        """What the inner device tells."""
        found: dict[str, Any] = getattr(self._inner, "evidence", lambda: {"who": {"url": self.url}})()
        return found

    def pread_into(self, buffer: Any, offset: int) -> None:
        """Reads, if nothing is wrong there."""
        with memoryview(buffer) as whole, whole.cast("B") as view:
            self._note(self.reads, offset, len(view))
            if offset + len(view) > self.current_size():
                self._short(max(offset, self.current_size()), offset + len(view))
            self._strike("read", offset, len(view))
            self._inner.pread_into(buffer, offset)

    def pwrite(self, data: Any, offset: int) -> None:
        """Writes, if nothing is wrong there; what comes before the fault is written."""
        with memoryview(data) as whole, whole.cast("B") as view:
            self._note(self.writes, offset, len(view))
            fault = self._fault("write", offset, len(view))
            if fault is not None and fault.start > offset:
                self._inner.pwrite(view[: fault.start - offset], offset)
            self._fail(fault, "write", offset, len(view))
            self._inner.pwrite(data, offset)

    def zero(self, offset: int, length: int, *, punch: bool = True) -> None:
        """Zeroes, if nothing is wrong there."""
        self._note(self.writes, offset, length)
        self._strike("write", offset, length)
        self._inner.zero(offset, length, punch=punch)

    def flush(self) -> None:
        """Flushes the inner device."""
        self._inner.flush()

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """What the inner device tells."""
        extents: Iterator[Extents] = self._inner.extents(start, length)
        return extents

    def clone(self) -> FaultDevice:
        """Another handle with the same faults and the same lists."""
        return FaultDevice(self._inner.clone(), faults=self.faults, delay=self._delay, _state=self._state)

    def fileno(self) -> int | None:
        """None, always: the native core must not go past the faults."""
        return None

    def close(self) -> None:
        """Closes the inner device."""
        if self._open:
            self._open = False
            self._state.handles -= 1
        self._inner.close()

    def _note(self, calls: list[tuple[int, int]], offset: int, length: int) -> None:
        if self._delay:
            time.sleep(self._delay)
        with self._state.lock:
            calls.append((offset, length))
            after = self._state.size_after
            if after and calls is self.reads and len(calls) > after[0]:
                self._state.size = after[1]

    def _fault(self, action: str, offset: int, length: int) -> Fault | None:
        """The first fault in the range that still strikes; waits for those that only delay."""
        hit = [f for f in self.faults if f.action == action and f.start < offset + length and offset < f.end]
        for fault in sorted(hit):
            with self._state.lock:
                count = self._state.struck.get(fault, 0)
                if fault.times and count >= fault.times:
                    continue
                self._state.struck[fault] = count + 1
            if fault.delay:
                time.sleep(fault.delay)
            if not fault.only_delay:
                return fault
        return None

    def _strike(self, action: str, offset: int, length: int) -> None:
        self._fail(self._fault(action, offset, length), action, offset, length)

    def _fail(self, fault: Fault | None, action: str, offset: int, length: int) -> None:
        if fault is None:
            return
        at = max(fault.start, offset)
        if fault.errno == 0:
            self._short(at, offset + length)
        raise DeviceError(url=self.url, action=action, offset=at, length=offset + length - at, errno=fault.errno)

    def _short(self, at: int, end: int) -> None:
        raise ShortRead("the device ends here", url=self.url, action="read", offset=at, length=end - at)
