"""The fixtures of the sidecar's tests."""

from tests.fixtures.sidecar import api, driver, files, sidecar

__all__ = ["api", "driver", "files", "sidecar"]
