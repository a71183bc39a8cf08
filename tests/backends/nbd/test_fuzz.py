"""Replies of NBD servers, changed at random: what was asked, byte for byte, or an error; never a hang.

``BLOCKDIFF_FUZZ`` is how many. No server runs: a reply is written into a socket before its request is sent.
"""

import contextlib
import os
import random
import socket
import struct

import pytest

from blockdiff._nbd import ALLOCATION, Link, NbdError, Session
from blockdiff.extent import Kind

COUNT = int(os.environ.get("BLOCKDIFF_FUZZ", "4000"))
COOKIE = 1 << 20  # of a session's first request
SIZE = 4096
CONTENT = random.Random(11).randbytes(1024) + bytes(1024) + random.Random(12).randbytes(2048)
STATUS = [(1024, 0), (1024, 3), (512, 2), (1536, 0)]
KINDS = [(0, 1024, Kind.DATA), (1024, 1024, Kind.HOLE), (2048, 512, Kind.ZERO), (2560, 1536, Kind.DATA)]
FORMS = ("simple", "structured", "extended")


def chunk(form, flags, kind, body, payload=b""):
    """A chunk in parts: what may be changed, and data, which nothing would tell from other data."""
    length = len(body) + len(payload)
    if form == "extended":
        head = struct.pack(">IHHQQQ", 0x6E8A278C, flags, kind, COOKIE, 0, length)
    else:
        head = struct.pack(">IHHQI", 0x668E33EF, flags, kind, COOKIE, length)
    return [(head + body, True), (payload, False)]


def read_reply(form, rng):
    if form == "simple":
        return [(struct.pack(">IIQ", 0x67446698, 0, COOKIE), True), (CONTENT, False)]
    pieces = [(0, 1024), (2048, 1000), (3048, 1048)]
    rng.shuffle(pieces)
    parts = [chunk(form, 0, 1, struct.pack(">Q", at), CONTENT[at : at + n]) for at, n in pieces]
    parts.insert(rng.randrange(4), chunk(form, 0, 2, struct.pack(">QI", 1024, 1024)))
    return [part for one in parts for part in one] + chunk(form, 1, 0, b"")


def status_reply(form):
    if form == "extended":
        told = b"".join(struct.pack(">QQ", *item) for item in STATUS)
        return [*chunk(form, 0, 6, struct.pack(">II", 5, len(STATUS)), told), *chunk(form, 1, 0, b"")]
    told = b"".join(struct.pack(">II", *item) for item in STATUS)
    return [*chunk(form, 0, 5, struct.pack(">I", 5), told), *chunk(form, 1, 0, b"")]


def changed(parts, rng, form):
    """One to three changes of what is no data. Nothing is put into simple replies: data could not be told from it."""
    parts = list(parts)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = [i for i, (data, may) in enumerate(parts) if may and data]
        if not places:
            break
        at = rng.choice(places)
        data = bytearray(parts[at][0])
        how = rng.choice((0, 1, 2, 3, 4, 7) if form == "simple" else range(8))
        if how < 3:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif how == 3:
            data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255))
        elif how == 4:
            parts = parts[:at] if rng.random() < 0.5 else parts[:at] + parts[at + 1 :]
            continue
        elif how == 5:
            parts.insert(rng.choice([*places, len(parts)]), parts[at])  # not into data: it would be taken for some
            continue
        elif how == 6:
            place = rng.randrange(len(data) + 1)
            data[place:place] = rng.randbytes(rng.randrange(1, 40))
        else:
            del data[rng.randrange(len(data)) :]
        parts[at] = (bytes(data), True)
    return b"".join(data for data, _ in parts)


@contextlib.contextmanager
def session(reply, form):
    """A session whose server has answered already, and has hung up."""
    ours, theirs = socket.socketpair()
    theirs.sendall(reply)
    theirs.shutdown(socket.SHUT_WR)
    made = Session(
        [Link(ours.detach(), limit=20)],
        again=None,
        size=SIZE,
        flags=1,
        structured=form != "simple",
        extended=form == "extended",
        block=1,
        piece=1 << 20,
        limit=20,
    )
    try:
        yield made
    finally:
        made.close()
        theirs.close()


def read(reply, form):
    with session(reply, form) as made:
        buffer = bytearray(b"\xee" * SIZE)
        made.read_into(buffer, 0)
        return bytes(buffer)


