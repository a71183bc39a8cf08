"""The service snapshotmetadata.SnapshotMetadata: each call is checked, resolved, asked of the driver and guarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc
from blockdiff.csi.errors import StatusError
from blockdiff.csi.server.call import check_window
from blockdiff.csi.sidecar.replaced import Replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.csi.driver import Driver
    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.gate import Gate, Target, User
    from blockdiff.csi.sidecar.monitor import Monitor
    from blockdiff.record import Record


class Service:
    """Handlers. The order is fixed: arguments, user, rights, driver, snapshot and secrets, base, then the driver's."""

    def __init__(self, driver: Driver, gate: Gate, monitor: Monitor) -> None:
        self._driver, self._gate, self._monitor = driver, gate, monitor
        self._replaced = Replaced()

    @property
    def behaviours(self) -> dict[rpc.Method, Any]:
        """For a Listener."""
        return {rpc.KUBE_ALLOCATED: self.allocated, rpc.KUBE_DELTA: self.delta}

    def allocated(self, request: Any, call: Call) -> Iterator[Record]:
        """GetMetadataAllocated."""
        call.fields.update(namespace=request.namespace, snapshot=request.snapshot_name)
        self._check(request, snapshotName=request.snapshot_name)
        target, _ = self._resolve(request, request.snapshot_name, call)
        records = self._driver.allocated(target.handle, **self._window(request, target, call))
        return self._watched(records)

    def delta(self, request: Any, call: Call) -> Iterator[Record]:
        """GetMetadataDelta."""
        base, name = request.base_snapshot_id, request.target_snapshot_name
        call.fields.update(namespace=request.namespace, snapshot=name, base=base)
        self._check(request, baseSnapshotId=base, targetSnapshotName=name)
        target, user = self._resolve(request, name, call)
        self._gate.check_base(base, request.namespace, target, user, self._monitor.name, call)
        records = self._driver.delta(base, target.handle, **self._window(request, target, call))
        return self._watched(records)

    def _check(self, request: Any, **names: str) -> None:
        if self._gate.needs_token and not request.security_token:
            raise StatusError("INVALID_ARGUMENT", "securityToken is missing")
        if not request.namespace:
            raise StatusError("INVALID_ARGUMENT", "namespace parameter cannot be empty")
        for field, value in names.items():
            if not value:
                raise StatusError("INVALID_ARGUMENT", f"{field} cannot be empty")
        check_window(request.starting_offset, request.max_results)

    def _resolve(self, request: Any, name: str, call: Call) -> tuple[Target, User]:
        driver = self._monitor.name
        if not driver:  # nobody's tokens can be judged before the driver has said its name
            raise StatusError("UNAVAILABLE", "the CSI driver is not yet ready")
        user = self._gate.admit(request.security_token, request.namespace, driver, call)
        if not self._monitor.ready:
            raise StatusError("UNAVAILABLE", "the CSI driver is not yet ready")
        target = self._gate.target(request.namespace, name, driver, call)
        self._replaced.check(request.namespace, name, target.handle, request.starting_offset, call.deadline)
        return target, user

    @staticmethod
    def _window(request: Any, target: Target, call: Call) -> dict[str, Any]:
        return {
            "start": request.starting_offset,
            "limit": request.max_results,
            "secrets": target.secrets,
            "deadline": call.deadline,
            "cancelled": call.cancelled,
        }

    def _watched(self, records: Iterator[Record]) -> Iterator[Record]:
        try:
            yield from records
        except StatusError as error:
            if error.code == "UNAVAILABLE":
                self._monitor.suspect()
            raise
