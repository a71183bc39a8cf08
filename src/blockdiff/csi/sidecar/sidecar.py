"""The server as a whole: driver, gate, listener, health and metrics, started together and ended together."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc
from blockdiff.csi.server.http import HttpEndpoint
from blockdiff.csi.server.listen import GRACE, Listener
from blockdiff.csi.server.metrics import Metrics
from blockdiff.csi.server.report import report_call
from blockdiff.csi.sidecar.monitor import Monitor
from blockdiff.csi.sidecar.service import Service

if TYPE_CHECKING:
    from blockdiff.csi.driver import Driver
    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.gate import Gate
    from blockdiff.errors import BlockdiffError

_log = logging.getLogger("blockdiff.csi.server")


class Sidecar:
    """Serves ``driver`` through ``gate``. ``listen`` are a Listener's options beside the address.

    ``http`` is the address of health and metrics, empty for none. It is ready when the driver is. ``failed`` is the
    error that ended it, if one did.
    """

    def __init__(
        self,
        driver: Driver,
        gate: Gate,
        address: str,
        *,
        http: str = "",
        metrics_path: str = "/metrics",
        metrics: bool = True,
        probe_interval: float = 10.0,
        exit_on_driver_loss: bool = False,
        **listen: Any,
    ) -> None:
        self.failed: BlockdiffError | None = None
        self.ended = threading.Event()
        self._driver = driver
        self._leave = exit_on_driver_loss
        self._monitor = Monitor(driver, interval=probe_interval, changed=self._changed, fatal=self._fatal)
        self._metrics = Metrics(lambda: self._monitor.name, lambda: self._monitor.ready)
        self.listener = Listener(address, ended=self._told, **listen)
        self.listener.add_service(rpc.KUBE_SERVICE, Service(driver, gate, self._monitor).behaviours)
        self._http = (
            HttpEndpoint(
                http,
                ready=lambda: self._monitor.ready,
                metrics=self._metrics.text if metrics else None,
                path=metrics_path,
            )
            if http
            else None
        )

    @property
    def http_address(self) -> str:
        """HOST:PORT of health and metrics, empty without."""
        return self._http.address if self._http else ""

    def start(self) -> None:
        """Listens, and begins to ask the driver."""
        self.listener.start()
        _log.info("listening on %s", self.listener.address)
        if self._http:
            self._http.start()
            _log.info("health and metrics on http://%s", self.http_address)
        self._monitor.start()

    def stop(self, grace: float = GRACE) -> None:
        """Not ready any more; streams get ``grace`` seconds."""
        self._monitor.close()
        self.listener.stop(grace)
        if self._http:
            self._http.close()
        self._driver.close()

    def _told(self, call: Call) -> None:
        self._metrics.ended(call)
        report_call(call)

    def _changed(self, ready: bool) -> None:
        self.listener.set_serving(ready)
        if not ready and self._leave and not self.ended.is_set():
            from blockdiff.errors import RemoteError

            self._fatal(RemoteError("the CSI driver is lost"))

    def _fatal(self, error: BlockdiffError) -> None:
        self.failed = self.failed or error
        self.ended.set()
