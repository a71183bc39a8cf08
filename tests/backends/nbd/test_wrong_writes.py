"""Servers that lose writes, or cannot zero: what is said to be written is there."""

from __future__ import annotations

import itertools
import struct
import threading

import pytest

from blockdiff._nbd import NbdError
from blockdiff.engine.copy import Copy
from blockdiff.errors import DeviceError
from blockdiff.testing import MemoryDevice
from tests.fixtures import nbd_scripted as wire
from tests.fixtures.nbd_scripted import CONTENT, opened, read


def test_a_drop_after_writes_is_no_matter_of_luck(serve):
    """What was confirmed and not flushed may be gone with the server: no new connection makes that good."""
    server = serve(CONTENT, flags=0b1000101)
    with opened(server, writable=True) as device:
        device.pwrite(b"x" * 512, 0)
        server.drop_all()
        with pytest.raises(DeviceError, match="since the last flush may be lost"):
            device.pwrite(b"x" * 512, 512)
    with opened(server, writable=True) as device:
        device.pwrite(b"x" * 512, 0)
        device.flush()
        server.drop_all()
        assert read(device, 0, 512) == b"x" * 512
        device.pwrite(b"y" * 512, 512)


def test_a_flush_beside_a_write_does_not_cover_it(serve):
    """Only what was confirmed before a flush is on stable storage by it."""
    server = serve(CONTENT, flags=0b1000101)
    held, arrived = [], threading.Event()

    def hold(connection, q):
        held.append((connection, q))
        arrived.set()

    server.on[wire.WRITE] = hold
    with opened(server, writable=True) as device:
        writing = threading.Thread(target=device.pwrite, args=(b"x" * 512, 0))
        writing.start()
        assert arrived.wait(10)
        device.flush()
        connection, q = held.pop()
        connection.simple(q)
        writing.join()
        server.on.clear()
        server.drop_all()
        with pytest.raises(DeviceError, match="since the last flush may be lost"):
            read(device, 0, 512)


def test_a_copy_that_loses_its_target(serve):
    server = serve(CONTENT, flags=0b1000101)
    count = [0]

    def answer(_connection, _q):
        count[0] += 1
        if count[0] == 2:
            server.drop_all()
            raise wire.HangUp
        return True

    server.on[wire.WRITE] = answer
    with opened(server, writable=True) as target, pytest.raises(DeviceError, match="may be lost"):
        Copy(MemoryDevice(CONTENT[::-1]), target).run()


@pytest.mark.parametrize("extended", [False, True])
def test_zeroes_of_more_than_a_request_can_say(serve, extended):
    """Of a huge export: no request is left out, and they are not all held at once."""
    asked = []

    def zero(connection, q):
        asked.append((q.offset, q.length))
        connection.chunk(q, wire.DONE, wire.NONE) if extended else connection.simple(q)

    size, start = (1 << 63) - 512, 1 << 61
    server = serve(b"", extended=extended, on={wire.ZEROES: zero}, size=size)
    with opened(server, writable=True) as device:
        device.zero(start, 40 << 30)
        with pytest.raises(NbdError):  # natively: so many requests at once are refused
            device.session.zero(0, 1 << 62)
    asked.sort()
    assert asked[0][0] == start
    assert sum(length for _, length in asked) == 40 << 30
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(asked))


def test_what_a_server_does_not_offer_is_not_asked(serve):
    """Zeroes are written where it cannot zero; writes go through its caches where it cannot flush."""
    server = serve(flags=1 | 8)
    with opened(server, writable=True) as device:
        device.zero(4096, 8192)
        device.pwrite(b"x" * 512, 0)
        device.flush()
    assert server.content[4096:12288] == bytes(8192)
    asked = [request for request in server.requests if request.type != wire.DISC]
    assert {request.type for request in asked} <= {wire.READ, wire.WRITE}
    assert all(request.flags & 1 for request in asked if request.type == wire.WRITE)


def trimming(serve, status, **offers):
    """A server that can trim and not zero, and tells this status of what is asked after that."""
    server = serve(flags=1 | 4 | 32, contexts={wire.ALLOCATION: [(len(CONTENT), 0)]}, **offers)

    def trim(connection, q):
        server.contexts = {wire.ALLOCATION: status}
        server.content[q.offset : q.offset + q.length] = bytes(q.length)
        connection.simple(q) if not server.structured else connection.chunk(q, wire.DONE, wire.NONE)

    server.on = {wire.TRIM: trim, **server.on}
    return server


@pytest.mark.parametrize(
    ("status", "written"),
    [
        pytest.param([(len(CONTENT), 3)], [], id="zero"),
        pytest.param([(len(CONTENT), 1)], [(4096, 65536)], id="may read as anything"),
        pytest.param([(len(CONTENT), 0)], [(4096, 65536)], id="not trimmed"),
        pytest.param([(8192, 3), (len(CONTENT) - 8192, 0)], [(8192, 61440)], id="a part"),
    ],
)
def test_zeroes_by_trimming(serve, status, written):
    """Only what reads as zeroes after it, by the server's word, is not written."""
    server = trimming(serve, status)
    with opened(server, writable=True) as device:
        device.zero(4096, 65536)
    asked = [request.type for request in server.requests if request.type != wire.DISC]
    assert asked[:3] == [wire.TRIM, wire.FLUSH, wire.STATUS]
    assert [(q.offset, q.length) for q in server.requests if q.type == wire.WRITE] == written
    assert server.content[4096 : 4096 + 65536] == bytes(65536)


@pytest.mark.parametrize("code", [1, 5, 22, 95])
def test_trimming_that_fails(serve, code):
    server = trimming(serve, [(len(CONTENT), 3)])
    server.on[wire.TRIM] = lambda connection, q: connection.chunk(q, wire.DONE, wire.ERROR, struct.pack(">IH", code, 0))
    with opened(server, writable=True) as device:
        device.zero(4096, 65536)
    assert server.content[4096 : 4096 + 65536] == bytes(65536)
    assert [(q.offset, q.length) for q in server.requests if q.type == wire.WRITE] == [(4096, 65536)]


@pytest.mark.parametrize("flags", [1 | 32, 1 | 4], ids=["no flush", "no trim"])
def test_no_trimming_where_nothing_could_be_known_of_it(serve, flags):
    server = trimming(serve, [(len(CONTENT), 3)])
    server.flags = flags
    with opened(server, writable=True) as device:
        device.zero(4096, 65536)
    assert wire.TRIM not in [request.type for request in server.requests]
    assert server.content[4096 : 4096 + 65536] == bytes(65536)


def test_storage_that_must_stay_is_not_trimmed(serve):
    server = trimming(serve, [(len(CONTENT), 3)])
    with opened(server, writable=True) as device:
        device.zero(4096, 65536, punch=False)
    assert wire.TRIM not in [request.type for request in server.requests]


def test_only_whole_blocks_are_trimmed(serve):
    server = trimming(serve, [(len(CONTENT), 3)], blocks=(4096, 4096, 1 << 20))
    server.on[wire.TRIM] = lambda connection, q: connection.chunk(q, wire.DONE, wire.NONE)
    before = bytes(server.content)
    with opened(server, writable=True) as device:
        device.session.trim(100, 9000)
    assert [(q.offset, q.length) for q in server.requests if q.type == wire.TRIM] == [(4096, 4096)]
    assert server.content == before
