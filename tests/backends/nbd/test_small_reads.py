"""Data in many small pieces: asked for several at a time, big ones one after the other, and nothing is lost."""

from __future__ import annotations

import array
import fcntl
import random
import re
import signal
import termios
import time

import pytest

import blockdiff
from blockdiff import DeviceError, ReadOptions
from tests.fixtures import nbd_scripted as wire

pytest_plugins = ["tests.fixtures.nbd"]

PIECE = 64 << 10
REQUEST = 28  # bytes of one


def fragmented(pieces=64, piece=PIECE, seed=3):
    """Every second piece is data: the content, and the extents of a server."""
    rng = random.Random(seed)
    content = b"".join(rng.randbytes(piece) + bytes(piece) for _ in range(pieces))
    return content, [(piece, 0), (piece, 3)] * pieces


def served(serve, content, extents, **offers):
    return serve(content, contexts={wire.ALLOCATION: extents}, **{"flags": 0b101, **offers})


@pytest.fixture
def verify(tmp_path):
    """Compares an export with a file of this content: the native reader drives both."""

    def verify(server, content, **read):
        image = tmp_path / "image"
        image.write_bytes(content)
        return blockdiff.verify(server.url(), str(image), options=ReadOptions(**read))

    return verify


def waiting(server, found):
    """Answers as usual, and notes how many requests more had come by then."""

    def answer(connection, q):
        time.sleep(0.01)
        count = array.array("i", [0])
        fcntl.ioctl(connection.socket, termios.FIONREAD, count)
        found.append(count[0] // REQUEST)
        return True

    server.on[wire.READ] = answer


def test_small_ones_are_asked_for_together(serve, verify):
    content, extents = fragmented()
    server, found = served(serve, content, extents), []
    waiting(server, found)
    assert verify(server, content, workers=1).identical
    assert len(found) == 64
    assert max(found) >= 4


def test_big_ones_are_not(serve, verify):
    content = random.Random(4).randbytes(12 << 20)
    server, found = served(serve, content, [(len(content), 0)]), []
    waiting(server, found)
    assert verify(server, content, workers=1).identical
    assert found == [0] * 6


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_what_differs_is_found(serve, verify, seed, workers):
    """Pieces of all sizes, unaligned ones and a tail; the oracle is a loop over blocks of 4 KiB."""
    rng = random.Random(seed)
    content, extents, at = bytearray(), [], 0
    while at < 6 << 20:
        size = rng.choice((512, 4096, 12345, PIECE, 300_000, 2 << 20))
        data = rng.random() < 0.6
        content += rng.randbytes(size) if data else bytes(size)
        extents.append((size, 0 if data else 3))
        at += size
    other = bytearray(content)
    for _ in range(12):
        spot = rng.randrange(len(other))
        other[spot] ^= 0xFF
    server = served(serve, bytes(content), extents, flags=0b100000101)
    report = verify(server, bytes(other), workers=workers)
    found = {block for d in report.differences for block in range(d.offset // 4096, -(-(d.offset + d.length) // 4096))}
    blocks = range(-(-len(content) // 4096))
    assert found == {b for b in blocks if content[b * 4096 :][:4096] != other[b * 4096 :][:4096]}


@pytest.mark.parametrize("after", [1, 2, 9, 30])
def test_a_drop_while_many_are_under_way(serve, verify, after):
    content, extents = fragmented()
    server = served(serve, content, extents)
    count = [0]

    def answer(_connection, _q):
        count[0] += 1
        if count[0] != after:
            return True
        raise wire.HangUp

    server.on[wire.READ] = answer
    report = verify(server, content)
    assert report.identical
    assert any("connection was lost and made again" in text for text in report.warnings)


@pytest.mark.parametrize("nth", [0, 5, 40])
def test_an_error_of_one_of_them(serve, verify, nth):
    content, extents = fragmented()
    bad = 2 * nth * PIECE
    server = served(serve, content, extents)

    def answer(connection, q):
        if q.offset <= bad + 100 < q.offset + q.length:
            connection.error(q, 5, b"bad spot")
            return None
        return True

    server.on[wire.READ] = answer
    with pytest.raises(DeviceError) as caught:
        verify(server, content)
    assert caught.value.offset == bad
    report = verify(server, content, keep_going=True)
    assert not report.identical
    assert [(e.offset, e.length) for e in report.unreadable] == [(bad, 4096)]
    assert not list(report.differences)


def test_an_interruption(nbd, tmp_path):
    """What was not sent yet is taken back; the command ends at once."""
    from tests.fixtures.cli import finish, start

    content, _ = fragmented()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(len(content))
        for at in range(0, len(content), 2 * PIECE):
            file.seek(at)
            file.write(content[at : at + PIECE])
    url = nbd.nbdkit("file", image, "delay-read=600", filters=["delay"]).uri()
    process = start("verify", url, image)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130, (out, err)


def test_what_is_cached_is_written_far_away_in_big_pieces(nbd, tmp_path):
    image, log = tmp_path / "image", tmp_path / "requests"
    image.write_bytes(random.Random(5).randbytes(8 << 20))
    server = nbd.nbdkit("memory", "8M", f"logfile={log}", filters=["log"], tcp=True)
    blockdiff.copy(str(image), server.uri(), options=ReadOptions(workers=1))
    assert blockdiff.verify(str(image), server.uri()).identical
    counts = re.findall(r" Write .*count=(0x[0-9a-f]+) ", log.read_text())
    assert [int(count, 16) for count in counts] == [1 << 20] * 8
