"""The native reader and its judges, without the engine around them."""

import array
import errno
import os
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff import _fast
from blockdiff._fast import Cancelled, Extents, Reader, ReadFailed, judge_buffers, split_plan
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind
from tests import oracle
from tests.fixtures.images import random_pair, write_image
from tests.fixtures.inprocess import found

COMPARE, SRC_HOLE, DST_HOLE, SKIP_HOLE, SKIP_SHARED, MAP, COPY = (
    *(_fast.SEG_COMPARE, _fast.SEG_SRC_HOLE, _fast.SEG_DST_HOLE, _fast.SEG_SKIP_HOLE),
    *(_fast.SEG_SKIP_SHARED, _fast.SEG_MAP, _fast.SEG_COPY),
)
MIB = 1 << 20
MODES = ["auto", "direct", "buffered", "mmap"]


class Pair:
    """Two files and a reader over them."""

    def __init__(self, directory, a, b, mode="buffered", target_mode=None, **options):
        self.devices = [blockdiff.open_device(write_image(directory / n, d)) for n, d in (("a", a), ("b", b))]
        modes = (mode, target_mode or mode)
        sides = [self.side(device, mode) for device, mode in zip(self.devices, modes, strict=True)]
        self.reader = Reader(*sides, granularity=options.pop("granularity", 4096), **options)

    @staticmethod
    def side(device, mode):
        return device.fileno(), device.direct_fileno() or -1, device.size, device.offset_align, mode

    def __enter__(self):
        return self.reader

    def __exit__(self, *exc):
        self.reader.close()
        for device in self.devices:
            device.close()


# ---- judge_buffers ----


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)])
def test_any_buffer(kind):
    a, b = b"A" * 8192, b"A" * 4096 + b"B" * 4096
    assert found(judge_buffers(COMPARE, kind(a), kind(b), 0, granularity=4096)) == [(4096, 4096, "data")]


@pytest.mark.parametrize("offset", [0, 1, 511, 4095, (1 << 62) + 5])
@pytest.mark.parametrize("length", [0, 1, 2, 4096, 10001])
@pytest.mark.parametrize("granularity", [512, 4096, 65536])
def test_granules_are_on_a_grid_of_the_device(offset, length, granularity):
    rng = random.Random(length)
    a, b = rng.randbytes(length), rng.randbytes(length)
    got = found(judge_buffers(COMPARE, a, b, offset, granularity=granularity))
    start = offset % granularity
    shifted = oracle.differences(bytes(start) + a, bytes(start) + b, granularity, start=start)
    assert got == [(at + offset - start, n, name) for at, n, name in shifted]


