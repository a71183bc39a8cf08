import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.errors import InvalidInput
from blockdiff.testing import image
from tests import oracle
from tests.fixtures.images import random_pair, write_image, zero_ranges
from tests.fixtures.inprocess import READS, found, memory, verify

MIB = 1 << 20
SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 8192, 65536 + 777, MIB + 17]
BIG = [8 * MIB - 1, 8 * MIB, 8 * MIB + 1]
GRANULARITIES = [512, 1024, 4096, 65536, MIB]


def mutated(data, seed):
    """The content with a few changes, the first and last byte among them."""
    rng = random.Random(seed)
    b = bytearray(data)
    for at in {0, len(b) - 1, *(rng.randrange(len(b)) for _ in range(3))} if b else ():
        b[at] ^= 1 << rng.randrange(8)
    if len(b) > 9000:
        b[4096:8192] = bytes(4096)
        b[-700:-600] = rng.randbytes(100)
    return bytes(b)


@pytest.fixture
def pair(tmp_path):
    """Writes two contents and gives their paths."""

    def make(a, b, holes_a=(), holes_b=()):
        return write_image(tmp_path / "a", a, holes_a), write_image(tmp_path / "b", b, holes_b)

    return make


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("size", [*SIZES, *BIG])
def test_finds_all(pair, size, read):
    a = random.Random(size).randbytes(size)
    b = mutated(a, size)
    report = verify(*pair(a, b), read=read)
    assert found(report.differences) == oracle.differences(a, b)
    assert report.identical == (a == b)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("size", [*SIZES, *BIG])
def test_equal(pair, size, read):
    a = random.Random(size).randbytes(size)
    report = verify(*pair(a, a), read=read)
    assert report.identical
    assert report.bytes_compared == size
    assert report.bytes_read == 2 * size


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_granularities(pair, granularity, read):
    a = random.Random(granularity).randbytes(3 * MIB + 777)
    b = mutated(a, granularity)
    report = verify(*pair(a, b), granularity=granularity, read=read)
    assert found(report.differences) == oracle.differences(a, b, granularity)


@pytest.mark.parametrize("read", READS)
def test_every_class(pair, read):
    a = bytearray(b"A" * 10 * 4096)
    b = bytearray(a)
    a[4096:8192] = bytes(4096)
    b[3 * 4096 : 4 * 4096] = bytes(4096)
    b[5 * 4096 + 9] ^= 4
    b[7 * 4096 : 7 * 4096 + 2] = b"BB"
    b += b"tail"
    report = verify(*pair(a, b), read=read)
    assert found(report.differences) == [
        (4096, 4096, "src-zero"),
        (12288, 4096, "dst-zero"),
        (20480, 4096, "bit-flip"),
        (28672, 4096, "data"),
        (40960, 4, "size"),
    ]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param("64k:A 64k:- 64k:B", "64k:A 64k:0 64k:B", id="hole-zero"),
        pytest.param("64k:- 64k:A", "64k:- 64k:A", id="both-holes"),
        pytest.param("64k:- 64k:A", "64k:A 64k:-", id="exchanged"),
        pytest.param("1m:-", "1m:0", id="all-hole"),
        pytest.param("1m:- 5:A", "1m:0 5:B", id="tail"),
        pytest.param("4k:A 4k:- 4k:A 4k:-", "4k:A 4k:A 4k:- 4k:-", id="small"),
        pytest.param("60k:- 3000:A 100:-", "60k:0 3100:-", id="unaligned-end"),
        pytest.param("1m:- 4k:A 1m:-", "2m:- 4k:-", id="islands"),
        pytest.param("128k:-", "64k:-", id="sizes-of-holes"),
        pytest.param("128k:A", "64k:A 100k:-", id="longer-hole"),
    ],
)
@pytest.mark.parametrize("read", READS)
def test_pictures(any_dir, a, b, read):
    paths = any_dir / "a", any_dir / "b"
    image(a, paths[0])
    image(b, paths[1])
    contents = [path.read_bytes() for path in paths]
    if read == "direct" and any(device_refuses_direct(path) for path in paths):
        with pytest.raises(blockdiff.UnsupportedOperation, match="direct"):
            verify(*paths, read=read)
        return
    for granularity in (512, 65536):
        report = verify(*paths, granularity=granularity, read=read)
        assert found(report.differences) == oracle.differences(*contents, granularity)
    if read == "auto" and len(contents[0]) == len(contents[1]):
        assert oracle.qemu_identical(*paths) in (None, report.identical)


def device_refuses_direct(path):
    with blockdiff.open_device(path) as device:
        return device.direct_fileno() is None


