"""Servers that lie, drop, stall or babble: an error in words, never wrong data, never a hang."""

from __future__ import annotations

import itertools
import random
import struct

import pytest

from blockdiff._nbd import NbdError
from blockdiff.backends.nbd.device import open_device
from blockdiff.engine.copy import Copy
from blockdiff.engine.registry import open_source
from blockdiff.engine.verify import verify_devices
from blockdiff.errors import BlockdiffError, DeviceError, RemoteError, StreamInterrupted
from blockdiff.extent import Kind
from blockdiff.locator import parse_locator
from blockdiff.testing import MemoryDevice
from tests.fixtures import nbd_scripted as wire
from tests.fixtures.nbd_scripted import ScriptedServer

CONTENT = random.Random(7).randbytes(3 << 20)


@pytest.fixture
def serve(tmp_path):
    made = []

    def serve(content=CONTENT, **offers):
        made.append(ScriptedServer(str(tmp_path), content, **offers))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def opened(server, export="", *, writable=False, **query):
    return open_device(parse_locator(server.url(export, **query)), writable=writable)


def read(device, offset=0, length=8192):
    buffer = bytearray(length)
    device.pread_into(buffer, offset)
    return bytes(buffer)


def kinds(device, start=0, length=None):
    return [(e.offset, e.length, Kind(e.kind).label) for batch in device.extents(start, length) for e in batch]


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


# ---- block status ----

HOLES = [(1 << 20, 0), (1 << 20, 3), (512 << 10, 2), (512 << 10, 1)]