def status(reply, form):
    with session(reply, form) as made:
        found, told = made.status(5, ALLOCATION, 0, SIZE)
        return [tuple(extent) for extent in found], told


def naive_read(reply, form):
    """What a reply gives: the content, unless chance has made another good reply of it. None: it is wrong."""
    if form == "simple":
        return reply[16 : 16 + SIZE] if reply[:16] == struct.pack(">IIQ", 0x67446698, 0, COOKIE) else None
    head, magic = (">IHHQQQ", 0x6E8A278C) if form == "extended" else (">IHHQI", 0x668E33EF)
    given, at = [None] * SIZE, 0
    while True:
        facts = struct.unpack_from(head, reply, at)
        at += struct.calcsize(head)
        flags, kind, cookie, length = facts[1], facts[2], facts[3], facts[-1]
        if facts[0] != magic or cookie != COOKIE or kind not in (0, 1, 2) or at + length > len(reply):
            return None
        body = reply[at : at + length]
        at += length
        if kind:
            offset = struct.unpack_from(">Q", body)[0]
            data = body[8:] if kind == 1 else bytes(struct.unpack(">QI", body)[1])
            if any(byte is not None for byte in given[offset : offset + len(data)]):
                return None
            given[offset : offset + len(data)] = data
        if flags & 1:
            return None if None in given or len(given) != SIZE else bytes(given)


@pytest.mark.parametrize("form", FORMS)
def test_unchanged_replies(form):
    assert read(b"".join(data for data, _ in read_reply(form, random.Random(1))), form) == CONTENT
    if form != "simple":
        assert status(b"".join(data for data, _ in status_reply(form)), form) == (KINDS, SIZE)


@pytest.mark.parametrize("form", FORMS)
def test_reads(form):
    rng, good = random.Random(f"read {form}"), 0
    for _ in range(COUNT):
        reply = changed(read_reply(form, rng), rng, form)
        try:
            assert read(reply, form) == naive_read(reply, form), reply[:64].hex()
            good += 1
        except NbdError:
            pass
    assert good < COUNT / 2


@pytest.mark.parametrize("form", FORMS[1:])
def test_status(form):
    rng, good = random.Random(f"status {form}"), 0
    for _ in range(COUNT):
        reply = changed(status_reply(form), rng, form)
        try:
            found, told = status(reply, form)
        except NbdError:
            continue
        good += 1
        # chunks that were cut or doubled may tell less, and nothing else
        assert 0 < told <= SIZE, reply.hex()
        assert found == [(at, min(n, told - at), kind) for at, n, kind in KINDS if at < told], reply.hex()
    assert good < COUNT / 2


@pytest.mark.parametrize("form", FORMS[1:])
def test_any_numbers_as_status(form):
    """Whatever it tells, it covers the range up to where it ends once, and nothing else."""
    rng, pack = random.Random(f"numbers {form}"), struct.Struct(">QQ" if form == "extended" else ">II")
    numbers = (0, 1, 2, 3, 4, 511, 512, 4095, 4096, 4097, (1 << 31) - 1, (1 << 32) - 1)
    for _ in range(COUNT):
        items = [(rng.choice(numbers), rng.choice(numbers)) for _ in range(rng.randrange(1, 6))]
        told = b"".join(pack.pack(*item) for item in items)
        context = struct.pack(">II", 5, len(items)) if form == "extended" else struct.pack(">I", 5)
        kind = 6 if form == "extended" else 5
        reply = b"".join(data for data, _ in [*chunk(form, 0, kind, context, told), *chunk(form, 1, 0, b"")])
        expected = naive(items)
        try:
            found, end = status(reply, form)
        except NbdError:
            assert expected is None, items
            continue
        assert (found, end) == expected, items


def naive(items):
    """What the items say of the range, neighbours of one kind joined; None where they cannot be true."""
    at, found = 0, []
    for length, flags in items:
        if length == 0 or at == SIZE:
            return None
        length = min(length, SIZE - at)  # noqa: PLW2901 - the last one may be longer than asked
        kind = {3: Kind.HOLE, 2: Kind.ZERO}.get(flags & 3, Kind.DATA)
        if found and found[-1][2] == kind:
            found[-1] = (found[-1][0], found[-1][1] + length, kind)
        else:
            found.append((at, length, kind))
        at += length
    return found, at
