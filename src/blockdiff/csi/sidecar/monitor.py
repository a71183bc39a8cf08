"""Is the driver there, is it the one it was, and can it do this: asked again and again."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from blockdiff.csi.errors import StatusError
from blockdiff.errors import UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.csi.driver import Driver
    from blockdiff.errors import BlockdiffError

_log = logging.getLogger("blockdiff.csi.driver")
IMPATIENCE = 1.0  # seconds between questions while it is not ready


class Monitor:
    """Watches a driver. ``changed(ready)`` is told when that changes, ``fatal(error)`` what no waiting can cure.

    The first driver that answers is the one; another name at the same socket later is not ready. ``interval``
    (seconds) is how often a ready driver is asked.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        interval: float = 10.0,
        changed: Callable[[bool], None],
        fatal: Callable[[BlockdiffError], None],
    ) -> None:
        self.ready = False
        self.name = ""
        self._driver, self._interval = driver, interval
        self._changed, self._fatal = changed, fatal
        self._capable = False
        self._wake = threading.Event()
        self._closed = False
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def suspect(self) -> None:
        """A call failed in a way that a lost driver does: ask now."""
        self._wake.set()

    def close(self) -> None:
        """Ends watching; ready is False from now on."""
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._set(self._look())
            except UnsupportedOperation as error:
                self._set(False)
                self._fatal(error)
                return
            except Exception:  # noqa: BLE001 - whatever a driver in this process has met
                _log.exception("the driver could not be asked")
                self._set(False)
            self._wake.wait(self._interval if self.ready else IMPATIENCE)
            self._wake.clear()
        self._set(False)

    def _look(self) -> bool:
        try:
            name = self._driver.name
            if not self.name:
                _log.info("the CSI driver is %r", name)
                self.name = name
            if name != self.name:
                return self._no(f"the CSI driver is {name!r} now, and was {self.name!r}: not ready until it is back")
            if not self._capable and not self._driver.supports_metadata():
                raise UnsupportedOperation(f"CSI driver {name} does not support the SNAPSHOT_METADATA_SERVICE")
            self._capable = True
            return self._driver.ready() or self._no(f"the CSI driver {name} says that it is not ready")
        except StatusError as error:
            self._capable = False  # what comes back may be another version
            return self._no(f"the CSI driver does not answer: {error}")

    def _no(self, why: str) -> bool:
        """Says why, once."""
        if why != self._said:
            self._said = why
            _log.warning("%s", why)
        return False

    def _set(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            if ready:
                self._said = ""
                _log.info("the CSI driver %s is ready", self.name)
            self._changed(ready)
