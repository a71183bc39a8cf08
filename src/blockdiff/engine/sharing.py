"""What a device and its clones hold together, such as an open image or a session: the last one gives it back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from blockdiff.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Handle(Generic[T]):
    """``held``, counted: ``end`` is called when the last user releases it. ``map_note``: what all must know of it."""

    def __init__(self, held: T, end: Callable[[], object]) -> None:
        self.held, self._end = held, end
        self._users, self._lock = 1, threading.Lock()
        self.map_note = ""

    def share(self) -> Self:
        """One user more."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._end()


class Sharing(Generic[T]):
    """A device with a handle. ``url`` names it in messages."""

    url: str
    _handle: Handle[T] | None
    _capsule: Any  # what the native core was given of it, made when it is asked for

    def _held(self) -> T:
        """What is shared. DeviceError when the device is closed."""
        if self._handle is None:
            raise DeviceError("it is closed", url=self.url, action="use")
        return self._handle.held

    def clone(self) -> Self:
        """Another device of the same handle: that serves many threads. DeviceError when it is closed."""
        self._held()
        assert self._handle is not None
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._handle, twin._capsule = self._handle.share(), None
        return twin

    def close(self) -> None:
        """Gives its share back; every later use is an error."""
        handle, self._handle, self._capsule = self._handle, None, None
        if handle is not None:
            handle.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
