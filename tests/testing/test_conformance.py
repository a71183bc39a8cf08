"""All our devices pass the suite that we ship."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blockdiff.backends.file import open_device
from blockdiff.testing import FaultDevice, MemoryDevice
from blockdiff.testing.conformance import DeviceConformance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.storage import MakeLoop


class TestFile(DeviceConformance):
    @pytest.fixture
    def make(self, any_dir: Path) -> Callable[[bytes], Any]:
        def make(content: bytes) -> Any:
            (any_dir / "image").write_bytes(content)
            return open_device(any_dir / "image", writable=True)

        return make


class TestBlockDevice(DeviceConformance):
    unit = 4096

    @pytest.fixture(params=[512, 4096])
    def make(self, make_loop: MakeLoop, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[bytes], Any]:
        def make(content: bytes) -> Any:
            backing = tmp_path / "backing"
            backing.write_bytes(content)
            return open_device(make_loop(0, request.param, backing=backing).path, writable=True)

        return make


class TestMemory(DeviceConformance):
    @pytest.fixture
    def make(self) -> Callable[[bytes], Any]:
        return MemoryDevice


class TestFaultless(DeviceConformance):
    @pytest.fixture
    def make(self) -> Callable[[bytes], Any]:
        return lambda content: FaultDevice(MemoryDevice(content), "rrr")
