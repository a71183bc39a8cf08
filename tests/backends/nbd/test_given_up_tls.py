"""A request that is given up while GnuTLS holds a part of it: the next one must not end up in its place."""

from __future__ import annotations

import random
import ssl
import threading
import time
from contextlib import suppress

import pytest

from blockdiff import DeviceError
from blockdiff.backends.nbd.device import open_device
from blockdiff.locator import parse_locator
from tests.fixtures import nbd_scripted as wire
from tests.fixtures.nbd import Tls

CONTENT = random.Random(1).randbytes(16 << 20)
MANY = 8 << 20  # bytes, in more requests than the socket takes while the server does not read
OTHER = 12 << 20


@pytest.fixture
def stuck(serve, tmp_path):
    """A server with TLS and requests of 4 KiB. It does not read for a while, and then refuses the first request."""
    tls = Tls(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.place / "server-cert.pem", tls.place / "server-key.pem")
    server, seen, served = serve(CONTENT, flags=0b101, blocks=(1, 4096, 4096)), [], []

    def encrypt(connection, _data):
        connection.reply(5, 1)
        connection.socket = context.wrap_socket(connection.socket, server_side=True)
        connection.drop = lambda: None  # Python's shutdown of one would make the thread read what is encrypted
        served.append((threading.current_thread(), connection.socket))

    def refuse_first(connection, q):
        seen.append(q)
        if len(seen) > 1:
            return True
        time.sleep(0.5)
        if q.type == wire.READ:
            connection.error(q, 5, b"bad spot")
        else:
            connection.simple(q, 5)
        return None

    server.on_option[5] = encrypt
    server.on[wire.READ] = server.on[wire.WRITE] = refuse_first
    url = server.url(**{"tls-certificates": tls.place}).replace("nbd+unix", "nbds+unix")
    device = open_device(parse_locator(url), writable=True)
    yield server, device
    device.close()
    for thread, encrypted in served:
        thread.join(5)
        encrypted.close()


def test_what_is_read_next_is_right(stuck):
    _, device = stuck
    with pytest.raises(DeviceError, match="bad spot"):
        wire.read(device, 0, MANY)
    assert wire.read(device, OTHER, 65536) == CONTENT[OTHER:][:65536]


def test_what_is_written_next_is_written_nowhere_else(stuck):
    server, device = stuck
    with pytest.raises(DeviceError, match="Input/output error"):
        device.pwrite(b"A" * MANY, 0)
    with suppress(DeviceError):  # the connection may be given up
        device.pwrite(b"B" * 65536, OTHER)
    time.sleep(0.2)
    assert b"B" * 4096 not in server.content[:MANY]
