"""XXH64 against PyPI's xxhash, and what digests of chunks say about two devices."""

import errno
import os
import threading

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

import blockdiff
from blockdiff import _fast
from blockdiff._fast import SUM_DIFFERENT, SUM_EQUAL, SUM_UNKNOWN, Cancelled, Extents, FileSums, Sums, judge_sums
from blockdiff.errors import InvalidInput
from tests.fixtures.images import write_image
from tests.native.oracle import tuples

CHUNK = 4096
SEEDS = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
seeds_ = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(
    ("data", "seed", "digest"),
    [
        pytest.param(b"", 0, 0xEF46DB3751D8E999, id="empty"),
        pytest.param(b"a", 0, 0xD24EC4F1A98C6E5B, id="a"),
        pytest.param(b"as", 0, 0x1C330FB2D66BE179, id="as"),
        pytest.param(b"asdf", 0, 0x415872F599CEA71E, id="asdf"),
        pytest.param(
            b"Call me Ishmael. Some years ago--never mind how long precisely-", 0, 0x02A2E85470D6FD96, id="63 bytes"
        ),
    ],
)
def test_published_digests(data, seed, digest):
    assert _fast.xxh64(data, seed) == digest


@given(st.binary(max_size=300), seeds_, seeds_)
def test_xxh64_is_what_xxhash_says(data, one, two):
    assert _fast.xxh64(data, one) == xxhash.xxh64_intdigest(data, one)
    assert _fast.xxh64_pair(data, (one, two)) == (xxhash.xxh64_intdigest(data, one), xxhash.xxh64_intdigest(data, two))


def test_xxh64_of_much_and_of_unaligned_data():
    data = os.urandom((1 << 20) + 13)
    for start in range(9):
        part = memoryview(data)[start:]
        assert _fast.xxh64(part, 7) == xxhash.xxh64_intdigest(part, 7)


# ---- digests of files ----


def opened(tmp_path, data):
    return blockdiff.open_device(write_image(tmp_path / "image", data))


def side(device, mode="buffered"):
    return device.fileno(), device.direct_fileno() or -1, device.size, device.offset_align, mode


def wanted(*ranges):
    return Extents([(o * CHUNK, n * CHUNK, kind) for o, n, kind in ranges])


@pytest.mark.parametrize("mode", ["auto", "direct", "buffered", "mmap"])
def test_file_digests_are_what_xxhash_says(tmp_path, mode):
    data = os.urandom(600 * CHUNK)
    want = wanted((3, 1, 1), (4, 2, 2), (10, 400, 3))
    with opened(tmp_path, data) as device:
        sums, reader = Sums(want, 1, CHUNK), FileSums(side(device, mode))
        reader.run(sums, SEEDS)
        read = reader.bytes_read()
    chunks = [3, 4, 5, *range(10, 410)]
    assert list(sums.lengths) == [0 if at in (4, 5) else CHUNK for at in chunks]
    for i, at in enumerate(chunks):
        if at not in (4, 5):
            part = data[at * CHUNK : (at + 1) * CHUNK]
            assert tuple(sums.values[2 * i : 2 * i + 2]) == tuple(xxhash.xxh64_intdigest(part, seed) for seed in SEEDS)
    assert sum(read.values()) == 401 * CHUNK
    assert set(read) <= {"direct", "buffered"}
    assert len(sums) == 403


def test_the_first_bytes_as_many_as_the_other_side_has(tmp_path):
    data = bytearray(os.urandom(5 * CHUNK))
    data[100:CHUNK] = bytes(CHUNK - 100)
    data[CHUNK + 100 : 2 * CHUNK] = bytes(CHUNK - 101) + b"x"
    data[2 * CHUNK : 3 * CHUNK] = bytes(CHUNK)
    want = wanted((0, 5, 3))
    other, sums = Sums(want, 1, CHUNK), Sums(want, 2, CHUNK)
    for i, length in enumerate([100, 100, 0, CHUNK, -errno.EIO]):
        other.lengths[i] = length
    with opened(tmp_path, bytes(data)) as device:
        FileSums(side(device)).run(sums, SEEDS, other)
    assert list(sums.lengths) == [100, CHUNK, 0, CHUNK, -errno.ENODATA]
    assert sums.values[0] == xxhash.xxh64_intdigest(bytes(data[:100]), SEEDS[0])


def test_a_file_that_ends_early_is_not_known(tmp_path):
    with opened(tmp_path, os.urandom(10 * CHUNK + 5)) as device:
        sums = Sums(wanted((8, 4, 1)), 1, CHUNK)
        FileSums(side(device)).run(sums, SEEDS)
    assert list(sums.lengths) == [CHUNK, CHUNK, -errno.ENODATA, -errno.ENODATA]


def test_what_cannot_be_read_is_not_known():
    sums = Sums(wanted((0, 2, 1)), 1, CHUNK)
    FileSums((-1, -1, 2 * CHUNK, 1, "buffered")).run(sums, SEEDS)
    assert list(sums.lengths) == [-errno.EBADF] * 2