@pytest.mark.parametrize("sizes", [(4096, 8192), (8192, 4096), (0, 4096), (4097, 4096), (100, 5000)], ids=str)
@pytest.mark.parametrize("policy", ["strict", "min"])
def test_sizes(pair, sizes, policy):
    a, b = (random.Random(0).randbytes(size) for size in sizes)
    report = verify(*pair(a, b), size=policy)
    assert found(report.differences) == oracle.differences(a, b, size=policy)
    assert report.identical == (policy == "min")
    assert any("sizes differ" in text for text in report.warnings) == (policy == "min")


def test_sizes_with_zeroes_beyond_are_not_equal(pair):
    a, b = b"A" * 4096, b"A" * 4096 + bytes(4096)
    report = verify(*pair(a, b, (), [(4096, 8192)]))
    assert not report.identical
    assert found(report.differences) == [(4096, 4096, "size")]


@pytest.mark.parametrize(
    "window", [(0, 0), (0, 1), (1, 4095), (511, 8000), (4096, 4096), (5000, 1), (60000, None)], ids=str
)
@pytest.mark.parametrize("read", READS)
def test_window(pair, window, read):
    a = random.Random(1).randbytes(70001)
    b = random.Random(2).randbytes(70001)
    offset, length = window
    report = verify(*pair(a, b), offset=offset, length=length, read=read)
    end = None if length is None else offset + length
    assert found(report.differences) == oracle.differences(a, b, start=offset, end=end)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, None), (0, -1), (4097, None), (0, 4097), (4000, 97)],
    ids=["negative", "negative-length", "past", "too-long", "ends-past"],
)
def test_window_outside(pair, offset, length):
    a = bytes(4096)
    with pytest.raises(InvalidInput):
        verify(*pair(a, a), offset=offset, length=length)


@pytest.mark.parametrize(
    "only",
    [
        pytest.param([], id="nothing"),
        pytest.param([(0, 70001)], id="all"),
        pytest.param([(1, 1), (4095, 2), (69999, 2)], id="bytes"),
        pytest.param([(100, 5000), (5100, 3), (8192, 4096), (30000, 40001)], id="unaligned"),
        pytest.param([(0, 512), (1024, 512), (4096 * 3, 512)], id="sectors"),
    ],
)
@pytest.mark.parametrize("granularity", [512, 4096, 65536])
@pytest.mark.parametrize("read", READS)
def test_only(pair, only, granularity, read):
    a = random.Random(1).randbytes(70001)
    b = random.Random(2).randbytes(70001)
    report = verify(*pair(a, b), extents=blockdiff.Extents(only), granularity=granularity, read=read)
    assert found(report.differences) == oracle.differences(a, b, granularity, only=only)
    assert report.skipped.get("not-listed", 0) == 70001 - sum(length for _, length in only)


def test_only_of_many_batches(pair):
    a, b = random.Random(1).randbytes(70001), random.Random(2).randbytes(70001)
    only = [(i, 50) for i in range(0, 70000, 100)]
    report = verify(*pair(a, b), extents=(blockdiff.Extents([e]) for e in only))
    assert found(report.differences) == oracle.differences(a, b, only=only)


def test_only_must_ascend(pair):
    a = bytes(9000)
    batches = [blockdiff.Extents([(4096, 4096)]), blockdiff.Extents([(0, 4096)])]
    with pytest.raises(InvalidInput):
        verify(*pair(a, a), extents=batches)


def test_window_and_only(pair):
    a, b = random.Random(1).randbytes(70001), random.Random(2).randbytes(70001)
    only = [(100, 5000), (30000, 20000)]
    report = verify(*pair(a, b), extents=blockdiff.Extents(only), offset=3000, length=40000)
    assert found(report.differences) == oracle.differences(a, b, only=only, start=3000, end=43000)


@pytest.mark.parametrize("workers", range(1, 9))
@pytest.mark.parametrize("read", READS)
def test_workers(big_pair, workers, read):
    a, b, expected = big_pair
    report = verify(a, b, workers=workers, read=read)
    assert report.workers == workers
    assert found(report.differences) == expected


