"""csi.v1.SnapshotMetadata in front of a driver that lives in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.csi.driver import Driver
    from blockdiff.csi.provider.door import Door
    from blockdiff.csi.server.call import Call
    from blockdiff.record import Record


def behaviours(driver: Driver, door: Door) -> dict[rpc.Method, Any]:
    """For ``Listener.add_service(rpc.CSI_SERVICE, ...)``, which checks, cuts and encodes what is streamed here."""

    def allocated(request: Any, call: Call) -> Iterator[Record]:
        call.fields["snapshot"] = request.snapshot_id
        door.check(call.metadata, request.snapshot_id)
        return driver.allocated(request.snapshot_id, **_window(request, call))

    def delta(request: Any, call: Call) -> Iterator[Record]:
        call.fields.update(base=request.base_snapshot_id, snapshot=request.target_snapshot_id)
        door.check(call.metadata, request.base_snapshot_id, request.target_snapshot_id)
        return driver.delta(request.base_snapshot_id, request.target_snapshot_id, **_window(request, call))

    return {rpc.CSI_ALLOCATED: allocated, rpc.CSI_DELTA: delta}


def _window(request: Any, call: Call) -> dict[str, Any]:
    return {
        "start": request.starting_offset,
        "limit": request.max_results,
        "secrets": dict(request.secrets),
        "deadline": call.deadline,
        "cancelled": call.cancelled,
    }
