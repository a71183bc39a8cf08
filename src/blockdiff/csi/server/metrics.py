"""What Prometheus is told: nothing that a client can name is a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.csi.errors import spoken
from blockdiff.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.csi.server.call import Call

PREFIX = "snapshot_metadata_controller"
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
OPERATIONS = {"GetMetadataAllocated": "MetadataAllocated", "GetMetadataDelta": "MetadataDelta"}


class Metrics:
    """Counts calls. ``text`` is the page; ``driver`` and ``ready`` tell of the driver when it is asked for."""

    def __init__(self, driver: Callable[[], str], ready: Callable[[], bool]) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise BackendUnavailable(
                f"this needs prometheus_client: {error}", hint="pip install 'blockdiff[csi]'"
            ) from None
        self._driver = driver
        self._registry = registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        labels = ("driver_name", "method_name")
        self._seconds = prometheus.Histogram(
            f"{PREFIX}_operations_seconds",
            "Duration of calls by operation and gRPC status",
            (*labels, "grpc_status_code"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._counts = {
            name: prometheus.Counter(f"{PREFIX}_{name}", f"{name.capitalize()} sent", labels, registry=registry)
            for name in ("messages", "tuples", "bytes")
        }
        gauge = prometheus.Gauge(f"{PREFIX}_driver_ready", "1 while the CSI driver is ready", registry=registry)
        gauge.set_function(lambda: float(ready()))

    def ended(self, call: Call) -> None:
        """A call came to its end."""
        import time

        labels = (self._driver(), OPERATIONS.get(call.method, "Other"))
        self._seconds.labels(*labels, spoken(call.code)).observe(time.monotonic() - call.started)
        for name, counter in self._counts.items():
            counter.labels(*labels).inc(getattr(call, name))

    def text(self) -> bytes:
        """The page in Prometheus' text format."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._registry))
