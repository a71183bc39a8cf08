"""The contract of devices, by real servers."""

from __future__ import annotations

import pytest

from blockdiff.backends.nbd.device import open_device
from blockdiff.errors import ShortRead
from blockdiff.locator import parse_locator
from blockdiff.testing.conformance import DeviceConformance

pytest_plugins = ["tests.fixtures.nbd"]


def opened(url, **options):
    return open_device(parse_locator(url), **options)


class TestNbdkit(DeviceConformance):
    @pytest.fixture
    def make(self, nbd, tmp_path):
        def make(content):
            path = tmp_path / f"content{len(list(tmp_path.iterdir()))}"
            path.write_bytes(content)
            return opened(nbd.nbdkit("file", path).uri(), writable=True)

        return make


class TestBlocksOf4K(TestNbdkit):
    """A server that refuses whatever is no whole block."""

    unit = 4096

    @pytest.fixture
    def make(self, nbd, tmp_path):
        def make(content):
            path = tmp_path / f"content{len(list(tmp_path.iterdir()))}"
            path.write_bytes(content)
            sizes = ["blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=8192"]
            sizes.append("blocksize-error-policy=error")
            server = nbd.nbdkit("file", path, *sizes, filters=["blocksize-policy"])
            return opened(server.uri(), writable=True)

        return make


class TestQemu(DeviceConformance):
    unit = 512

    @pytest.fixture
    def make(self, nbd, tmp_path):
        def make(content):
            path = tmp_path / f"content{len(list(tmp_path.iterdir()))}"
            path.write_bytes(content)
            return opened(nbd.qemu_nbd(path, read_only=False).uri(), writable=True)

        return make


class TestNbdServer(DeviceConformance):
    """No structured replies, no block status, perhaps no zeroing."""

    unit = 4096

    def bytes_of(self, size):
        return super().bytes_of(max(size, 4096))  # it exports nothing that is empty

    @pytest.fixture
    def make(self, nbd, tmp_path):
        def make(content):
            path = tmp_path / f"content{len(list(tmp_path.iterdir()))}"
            path.write_bytes(content)
            return opened(nbd.nbd_server({"e": path}).uri("e"), writable=True)

        return make


def test_a_tail_that_is_no_whole_block(nbd, tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(b"x" * 5000)
    with opened(nbd.nbdkit("file", path).uri()) as device:
        tail = bytearray(4)
        device.pread_into(tail, 4996)
        assert tail == b"xxxx"
        with pytest.raises(ShortRead):
            device.pread_into(tail, 4997)