@pytest.mark.parametrize("extended", [False, True])
def test_what_status_means(serve, extended):
    """A hole that is not said to be zero may read as anything: data."""
    mib = 1 << 20
    with opened(serve(extended=extended, contexts={wire.ALLOCATION: HOLES})) as device:
        assert kinds(device) == [
            (0, mib, "data"),
            (mib, mib, "hole"),
            (2 * mib, mib // 2, "zero"),
            (5 * mib // 2, mib // 2, "data"),
        ]
        assert kinds(device, mib + 7, 100) == [(mib + 7, 100, "hole")]
        assert device.map_note == ""


def test_no_status_at_all(serve):
    with opened(serve(contexts={})) as device:
        assert kinds(device) == [(0, len(CONTENT), "data")]
        assert "no block status" in device.map_note


@pytest.mark.parametrize("extended", [False, True])
def test_short_and_overlong_status(serve, extended):
    """As few extents as a server likes, coalesced or not; the last one may be longer than asked."""
    rng = random.Random(1)

    def answer(connection, q):
        found = wire.cut(HOLES, q.offset, q.length)
        first = rng.randrange(1, found[0][0] // 512 + 1) * 512
        sent = [(first, found[0][1])] if rng.random() < 0.7 else [*found[:-1], (found[-1][0] + (1 << 30), found[-1][1])]
        connection.status(q, 7, sent)
        connection.chunk(q, wire.DONE, wire.NONE)

    server = serve(extended=extended, contexts={wire.ALLOCATION: HOLES}, on={wire.STATUS: answer})
    with opened(server) as device:
        found = kinds(device)
        assert sum(length for _, length, label in found if label == "hole") == 1 << 20
        assert found[-1][0] + found[-1][1] == len(CONTENT)


WRONG_STATUS = {
    "none": lambda c, q: c.chunk(q, wire.DONE, wire.NONE),
    "empty": lambda c, q: c.status(q, 7, [], wire.DONE),
    "of 0 bytes": lambda c, q: c.status(q, 7, [(0, 3)], wire.DONE),
    "0 bytes in the middle": lambda c, q: c.status(q, 7, [(512, 0), (0, 3), (512, 0)], wire.DONE),
    "beyond": lambda c, q: c.status(q, 7, [(q.length, 0), (512, 3)], wire.DONE),
    "other context": lambda c, q: c.status(q, 99, [(q.length, 3)], wire.DONE),
    "twice": lambda c, q: [c.status(q, 7, [(512, 0)]), c.status(q, 7, [(512, 3)], wire.DONE)],
    "half a descriptor": lambda c, q: c.chunk(
        q, wire.DONE, wire.STATUS_CHUNK, struct.pack(">III", 7, 512, 0) + b"1234"
    ),
    "endless": lambda c, q: c.chunk(q, wire.DONE, wire.STATUS_CHUNK, struct.pack(">I", 7), length=4 + 8 * (1 << 28)),
    "wide in narrow": lambda c, q: c.chunk(q, wire.DONE, wire.STATUS_EXT, struct.pack(">IIQQ", 7, 1, q.length, 3)),
    "read data": lambda c, q: c.data(q, q.offset, b"x", wire.DONE),
    "simple": lambda c, q: c.simple(q),
}


@pytest.mark.parametrize("what", WRONG_STATUS)
def test_a_wrong_status(serve, what):
    server = serve(on={wire.STATUS: WRONG_STATUS[what]})
    with opened(server, timeout=2) as device, pytest.raises(DeviceError):
        kinds(device)


def test_a_wrong_count_of_wide_status(serve):
    server = serve(extended=True)
    server.on[wire.STATUS] = lambda c, q: c.chunk(
        q, wire.DONE, wire.STATUS_EXT, struct.pack(">IIQQ", 7, 2, q.length, 0)
    )
    with opened(server) as device, pytest.raises(DeviceError, match="counts 2 extents"):
        kinds(device)


def test_endless_crumbs_of_status(serve):
    """Each answer tells one block more: slow, but it ends."""
    server = serve(CONTENT[:65536], on={wire.STATUS: lambda c, q: c.status(q, 7, [(512, 0)], wire.DONE)})
    with opened(server) as device:
        assert kinds(device)[0] == (0, 512, "data")
        assert sum(length for _, length, _ in kinds(device)) == 65536


def test_status_of_parts_of_blocks(serve):
    """It would be asked for the same block for ever."""
    server = serve(blocks=(4096, 4096, 1 << 20), on={wire.STATUS: lambda c, q: c.status(q, 7, [(100, 0)], wire.DONE)})
    with opened(server) as device, pytest.raises(DeviceError, match="parts of blocks"):
        kinds(device)
    good = serve(blocks=(4096, 4096, 1 << 20), contexts={wire.ALLOCATION: HOLES})
    good.on[wire.STATUS] = lambda c, q: c.status(q, 7, wire.cut(HOLES, q.offset, 4096), wire.DONE)
    with opened(good) as device:
        assert kinds(device, (1 << 20) + 5000, 10000)[0] == ((1 << 20) + 5000, 3192, "hole")


def test_status_that_fails_is_data_and_said_so(serve):
    server = serve(on={wire.STATUS: lambda c, q: c.error(q, 22, b"not now")})
    with opened(server) as device:
        assert kinds(device) == [(0, len(CONTENT), "data")]
        assert "not now" in device.map_note


# ---- connections that end ----


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


def test_a_silent_server(serve):
    server = serve(on={wire.READ: wire.stall})
    with opened(server, timeout=1) as device, pytest.raises(DeviceError, match="did not answer within 1 s"):
        read(device)


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


# ---- the handshake ----

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


# ---- bitmaps ----

DIRTY = [(65536, 0), (65536, 1), (len(CONTENT) - 131072, 0)]


def listed(server, context="bitmap=b"):
    key, value = context.split("=")
    source, pair = open_source(None, server.url(**{key: value}))
    try:
        return [(e.offset, e.length) for record in source.records(pair) for e in record.extents]
    finally:
        source.close()


@pytest.mark.parametrize("extended", [False, True])
def test_a_bitmap(serve, extended):
    server = serve(extended=extended, contexts={wire.ALLOCATION: HOLES, wire.BITMAP: DIRTY})
    assert listed(server) == listed(server, f"meta={wire.BITMAP}") == [(65536, 65536)]


def test_a_bitmap_that_is_not_there(serve):
    server = serve(contexts={wire.ALLOCATION: HOLES, "qemu:dirty-bitmap:c": DIRTY})
    with pytest.raises(BlockdiffError, match=r"no such bitmap \(it has 'c'\)") as caught:
        listed(server)
    assert caught.value.exit_code == 3
    with pytest.raises(BlockdiffError, match="knows no metadata contexts") as caught:
        listed(serve(structured=False))
    assert caught.value.exit_code == 4


def test_a_bitmap_that_cannot_be_told_is_never_guessed(serve):
    server = serve(contexts={wire.BITMAP: DIRTY}, on={wire.STATUS: lambda c, q: c.error(q, 5)})
    with pytest.raises(DeviceError, match="Input/output error"):
        listed(server)


def test_halves_of_two_bitmaps_are_not_one(serve):
    count = [0]

    def answer(connection, q):
        count[0] += 1
        if count[0] == 2:
            raise wire.HangUp
        connection.status(q, 7, [(512 << 10, 1)], wire.DONE)

    server = serve(contexts={wire.BITMAP: DIRTY}, on={wire.STATUS: answer})
    with pytest.raises(StreamInterrupted, match="read it again"):
        listed(server)
    count[0] = 1  # lost before anything was told: begun anew, and said so
    source, pair = open_source(None, server.url(bitmap="b"))
    assert sum(record.extents.total() for record in source.records(pair)) == len(CONTENT)
    assert "made again" in source.warnings[0]
    source.close()


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


def test_a_handshake_without_an_end(serve):
    sent = []

    def babble(connection, _):
        while True:
            sent.append(1)
            connection.reply(7, 3, struct.pack(">H", 77) + bytes(100_000))

    with pytest.raises(RemoteError, match="have no end"):
        opened(serve(on_option={7: babble}))
    assert len(sent) < 1000, "it was all kept"


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


@pytest.mark.parametrize("extended", [False, True])
def test_status_of_another_context_is_not_taken(serve, extended):
    """A server may tell of contexts that this question is not about, before and behind."""

    def answer(connection, q):
        connection.status(q, 99, [(q.length, 3)])
        connection.status(q, 7, wire.cut(HOLES, q.offset, q.length))
        connection.status(q, 98, [(q.length, 3)], wire.DONE)

    with opened(serve(extended=extended, contexts={wire.ALLOCATION: HOLES})) as device:
        expected = kinds(device)
    server = serve(extended=extended, contexts={wire.ALLOCATION: HOLES}, on={wire.STATUS: answer})
    with opened(server) as device:
        assert kinds(device) == expected
        assert device.map_note == ""


@pytest.mark.parametrize("flags", [1, 2, 3, 4, 1 << 31])
def test_any_flag_of_a_bitmap_is_a_change(serve, flags):
    """Only 0 says that nothing was written."""
    size = len(CONTENT)
    server = serve(contexts={wire.BITMAP: [(4096, 0), (8192, flags), (size - 12288, 0)]})
    source, pair = open_source(None, parse_locator(server.url(bitmap="b")))
    with source:
        assert [tuple(e)[:2] for record in source.records(pair) for e in record.extents] == [(4096, 8192)]


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


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("none", "told no block status of"),
        ("half a descriptor", "type 5 with 16 bytes"),
        ("read data", "type 1 with 9"),
    ],
)
def test_what_was_wrong_with_a_status_is_said(serve, what, words):
    server = serve(on={wire.STATUS: WRONG_STATUS[what]})
    with opened(server) as device, pytest.raises(DeviceError, match=words):
        kinds(device)


@pytest.mark.parametrize("length", [2**63 - 1, 2**63, 2**64 - 1])
def test_status_of_more_than_there_is(serve, length):
    def answer(connection, q):
        connection.status(q, 7, [(512, 0), (length, 3)], wire.DONE)

    with opened(serve(extended=True, on={wire.STATUS: answer})) as device:
        assert kinds(device) == [(0, 512, "data"), (512, len(CONTENT) - 512, "hole")]


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