@pytest.fixture(scope="module")
def big_pair(tmp_path_factory):
    """Two images of more than 64 MiB: nine tasks, changes at their borders, runs that go over them, a hole each."""
    directory = tmp_path_factory.mktemp("big")
    size = 8 * 8 * MIB + 4096 + 17
    a = bytearray(random.Random(5).randbytes(MIB) * (size // MIB + 1))[:size]
    a[20 * MIB : 21 * MIB] = bytes(MIB)
    b = bytearray(a)
    for at in range(8 * MIB, size, 8 * MIB):
        b[at - 4096 : at + 4096] = b"x" * 8192
    b[40 * MIB + 5] ^= 1
    b[-1] ^= 0xFF
    b[30 * MIB : 31 * MIB] = bytes(MIB)
    holes = [(20 * MIB, 21 * MIB)], [(30 * MIB, 31 * MIB)]
    a, b = bytes(a), bytes(b)
    paths = write_image(directory / "a", a, holes[0]), write_image(directory / "b", b, holes[1])
    os.sync()
    return *paths, oracle.differences(a, b)


def test_first(pair):
    a = bytes(40960)
    b = bytearray(a)
    b[9000] = b[20000] = 1
    report = verify(*pair(a, b), first=True)
    assert found(report.differences) == [(8192, 4096, "src-zero")]
    assert not report.identical
    assert not report.complete
    assert report.warnings == ["stopped at the first difference"]


def test_first_of_equal(pair):
    a = b"A" * 40960
    report = verify(*pair(a, a), first=True)
    assert report.identical
    assert report.complete


@pytest.mark.parametrize("limit", [0, 1, 3, 100])
def test_max_differences(pair, limit):
    a = bytes(20 * 4096)
    b = bytearray(a)
    for block in range(0, 20, 2):
        b[block * 4096] = 255
    report = verify(*pair(a, b), max_differences=limit)
    assert found(report.differences) == oracle.differences(a, b)[:limit]
    assert report.difference_count == 10
    assert report.differing_bytes == 10 * 4096
    assert not report.identical


def test_on_differences(pair):
    a, b = random.Random(1).randbytes(70001), random.Random(2).randbytes(70001)
    batches = []
    report = verify(*pair(a, b), on_differences=batches.append)
    assert [item for batch in batches for item in found(batch)] == oracle.differences(a, b)
    assert len(report.differences) == 0
    assert report.difference_count == len(oracle.differences(a, b))


STRICT = [
    pytest.param("64k:A 64k:-", "64k:A 64k:-", [], id="same"),
    pytest.param("64k:A 64k:-", "64k:A 64k:0", [(65536, 65536, "src-hole")], id="src-hole"),
    pytest.param("64k:A 64k:0", "64k:A 64k:-", [(65536, 65536, "dst-hole")], id="dst-hole"),
    pytest.param("64k:A 64k:-", "64k:A 64k:B", [(65536, 65536, "src-zero")], id="data"),
    pytest.param("4k:- 60k:A", "4k:0 60k:A", [(0, 4096, "src-hole")], id="one-block"),
    pytest.param("4k:A 4k:- 56k:A", "4k:A 4k:0 56k:A", [(4096, 4096, "src-hole")], id="block-between"),
]


@pytest.mark.parametrize(("a", "b", "expected"), STRICT)
@pytest.mark.parametrize("granularity", [4096, 65536])
def test_strict(ext4_dir, a, b, expected, granularity):
    paths = ext4_dir / "a", ext4_dir / "b"
    image(a, paths[0])
    image(b, paths[1])
    report = verify(*paths, strict=True, granularity=granularity)
    assert report.identical == (not expected)
    assert found(report.differences) == expected
    if (qemu := oracle.qemu_identical(*paths, strict=True)) is not None:
        assert report.identical == qemu
    assert verify(*paths).identical == (expected == [] or expected[0][2] != "src-zero")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param("A0", "A-", [(4096, 4096, "dst-hole")], id="zero-hole"),
        pytest.param("A-", "A0", [(4096, 4096, "src-hole")], id="hole-zero"),
        pytest.param("A0", "A0", [], id="zero-zero"),
        pytest.param("A-", "A-", [], id="hole-hole"),
    ],
)
def test_strict_tells_zero_from_hole(a, b, expected):
    from blockdiff.testing import MemoryDevice, content, extents

    devices = [MemoryDevice(content(picture), known=extents(picture)) for picture in (a, b)]
    assert found(verify(*devices, strict=True).differences) == expected
    assert verify(*devices).identical


def test_strict_zero_and_zeroes_in_data_are_both_allocated():
    from blockdiff.testing import MemoryDevice, extents

    a, b = MemoryDevice(bytes(8192), known=extents("00")), MemoryDevice(bytes(8192))
    assert verify(a, b, strict=True).identical
    assert verify(b, a, strict=True).identical


def test_the_same_file_proves_nothing(tmp_path):
    path = write_image(tmp_path / "a", random.Random(0).randbytes(100_000))
    os.link(path, tmp_path / "link")
    for other in (path, tmp_path / "link"):
        with pytest.raises(InvalidInput, match="itself"):
            verify(path, other)


def test_unknown_words(pair):
    paths = pair(b"", b"")
    with pytest.raises(InvalidInput, match="size policy"):
        verify(*paths, size="max")
    with pytest.raises(InvalidInput, match="read path"):
        verify(*paths, read="fast")
    for granularity in (0, 256, 3000, 2 * MIB, -4096):
        with pytest.raises(InvalidInput, match="granularity"):
            verify(*paths, granularity=granularity)
    for workers in (-1, 65):
        with pytest.raises(InvalidInput, match="workers"):
            verify(*paths, workers=workers)