@pytest.mark.parametrize("size", [1, 7, 15, 16, 17, 255, 256, 257, 511, 512, 4096])
def test_every_single_bit(size):
    a = bytes(random.Random(size).randrange(1, 256) for _ in range(size))
    step = max(1, size * 8 // 200)
    for bit in [*range(0, size * 8, step), size * 8 - 1]:
        b = bytearray(a)
        b[bit // 8] ^= 1 << bit % 8
        expected = [(0, size, oracle.class_of(a, bytes(b)))]
        assert found(judge_buffers(COMPARE, a, b, 0, granularity=4096)) == expected
        zero = bytearray(size)
        zero[bit // 8] = 1 << bit % 8
        for args, name in (((COMPARE, bytes(size), zero), "src-zero"), ((COMPARE, zero, bytes(size)), "dst-zero")):
            assert found(judge_buffers(*args, 0, granularity=4096)) == [(0, size, name)]
        assert found(judge_buffers(SRC_HOLE, None, zero, 0, granularity=4096)) == [(0, size, "src-zero")]
        assert found(judge_buffers(DST_HOLE, zero, None, 0, granularity=4096)) == [(0, size, "dst-zero")]
        assert found(judge_buffers(MAP, zero, None, 0, granularity=4096)) == [(0, size, "data")]


def test_two_bits_are_no_flip():
    for first, second in ((0, 1), (0, 4095 * 8), (63, 64), (100, 20000)):
        a = b"\xaa" * 4096
        b = bytearray(a)
        for bit in (first, second):
            b[bit // 8] ^= 1 << bit % 8
        assert found(judge_buffers(COMPARE, a, b, 0, granularity=4096)) == [(0, 4096, "data")]


@pytest.mark.parametrize("strict", [False, True])
def test_holes(strict):
    zeroes = bytes(8192)
    assert found(judge_buffers(SRC_HOLE, None, zeroes, 0, granularity=4096, strict=strict)) == (
        [(0, 8192, "src-hole")] if strict else []
    )
    assert found(judge_buffers(DST_HOLE, zeroes, None, 0, granularity=4096, strict=strict)) == (
        [(0, 8192, "dst-hole")] if strict else []
    )


def test_map():
    data = b"A" * 4096 + bytes(4096) + b"\0" * 4095 + b"A" + bytes(10)
    assert found(judge_buffers(MAP, data, None, 0, granularity=4096)) == [
        (0, 4096, "data"),
        (4096, 4096, "zero"),
        (8192, 4096, "data"),
        (12288, 10, "zero"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((COMPARE, b"A", None, 0), id="no-target"),
        pytest.param((COMPARE, None, b"A", 0), id="no-source"),
        pytest.param((SRC_HOLE, b"A", None, 0), id="src-hole"),
        pytest.param((DST_HOLE, None, b"A", 0), id="dst-hole"),
        pytest.param((MAP, None, None, 0), id="map"),
        pytest.param((COMPARE, b"A", b"AB", 0), id="lengths"),
    ],
)
def test_missing_buffers(arguments):
    with pytest.raises(InvalidInput):
        judge_buffers(*arguments, granularity=4096)


@pytest.mark.parametrize("granularity", [0, -512, 100, 256, 4097])
def test_bad_granularity(granularity, tmp_path):
    with pytest.raises(InvalidInput, match="granularity"):
        judge_buffers(COMPARE, b"A", b"B", 0, granularity=granularity)
    with pytest.raises(InvalidInput, match="granularity"):
        Reader(None, None, granularity=granularity)


def test_no_buffer_at_all():
    with pytest.raises(TypeError):
        judge_buffers(COMPARE, "text", b"text", 0, granularity=4096)


@settings(max_examples=200)
@given(seed=st.integers(0, 1 << 60), granularity=st.sampled_from([512, 4096, 65536]), offset=st.integers(0, 100_000))
def test_random_buffers(seed, granularity, offset):
    a, b, _ = random_pair(seed)
    a, b = (data[: min(len(a), len(b))] for data in (a, b))
    expected = oracle.differences(bytes(offset) + a, bytes(offset) + b, granularity, start=offset)
    assert found(judge_buffers(COMPARE, a, b, offset, granularity=granularity)) == expected


# ---- split_plan ----


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5000), st.sampled_from(range(16))), max_size=20),
    st.integers(1, 4000),
    st.integers(1, 50),
)
def test_split(pieces, size, most):
    at, segments = 0, []
    for gap, length, kind in pieces:
        segments.append((at + gap, length, kind))
        at += gap + length
    tasks = split_plan(Extents(segments), size, most)
    wanted = [s for s in segments if s[2] & 7 not in (SKIP_HOLE, SKIP_SHARED, _fast.SEG_SKIP_DIGEST)]
    assert [b for task in tasks for e in task for b in (e.offset, e.end)] == sorted(
        b for task in tasks for e in task for b in (e.offset, e.end)
    )
    assert {(b, e.kind) for task in tasks for e in task for b in range(e.offset, e.end)} == {
        (b, kind) for offset, length, kind in wanted for b in range(offset, offset + length)
    }
    for task in tasks:
        assert len(task)
        assert len(task) <= most
        assert task.total() < 2 * size
        assert all(e.offset // size == (e.end - 1) // size for e in task)


def test_split_needs_a_size():
    for size in (0, -1):
        with pytest.raises(InvalidInput):
            split_plan(Extents([(0, 4096)]), size)


def test_split_is_whole_granules():
    (first, second) = split_plan(Extents([(0, 10 * MIB)]), 8 * MIB)
    assert [list(first), list(second)] == [[(0, 8 * MIB, 0)], [(8 * MIB, 2 * MIB, 0)]]


# ---- Reader ----


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk", [4096, 65536, 512 * 1024])
@pytest.mark.parametrize("depth", [1, 2, 16])
def test_chunks_and_depths(tmp_path, mode, chunk, depth):
    size = 3 * MIB + 777
    a = random.Random(0).randbytes(size)
    b = bytearray(a)
    for at in (0, 4095, 4096, chunk - 1, chunk, 2 * MIB - 1, 2 * MIB, size - 1):
        b[at] ^= 3
    with Pair(tmp_path, a, bytes(b), mode, chunk=chunk, queue_depth=depth, window=chunk) as reader:
        got, bad = reader.run(Extents([(0, size)]))
        assert found(got) == oracle.differences(a, bytes(b))
        assert len(bad) == 0
        assert reader.compared == size


@pytest.mark.parametrize("mode", MODES)
def test_how_it_read_is_told(tmp_path, mode):
    with Pair(tmp_path, b"A" * 100_000, b"A" * 100_000, mode) as reader:
        reader.run(Extents([(0, 100_000)]))
        path = {"auto": "mmap"}.get(mode, mode)  # just written: it is in the page cache
        for side in (0, 1):
            assert set(reader.bytes_read(side)) <= {path, "buffered", "direct"}
            assert sum(reader.bytes_read(side).values()) == 100_000
        if mode in ("buffered", "mmap"):
            assert reader.bytes_read(0) == {path: 100_000}
        assert reader.direct_errno(0) == reader.direct_errno(1) == 0


@pytest.mark.parametrize(
    "modes", [("mmap", "direct"), ("direct", "buffered"), ("buffered", "mmap"), ("auto", "direct")]
)
def test_sides_read_in_different_ways(tmp_path, modes):
    a, b, _ = random_pair(7, 300_001)
    a, b = (data[: min(len(a), len(b))] for data in (a, b))
    with Pair(tmp_path, a, b, *modes) as reader:
        assert found(reader.run(Extents([(0, len(a))]))[0]) == oracle.differences(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_segments_read_only_what_they_name(tmp_path, mode):
    a, b = b"A" * 65536, b"B" * 65536
    plan = Extents([(0, 4096, SKIP_HOLE), (4096, 4096, SRC_HOLE), (12288, 100, DST_HOLE), (20000, 1, COMPARE)])
    with Pair(tmp_path, a, b, mode) as reader:
        got, _ = reader.run(plan)
        assert found(got) == [(4096, 4096, "src-zero"), (12288, 100, "dst-zero"), (20000, 1, "data")]
        assert sum(reader.bytes_read(0).values()) == 101
        assert sum(reader.bytes_read(1).values()) == 4097
        assert reader.compared == 4197


def test_a_reader_runs_many_plans(tmp_path):
    with Pair(tmp_path, b"A" * 65536, b"B" * 65536, "direct") as reader:
        for _ in range(3):
            assert found(reader.run(Extents([(0, 65536)]))[0]) == [(0, 65536, "data")]
            reader.close()
        assert reader.run(Extents()) == (Extents(), Extents())
        assert reader.compared == 3 * 65536


@pytest.mark.parametrize("mode", MODES)
def test_the_end_of_the_file_comes_too_early(tmp_path, mode):
    pair = Pair(tmp_path, b"A" * 100_000, b"A" * 100_000, mode)
    os.truncate(tmp_path / "b", 50_001)
    with pair as reader, pytest.raises(ReadFailed) as caught:
        reader.run(Extents([(0, 100_000)]))
    error = caught.value
    assert (error.side, error.errno, error.writing) == (1, 0, False)
    assert error.offset <= 50_001 < error.offset + error.length


def test_cancel(tmp_path):
    with Pair(tmp_path, b"A" * 65536, b"A" * 65536) as reader:
        reader.cancel()
        with pytest.raises(Cancelled):
            reader.run(Extents([(0, 65536)]))


def test_cancel_from_another_thread(tmp_path):
    size = 64 * MIB
    pair = Pair(tmp_path, b"", b"")
    for name in "ab":
        os.truncate(tmp_path / name, size)
    for device in pair.devices:
        device.size = size
    reader = Reader(*(Pair.side(device, "buffered") for device in pair.devices), granularity=512)
    outcome = []

    def work():
        try:
            while True:
                reader.run(Extents([(0, size)]))
        except Cancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    reader.cancel()
    thread.join(30)
    assert outcome
    pair.__exit__()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_copy(tmp_path, mode, sparse):
    data = random.Random(0).randbytes(100_001)
    data = data[:20_000] + bytes(30_000) + data[50_000:]
    target = tmp_path / "c"
    target.write_bytes(b"X" * len(data))
    fd = os.open(target, os.O_RDWR)
    with Pair(tmp_path, data, b"", mode, write_fd=fd, write_sparse=sparse) as reader:
        reader.run(Extents([(0, 60_001, COPY), (70_000, 30_001, COPY)]))
        assert reader.written + reader.punched == 90_002
        assert bool(reader.punched) == sparse
    os.close(fd)
    assert target.read_bytes() == data[:60_001] + b"X" * 9_999 + data[70_000:]


def test_writing_fails(tmp_path):
    fd = os.open("/dev/full", os.O_RDWR)
    with Pair(tmp_path, b"A" * 8192, b"", write_fd=fd) as reader, pytest.raises(ReadFailed) as caught:
        reader.run(Extents([(0, 8192, COPY)]))
    os.close(fd)
    assert (caught.value.writing, caught.value.errno, caught.value.offset) == (True, errno.ENOSPC, 0)


def test_reading_fails(tmp_path):
    pair = Pair(tmp_path, b"A" * 8192, b"A" * 8192)
    directory = os.open(tmp_path, os.O_RDONLY)
    side = (directory, -1, 8192, 1, "buffered")
    reader = Reader(side, Pair.side(pair.devices[1], "buffered"), granularity=4096)
    with pair, pytest.raises(ReadFailed) as caught:
        reader.run(Extents([(0, 8192)]))
    os.close(directory)
    assert (caught.value.side, caught.value.errno) == (0, errno.EISDIR)


def test_findings_are_joined_over_chunks_and_segments(tmp_path):
    with Pair(tmp_path, b"A" * 65536, b"B" * 65536, chunk=4096) as reader:
        got, _ = reader.run(Extents([(i, 4096) for i in range(0, 65536, 4096)]))
    assert found(got) == [(0, 65536, "data")]


def test_cached_bytes(tmp_path):
    path = write_image(tmp_path / "a", b"A" * 65536)
    with path.open("rb") as file:
        assert _fast.cached_bytes(file.fileno(), 0, 65536) in (-1, 65536)


def test_constants_agree_with_the_kinds():
    assert [int(kind) for kind in (Kind.DIFF_DATA, Kind.SRC_ZERO, Kind.DST_ZERO, Kind.BIT_FLIP)] == [16, 17, 18, 19]