def test_cancelling(tmp_path):
    with opened(tmp_path, bytes(CHUNK)) as device:
        reader = FileSums(side(device))
        reader.cancel()
        with pytest.raises(Cancelled):
            reader.run(Sums(wanted((0, 1, 1)), 1, CHUNK), SEEDS)


def test_many_threads_share_one(tmp_path):
    data = os.urandom(512 * CHUNK)
    parts = [Sums(wanted((64 * k, 64, 1)), 1, CHUNK) for k in range(8)]
    with opened(tmp_path, data) as device:
        reader = FileSums(side(device))
        threads = [threading.Thread(target=reader.run, args=(part, SEEDS)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert reader.bytes_read() == {"buffered": len(data)}
    digests = [part.values[2 * i] for part in parts for i in range(64)]
    assert digests == [xxhash.xxh64_intdigest(data[at : at + CHUNK], SEEDS[0]) for at in range(0, len(data), CHUNK)]


# ---- verdicts ----


def sums_of(want, bit, contents):
    """Digests of (first bytes, of how many) for each chunk; None: not known."""
    sums = Sums(want, bit, CHUNK)
    for i, content in enumerate(contents):
        if content is not None:
            sums.lengths[i] = len(content)
            sums.values[2 * i], sums.values[2 * i + 1] = _fast.xxh64_pair(content, SEEDS)
    return sums


DATA, OTHER = os.urandom(CHUNK), os.urandom(CHUNK)
VERDICTS = [
    pytest.param(DATA, DATA, SUM_EQUAL, id="the same"),
    pytest.param(DATA, OTHER, SUM_DIFFERENT, id="other data"),
    pytest.param(DATA[:7], DATA[:7], SUM_EQUAL, id="the same tail"),
    pytest.param(DATA[:7], DATA[:6] + b"x", SUM_DIFFERENT, id="another tail"),
    pytest.param(DATA[:7], DATA[:7] + b"\0", SUM_UNKNOWN, id="tails of two lengths"),
    pytest.param(DATA[:7], DATA, SUM_UNKNOWN, id="a tail and data"),
    pytest.param(b"", b"", SUM_EQUAL, id="nothing and nothing"),
    pytest.param(b"", bytes(CHUNK), SUM_EQUAL, id="nothing and zeroes"),
    pytest.param(bytes(9), bytes(CHUNK), SUM_EQUAL, id="few zeroes and zeroes"),
    pytest.param(b"", DATA, SUM_DIFFERENT, id="nothing and data"),
    pytest.param(bytes(9), DATA[:33], SUM_DIFFERENT, id="zeroes and a tail"),
    pytest.param(None, DATA, SUM_UNKNOWN, id="not known"),
    pytest.param(None, None, SUM_UNKNOWN, id="neither known"),
]


@pytest.mark.parametrize(("one", "two", "verdict"), VERDICTS)
def test_verdicts(one, two, verdict):
    want = wanted((5, 1, 3))
    a, b = sums_of(want, 1, [one]), sums_of(want, 2, [two])
    assert tuples(judge_sums(a, b, SEEDS)) == [(5 * CHUNK, CHUNK, verdict)]
    assert tuples(judge_sums(b, a, SEEDS)) == [(5 * CHUNK, CHUNK, verdict)]


def test_both_digests_must_agree():
    want = wanted((0, 2, 3))
    a, b = sums_of(want, 1, [DATA, DATA]), sums_of(want, 2, [DATA, DATA])
    b.values[0] ^= 1
    b.values[3] ^= 1 << 63
    assert tuples(judge_sums(a, b, SEEDS)) == [(0, 2 * CHUNK, SUM_DIFFERENT)]


def test_verdicts_are_joined_over_neighbours_only():
    want = wanted((0, 2, 3), (2, 1, 1), (7, 1, 2))
    a, b = sums_of(want, 1, [DATA, DATA, b"", b""]), sums_of(want, 2, [DATA, OTHER, b"", DATA])
    verdicts = [(0, CHUNK, SUM_EQUAL), (CHUNK, CHUNK, SUM_DIFFERENT), (2 * CHUNK, CHUNK, SUM_EQUAL)]
    assert tuples(judge_sums(a, b, SEEDS)) == [*verdicts, (7 * CHUNK, CHUNK, SUM_DIFFERENT)]


def test_nonsense_is_refused():
    with pytest.raises(InvalidInput):
        Sums(Extents([(1, CHUNK, 1)]), 1, CHUNK)
    with pytest.raises(InvalidInput):
        Sums(Extents([(0, CHUNK + 1, 1)]), 1, CHUNK)
    with pytest.raises(InvalidInput):
        Sums(Extents(), 1, 1 << 17)
    with pytest.raises(InvalidInput):
        judge_sums(Sums(wanted((0, 1, 3)), 1, CHUNK), Sums(wanted((0, 1, 3)), 2, CHUNK), SEEDS)
