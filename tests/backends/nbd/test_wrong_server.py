"""Servers that answer reads wrongly: an error in words, never wrong data."""

from __future__ import annotations

import itertools
import random
import struct

import pytest

from blockdiff.errors import DeviceError
from tests.fixtures import nbd_scripted as wire
from tests.fixtures.nbd_scripted import CONTENT, kinds, opened, read


@pytest.mark.parametrize("offers", [{}, {"structured": False}, {"extended": True}, {"go": False}, {"fixed": False}])
def test_every_form_of_replies(serve, offers):
    server = serve(**offers)
    with opened(server) as device:
        assert read(device, 0, len(CONTENT)) == CONTENT
        assert read(device, 12345, 7) == CONTENT[12345:12352]
    with opened(server, writable=True) as device:
        device.pwrite(b"new" * 1000, 77)
        device.zero(9000, 5000)
        device.flush()
    want = bytearray(CONTENT)
    want[77:3077] = b"new" * 1000
    want[9000:14000] = bytes(5000)
    assert server.content == want
    assert wire.FLUSH in [request.type for request in server.requests]


def test_pieces_in_any_order(serve):
    server = serve()

    def answer(connection, q):
        rng = random.Random(q.offset)
        cuts = sorted({0, q.length, *(rng.randrange(q.length) for _ in range(20))})
        pieces = list(itertools.pairwise(cuts))
        rng.shuffle(pieces)
        for lo, hi in pieces:
            part = bytes(server.content[q.offset + lo : q.offset + hi])
            if any(part):
                connection.data(q, q.offset + lo, part)
            else:
                connection.hole(q, q.offset + lo, hi - lo)
        connection.chunk(q, wire.DONE, wire.NONE)

    server.content[100000:900000] = bytes(800000)
    server.on[wire.READ] = answer
    with opened(server) as device:
        assert read(device, 0, len(CONTENT)) == server.content


WRONG_READS = {
    "too long": lambda c, q: c.data(q, q.offset, bytes(q.length + 1), wire.DONE),
    "too short": lambda c, q: c.data(q, q.offset, bytes(q.length - 1), wire.DONE),
    "nothing": lambda c, q: c.chunk(q, wire.DONE, wire.NONE),
    "empty piece": lambda c, q: c.data(q, q.offset, b"", wire.DONE),
    "before": lambda c, q: c.data(q, q.offset - 512, bytes(q.length), wire.DONE),
    "behind": lambda c, q: c.data(q, q.offset + q.length, bytes(512), wire.DONE),
    "far behind": lambda c, q: c.data(q, 2**64 - 512, bytes(512), wire.DONE),
    "behind a gap": lambda c, q: c.data(q, q.offset + q.length + 512, bytes(512), wire.DONE),
    "hole with more": lambda c, q: c.chunk(q, wire.DONE, wire.HOLE, struct.pack(">QIQ", q.offset, q.length, 0)),
    "data of an old handle": lambda c, q: c.chunk(
        q, wire.DONE, wire.DATA, struct.pack(">Q", q.offset) + bytes(q.length), cookie=q.cookie + (1 << 40)
    ),
    "crossing": lambda c, q: c.data(q, q.offset + 512, bytes(q.length), wire.DONE),
    "twice": lambda c, q: [c.data(q, q.offset, bytes(q.length)), c.data(q, q.offset, bytes(q.length), wire.DONE)],
    "overlap": lambda c, q: [c.data(q, q.offset + 512, bytes(1024)), c.data(q, q.offset, bytes(1024), wire.DONE)],
    "overlap from behind": lambda c, q: [
        c.data(q, q.offset + 1024, bytes(512)),
        c.hole(q, q.offset + 512, 1024, wire.DONE),
    ],
    "long hole": lambda c, q: c.hole(q, q.offset, 2**32 - 1, wire.DONE),
    "empty hole": lambda c, q: c.hole(q, q.offset, 0, wire.DONE),
    "a gap": lambda c, q: [
        c.data(q, q.offset, bytes(512)),
        c.data(q, q.offset + 1024, bytes(q.length - 1024), wire.DONE),
    ],
    "huge": lambda c, q: c.chunk(q, wire.DONE, wire.DATA, b"", length=2**32 - 1),
    "unknown chunk": lambda c, q: c.chunk(q, wire.DONE, 77, b"abcd"),
    "status for a read": lambda c, q: c.status(q, 7, [(q.length, 0)], wire.DONE),
    "other handle": lambda c, q: c.chunk(q, wire.DONE, wire.NONE, cookie=q.cookie ^ 1),
    "old handle": lambda c, q: c.chunk(q, wire.DONE, wire.NONE, cookie=q.cookie + (1 << 40)),
    "simple": lambda c, q: c.simple(q, data=bytes(q.length)),
    "simple error": lambda c, q: c.simple(q, error=5),
    "babble": lambda c, _: c.send(bytes(range(256)) * 8),
    "none with data": lambda c, q: c.chunk(q, wire.DONE, wire.NONE, b"x"),
    "none that goes on": lambda c, q: c.chunk(q, 0, wire.NONE),
    "error of nothing": lambda c, q: c.error(q, 0, b"fine"),
    "error cut off": lambda c, q: c.chunk(q, wire.DONE, wire.ERROR, struct.pack(">IH", 5, 99) + b"x"),
    "long error": lambda c, q: c.chunk(q, wire.DONE, wire.ERROR, length=1 << 30),
}


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("what", WRONG_READS)
def test_a_wrong_answer_to_a_read(serve, what, extended):
    server = serve(extended=extended, on={wire.READ: WRONG_READS[what]})
    with opened(server, timeout=2) as device:
        around = bytearray(b"#" * 16384)
        with pytest.raises(DeviceError) as caught:
            device.pread_into(memoryview(around)[4096:8192], 8192)
        assert around[:4096] + around[8192:] == b"#" * 12288, "it wrote outside of the buffer"
        assert caught.value.reason
        with pytest.raises(DeviceError):
            read(device, 8192, 4096)  # nothing is believed any more
    assert server.connections == 1, "a server that is wrong is not asked again"