def test_rate_does_not_change_the_findings(pair):
    a = random.Random(3).randbytes(MIB + 17)
    b = mutated(a, 1)
    paths = pair(a, b)
    for granularity in (512, 65536, MIB):
        options = blockdiff.ReadOptions(granularity=granularity, rate=64 * MIB)
        report = blockdiff.verify(*paths, options=options)
        assert found(report.differences) == oracle.differences(a, b, granularity)


def test_a_low_rate_does_not_cut_granules(pair, monkeypatch):
    monkeypatch.setattr("blockdiff.engine.progress.time.sleep", lambda _: None)
    a = bytearray(b"A" * 2 * MIB)
    b = bytearray(a)
    b[0] ^= 1
    b[MIB - 1] ^= 1
    report = blockdiff.verify(*pair(a, b), options=blockdiff.ReadOptions(granularity=MIB, rate=1000))
    assert found(report.differences) == [(0, MIB, "data")]


def test_far_offsets(tmp_path):
    """Past 4 GiB, and past what a signed 32-bit count of sectors holds."""
    size = 5 << 40
    places = [(1 << 32) - 1, 1 << 32, (1 << 32) + 5, 1 << 41, size - 1]
    for name, byte in (("a", b"A"), ("b", b"B")):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
            for at in places:
                os.pwrite(file.fileno(), byte, at)
    report = verify(tmp_path / "a", tmp_path / "b")
    blocks = sorted({at // 4096 * 4096 for at in places})
    assert found(report.differences) == oracle.joined((block, 4096, "data") for block in blocks)
    assert report.bytes_read <= 2 * 4096 * len(blocks)


def equal_by_every_way(directory, a, b, granularity, rng):
    """All read paths, workers and holes say what the oracle says."""
    expected = oracle.differences(a, b, granularity)
    holes = [[zero_ranges(data, rng) for _ in range(2)] for data in (a, b)]
    for read in READS:
        paths = [
            write_image(directory / n, data, rng.choice(h)) for n, data, h in (("a", a, holes[0]), ("b", b, holes[1]))
        ]
        report = verify(*paths, granularity=granularity, read=read, workers=rng.randrange(9))
        assert found(report.differences) == expected, read
    report = verify(memory(a, holes[0][0]), memory(b, holes[1][1]), granularity=granularity)
    assert found(report.differences) == expected, "memory"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 60), granularity=st.sampled_from([512, 4096, 65536]))
def test_random_pairs(tmp_path_factory, seed, granularity):
    a, b, rng = random_pair(seed)
    equal_by_every_way(tmp_path_factory.getbasetemp(), a, b, granularity, rng)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 60),
    granularity=st.sampled_from([512, 4096]),
    cuts=st.lists(st.integers(0, 66000), max_size=12, unique=True),
)
def test_random_windows_and_lists(tmp_path_factory, seed, granularity, cuts):
    a, b, rng = random_pair(seed)
    cuts = sorted({min(cut, len(a), len(b)) for cut in cuts})
    only = [(lo, hi - lo) for lo, hi in zip(cuts[::2], cuts[1::2], strict=False)]
    base = tmp_path_factory.getbasetemp()
    paths = write_image(base / "a", a, zero_ranges(a, rng)), write_image(base / "b", b, zero_ranges(b, rng))
    read = rng.choice(("auto", "buffered", "mmap"))
    report = verify(*paths, granularity=granularity, read=read, extents=blockdiff.Extents(only))
    assert found(report.differences) == oracle.differences(a, b, granularity, only=only)
    offset = rng.randrange(min(len(a), len(b)) + 1)
    report = verify(*paths, granularity=granularity, read=read, offset=offset)
    assert found(report.differences) == oracle.differences(a, b, granularity, start=offset)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_pairs(tmp_path):
    """Zero missed, zero invented; a failure names the seed."""
    for seed in range(10_000):
        a, b, rng = random_pair(seed)
        granularity = rng.choice((512, 1024, 4096, 4096, 16384, 65536))
        expected = oracle.differences(a, b, granularity)
        paths = [write_image(tmp_path / n, data, zero_ranges(data, rng)) for n, data in (("a", a), ("b", b))]
        reads = ["buffered", "mmap", "auto"] + (["direct"] if seed % 8 == 0 else [])
        for read in reads:
            report = verify(*paths, granularity=granularity, read=read)
            assert found(report.differences) == expected, (seed, read)
            assert report.identical == (a == b), (seed, read)
        if seed % 4 == 0:
            assert found(verify(memory(a), memory(b), granularity=granularity).differences) == expected, seed
        if seed % 100 == 0 and len(a) == len(b):
            assert oracle.cmp_count(*paths) == len(oracle.differing_offsets(a, b)), seed
            assert oracle.qemu_identical(*paths) in (None, a == b), seed
