"""Health over HTTP, on machines that are not as they should be."""

import errno
import socket
import urllib.request

import pytest

from blockdiff.csi.server.http import HttpEndpoint

WAIT = 30


@pytest.fixture
def without_ipv6(monkeypatch):
    class Socket(socket.socket):
        def __init__(self, family=-1, *arguments, **options):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments, **options)

    monkeypatch.setattr(socket, "socket", Socket)


@pytest.mark.usefixtures("without_ipv6")
def test_every_interface_of_a_machine_without_ipv6():
    endpoint = HttpEndpoint(":0", ready=lambda: True, metrics=None)
    endpoint.start()
    try:
        port = endpoint.address.rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=WAIT) as answer:
            assert answer.read() == b"ok"
    finally:
        endpoint.close()