def test_an_offset_that_is_not_the_requests(serve):
    server = serve(extended=True)
    server.on[wire.READ] = lambda c, q: c.chunk(
        q, wire.DONE, wire.DATA, struct.pack(">Q", q.offset) + bytes(q.length), offset=q.offset + 1
    )
    with opened(server) as device, pytest.raises(DeviceError, match="answered a request at"):
        read(device)


def test_errors_are_told_in_the_servers_words(serve):
    server = serve(on={wire.READ: lambda c, q: c.error(q, 5, b"the disk \x1b[31m \xc2\x9b burns")})
    with opened(server) as device:
        for _ in range(2):  # an error is no end of the connection
            with pytest.raises(DeviceError, match="the disk \ufffd\\[31m \ufffd burns") as caught:
                read(device)
        assert caught.value.errno == 5
    assert server.connections == 1


def test_an_error_after_data_is_an_error(serve):
    server = serve(on={wire.READ: lambda c, q: [c.data(q, q.offset, bytes(512)), c.error(q, 28)]})
    with opened(server) as device, pytest.raises(DeviceError, match="No space left"):
        read(device)


def test_too_many_pieces(serve):
    def crumbs(connection, q):
        for at in range(q.offset + q.length - 1, q.offset, -2):
            connection.data(q, at, b"x")

    with opened(serve(on={wire.READ: crumbs})) as device, pytest.raises(DeviceError, match="too many pieces"):
        read(device, 0, 65536)


@pytest.mark.parametrize("extended", [False, True])
def test_a_reply_without_an_end(serve, extended):
    """Chunks that are allowed one by one, and never the last."""

    def babble(connection, q):
        while True:
            if q.type == wire.READ:
                connection.error(q, 5, b"x", flags=0)
            else:
                connection.status(q, 99, [(512, 0)])

    server = serve(extended=extended, on={wire.READ: babble, wire.STATUS: babble})
    with opened(server) as device, pytest.raises(DeviceError, match="has no end"):
        read(device)
    with opened(server) as device, pytest.raises(DeviceError, match="has no end"):
        kinds(device)


WORDS = {
    "behind": "answered a read of 4096 bytes at 8192 with 512 bytes at 12288",
    "overlap from behind": "sent the bytes at 8704 twice",
    "a gap": "bytes missing at 8704",
    "none that goes on": "sent a chunk of type 0",
}


@pytest.mark.parametrize("what", WORDS)
def test_what_was_wrong_is_said(serve, what):
    server = serve(on={wire.READ: WRONG_READS[what]})
    with opened(server) as device, pytest.raises(DeviceError, match=WORDS[what]):
        read(device, 8192, 4096)
