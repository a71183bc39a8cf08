"""Servers that drop, stall, or babble in the handshake: resumed where that is safe, else an error; never a hang."""

from __future__ import annotations

import struct

import pytest

from blockdiff.backends.nbd.device import open_device
from blockdiff.engine.verify import verify_devices
from blockdiff.errors import BlockdiffError, DeviceError, RemoteError
from blockdiff.locator import parse_locator
from blockdiff.testing import MemoryDevice
from tests.fixtures import nbd_scripted as wire
from tests.fixtures.nbd_scripted import CONTENT, opened, read


def dropping(after, server):
    """Hangs up in the middle of the answer number ``after``."""
    count = [0]

    def answer(connection, q):
        count[0] += 1
        if count[0] != after:
            return True
        body = struct.pack(">Q", q.offset) + bytes(server.content[q.offset : q.offset + q.length // 2])
        connection.chunk(q, wire.DONE, wire.DATA, body, length=8 + q.length)
        server.drop_all()
        raise wire.HangUp

    return answer


@pytest.mark.parametrize("flags", [0b101, 0b100000101])
def test_a_drop_in_the_middle(serve, flags):
    content = CONTENT * 8
    server = serve(content, flags=flags)
    server.on[wire.READ] = dropping(5, server)
    with opened(server) as device:
        report = verify_devices(device, MemoryDevice(content))
        assert report.identical
        assert any("connection was lost and made again" in text for text in report.warnings)


def test_another_export_after_a_drop(serve):
    server = serve(CONTENT * 8, flags=0b101)
    drop = dropping(3, server)

    def answer(connection, q):
        server.size += 512 if len(server.requests) >= 3 else 0
        return drop(connection, q)

    server.on[wire.READ] = answer
    with opened(server) as device, pytest.raises(BlockdiffError, match=r"another export: its size was \d+ and is \d+"):
        verify_devices(device, MemoryDevice(CONTENT * 8))


@pytest.mark.parametrize("change", ["flags", "blocks", "contexts"])
def test_an_export_of_other_abilities_after_a_drop(serve, change):
    """Of the same size, and yet another one."""
    server = serve(CONTENT * 8, flags=0b101)
    drop = dropping(3, server)
    others = {"flags": 0b111, "blocks": (1, 4096, 1 << 20), "contexts": {}}

    def answer(connection, q):
        if len(server.requests) >= 3:
            setattr(server, change, others[change])
        return drop(connection, q)

    server.on[wire.READ] = answer
    with opened(server) as device, pytest.raises(BlockdiffError, match="its flags, block sizes or contexts are others"):
        verify_devices(device, MemoryDevice(CONTENT * 8))


@pytest.mark.slow
def test_no_server_after_a_drop(serve):
    server = serve(CONTENT, flags=0b101)

    def answer(_connection, _q):
        server.close()
        raise wire.HangUp

    server.on[wire.READ] = answer
    with opened(server) as device, pytest.raises(DeviceError, match="cannot be made again"):
        read(device)


def test_a_silent_server(serve):
    server = serve(on={wire.READ: wire.stall})
    with opened(server, timeout=1) as device, pytest.raises(DeviceError, match="did not answer within 1 s"):
        read(device)


HANDSHAKES = {
    "no server of NBD": {"greeting": b"HTTP/1.1 400 Bad"},
    "the old handshake": {"greeting": b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53"},
    "a size below nothing": {"size": 1 << 63},
    "blocks of no size": {"blocks": (0, 4096, 1 << 20)},
    "odd blocks": {"blocks": (3000, 4096, 1 << 20)},
    "blocks larger than payloads": {"blocks": (4096, 4096, 512)},
    "a reply to another option": {"on_option": {7: lambda c, _: c.reply(8, 1)}},
    "a huge reply": {"on_option": {7: lambda c, _: c.send(struct.pack(">QIII", 0x3E889045565A9, 7, 3, 1 << 30))}},
    "no size": {"on_option": {7: lambda c, _: c.reply(7, 1)}},
    "half a size": {"on_option": {7: lambda c, _: [c.reply(7, 3, bytes(5)), c.reply(7, 1)]}},
    "nonsense": {"on_option": {8: lambda c, _: c.send(b"?" * 100)}},
    "hangs up": {"on_option": {8: lambda c, _: c.socket.close()}},
    "a shutdown": {"on_option": {7: lambda c, _: c.reply(7, 0x80000007)}},
    "stalls": {"on_option": {7: wire.stall}},
    "too many infos": {"on_option": {7: lambda c, _: [c.reply(7, 3, b"\0\7") for _ in range(110_000)]}},
}


@pytest.mark.parametrize("what", HANDSHAKES)
def test_a_wrong_handshake(serve, what):
    server = serve(**HANDSHAKES[what])
    with pytest.raises(RemoteError) as caught:
        opened(server, timeout=1)
    assert caught.value.exit_code == 5
    assert str(caught.value)


def test_no_such_export(serve):
    server = serve(exports=["disk", "other"])
    with pytest.raises(DeviceError, match="no such export: there is 'disk', 'other'") as caught:
        opened(server, "dik")
    assert caught.value.exit_code == 3


def test_no_way_back_from_tls(serve):
    server = serve()
    url = server.url().replace("nbd+unix", "nbds+unix")
    with pytest.raises(RemoteError, match="no way without"):
        open_device(parse_locator(url))
    assert server.options == [5]
    assert not server.requests


def test_extra_connections_that_wait_for_ever(serve):
    """Servers that serve one client at a time let others wait."""
    content = CONTENT * 8
    server = serve(content)
    server.on_option[7] = lambda c, _: wire.stall(c, _) if server.connections > 1 else True
    with opened(server) as device:
        assert device.session.connections == 1
        assert read(device, 0, 512) == content[:512]


def test_a_handshake_without_an_end(serve):
    sent = []

    def babble(connection, _):
        while True:
            sent.append(1)
            connection.reply(7, 3, struct.pack(">H", 77) + bytes(100_000))

    with pytest.raises(RemoteError, match="have no end"):
        opened(serve(on_option={7: babble}))
    assert len(sent) < 1000, "it was all kept"
