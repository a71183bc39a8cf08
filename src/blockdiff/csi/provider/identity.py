"""csi.v1.Identity: who the driver is, and that it has changed block tracking."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc
from blockdiff.csi._pb import csi
from blockdiff.csi.driver import SNAPSHOT_METADATA_SERVICE
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.csi.driver import Driver
    from blockdiff.csi.provider.door import Door

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def check_name(name: str) -> str:
    """The name of a CSI driver as the specification has it. InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of a CSI driver: at most 63 letters, digits, dots and dashes, none of these at an end"
        )
    return name


def behaviours(driver: Driver, door: Door) -> dict[rpc.Method, Any]:
    """For ``Listener.add_service(rpc.IDENTITY_SERVICE, ...)``."""

    def info(_request: Any, context: Any) -> Any:
        door.admit(context.invocation_metadata())
        return csi.GetPluginInfoResponse(name=driver.name, vendor_version=version("blockdiff"))

    def capabilities(_request: Any, context: Any) -> Any:
        door.admit(context.invocation_metadata())
        service = csi.PluginCapability.Service(type=SNAPSHOT_METADATA_SERVICE)
        return csi.GetPluginCapabilitiesResponse(capabilities=[csi.PluginCapability(service=service)])

    def probe(_request: Any, context: Any) -> Any:
        door.admit(context.invocation_metadata())
        return csi.ProbeResponse(ready=csi.BoolValue(value=driver.ready()))

    return {rpc.PLUGIN_INFO: info, rpc.PLUGIN_CAPABILITIES: capabilities, rpc.PROBE: probe}
