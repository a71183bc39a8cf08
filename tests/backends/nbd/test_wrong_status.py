"""Servers that tell block status and bitmaps wrongly: nothing is called a hole, or unchanged, that may not be."""

from __future__ import annotations

import random
import struct

import pytest

from blockdiff.engine.registry import open_source
from blockdiff.errors import BlockdiffError, DeviceError, StreamInterrupted
from blockdiff.locator import parse_locator
from tests.fixtures import nbd_scripted as wire
from tests.fixtures.nbd_scripted import CONTENT, kinds, opened

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
