import pytest
from blockdiff_ram import RamDevice

from blockdiff.testing.conformance import DeviceConformance


class TestRam(DeviceConformance):
    writable = False

    @pytest.fixture
    def make(self):
        return lambda content: RamDevice("ram:test", content)
