"""The CSI plugin as a whole: our sources behind a listener, started and ended together."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc
from blockdiff.csi.provider import identity, service
from blockdiff.csi.provider.door import Door
from blockdiff.csi.server.listen import GRACE, Listener
from blockdiff.csi.server.report import report_call

if TYPE_CHECKING:
    from blockdiff.csi.provider.driver import Provider
    from blockdiff.errors import BlockdiffError

_log = logging.getLogger("blockdiff.csi.server")


class Plugin:
    """Serves csi.v1.SnapshotMetadata and csi.v1.Identity at an address; ``listen`` are a Listener's options."""

    def __init__(self, provider: Provider, address: str, *, door: Door | None = None, **listen: Any) -> None:
        self.failed: BlockdiffError | None = None
        self.ended = threading.Event()
        self._provider, opened = provider, door or Door()
        self.listener = Listener(address, ended=report_call, **listen)
        self.listener.add_service(rpc.CSI_SERVICE, service.behaviours(provider, opened))
        self.listener.add_service(rpc.IDENTITY_SERVICE, identity.behaviours(provider, opened))

    def start(self) -> None:
        """Listens, and serves."""
        self.listener.start()
        self.listener.set_serving(True)
        _log.info("listening on %s", self.listener.address)

    def stop(self, grace: float = GRACE) -> None:
        """Streams get ``grace`` seconds."""
        self.listener.stop(grace)
        self._provider.close()

    def __enter__(self) -> Plugin:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)
