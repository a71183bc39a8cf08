"""Calls into librados and librbd: errors translated, and Ctrl-C answered while one waits for a cluster."""

from __future__ import annotations

import errno
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from blockdiff.errors import BackendUnavailable, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff._rbd import CephError

T = TypeVar("T")

PATIENCE = 3.0  # seconds that Ctrl-C waits for an image to be closed

REASONS = {
    errno.ETIMEDOUT: "the cluster did not answer in time",
    errno.ESHUTDOWN: "this client was blocklisted by the cluster: its lock was broken, or an administrator did it",
    errno.ENOSPC: "the cluster is full",
    errno.EDQUOT: "the quota of the pool is used up",
    errno.EROFS: "the image cannot be written: it is a snapshot, or a mirror's copy that is not primary",
    errno.EPERM: "permission denied: the cluster does not allow this user to do that",
    errno.EACCES: "permission denied: the cluster does not allow this user to do that",
}


def library() -> Any:
    """The native module, its libraries loaded. Raises BackendUnavailable, which says what to install."""
    from blockdiff import _rbd

    try:
        _rbd.load(_rbd.RADOS_LIBRARY, _rbd.RBD_LIBRARY)
    except _rbd.LibraryMissing as error:
        package = "librados2" if error.library == _rbd.RADOS_LIBRARY else "librbd1"
        if error.symbol:
            raise BackendUnavailable(
                f"{error.library} on this machine is too old: it lacks {error.symbol}",
                hint=f"install {package} of Ceph 16 (Pacific) or newer",
            ) from error
        raise BackendUnavailable(
            f"rbd: needs {error.library}, which cannot be loaded ({error.reason})",
            hint="install it: apt-get install librbd1, or dnf install librbd1",
        ) from error
    return _rbd


def patiently(call: Callable[[], T]) -> T:
    """The result of a call that may wait long for a cluster; Ctrl-C leaves it waiting, and is raised at once."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def leave(close: Callable[[], None]) -> None:
    """Closes. Who is interrupted does not wait for a cluster that does not answer: it goes on behind the scenes."""
    if not isinstance(sys.exception(), KeyboardInterrupt):
        close()
        return
    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    thread.join(PATIENCE)


def reason(code: int) -> str:
    """What an errno means when a cluster gives it; empty where the system's words are right."""
    return REASONS.get(code, "")


def failed(
    error: CephError, url: str, action: str, offset: int | None = None, length: int | None = None
) -> DeviceError:
    """The error in the words of devices."""
    text = reason(error.errno) or os.strerror(error.errno)
    return DeviceError(text, url=url, action=action, offset=offset, length=length, errno=error.errno)
