"""XXH3-128 with every set of instructions that this processor has, against PyPI's package; and readers that digest."""

import os
import random

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import SEG_COMPARE, SEG_DST_HOLE, Digester, Extents, Reader, diff_digests, digest_buffer
from blockdiff._hash import Xxh3
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

LENGTHS = [*range(1, 600), 1000, 4095, 4096, 4097, 65535, 65536, 65537, 200_000]
BLOCK = 4096


def available():
    found = []
    for name in ("base", "avx2", "avx512"):
        try:
            found.append(Xxh3(0, name))
        except ValueError:
            continue
    return found


@pytest.mark.parametrize("which", range(len(available())))
def test_every_length_and_seed(which):
    name = available()[which].instructions
    data = random.Random(1).randbytes(max(LENGTHS))
    for seed in (0, 1, 2, (1 << 64) - 1):
        hasher = Xxh3(seed, name)
        for length in LENGTHS:
            assert hasher.blocks(data[:length], length) == xxhash.xxh3_128_digest(data[:length], seed=seed), length


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_blocks_are_one_after_the_other(data, block):
    expected = [xxhash.xxh3_128_digest(data[at : at + block]) for at in range(0, len(data), block)]
    assert Xxh3().blocks(data, block) == b"".join(expected)


def test_unknown_instructions_and_blocks_of_nothing():
    with pytest.raises(ValueError, match="sse9"):
        Xxh3(0, "sse9")
    with pytest.raises(ValueError, match="at least a byte"):
        Xxh3().blocks(b"x", 0)


def called(data, block):
    return b"".join(xxhash.xxh3_128_digest(data[at : at + block]) for at in range(0, len(data), block))


@pytest.mark.parametrize("native", [True, False])
@given(
    st.lists(st.sampled_from([bytes(BLOCK), b"a" * BLOCK, b"\0" * 4095 + b"b"]), max_size=12), st.binary(max_size=99)
)
def test_buffers(native, blocks, tail):
    data = b"".join(blocks) + tail
    xxh3 = Xxh3()
    zero = called(bytes(BLOCK), BLOCK)
    digester = Digester(xxh3.capsule() if native else called, zero, 8192 + len(data))
    kinds, digests = digest_buffer(digester, data, 8192, BLOCK)
    assert digests == called(data, BLOCK)
    expected = [any(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
    told = [e.kind == Kind.DATA for e in kinds for _ in range(e.offset, e.end, BLOCK)]
    assert told == expected
    assert kinds.total() == len(data)


def test_what_a_hasher_raises_is_raised():
    def fails(data, block):
        raise KeyError("nothing")

    digester = Digester(fails, bytes(16), BLOCK)
    with pytest.raises(KeyError, match="nothing"):
        digest_buffer(digester, b"x" * BLOCK, 0, BLOCK)
    for wrong in (b"short", bytearray(16), None):
        with pytest.raises(RuntimeError, match="another size"):
            digest_buffer(Digester(lambda *_, wrong=wrong: wrong, bytes(16), BLOCK), b"x" * BLOCK, 0, BLOCK)


def test_a_view_that_is_kept_is_closed():
    kept = []

    def keeps(data, block):
        kept.append(data)
        return called(data, block)

    digest_buffer(Digester(keeps, bytes(16), BLOCK), b"x" * BLOCK, 0, BLOCK)
    with pytest.raises(ValueError, match="released"):
        len(kept[0])


def test_parts_of_blocks_are_refused(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"x" * 20_000)
    fd = os.open(path, os.O_RDONLY)
    xxh3 = Xxh3()
    digester = Digester(xxh3.capsule(), called(bytes(BLOCK), BLOCK), 20_000)
    reader = Reader((fd, -1, 20_000, 512, "buffered"), None, granularity=BLOCK, digester=digester)
    (_, digests), _ = reader.run(Extents([(0, 20_000, SEG_DST_HOLE)]))
    assert digests == called(b"x" * 20_000, BLOCK)
    for segment in ((512, 4096, SEG_DST_HOLE), (0, 512, SEG_DST_HOLE), (16384, 3000, SEG_DST_HOLE)):
        with pytest.raises(InvalidInput, match="whole blocks"):
            reader.run(Extents([segment]))
    with pytest.raises(InvalidInput):
        reader.run(Extents([(0, 4096, SEG_COMPARE)]))
    with pytest.raises(RuntimeError, match="a part of a block"):
        digest_buffer(digester, b"x" * 100, 0, BLOCK)
    with pytest.raises(InvalidInput, match="has no digest"):
        Reader((fd, -1, 20_000, 512, "buffered"), None, granularity=BLOCK, digester=digester, keep_going=True)
    with pytest.raises(InvalidInput, match="do not go"):
        Digester(xxh3.capsule(), bytes(32), 0)
    os.close(fd)


@pytest.mark.parametrize("hasher", ["native", "called"])
def test_a_page_that_vanishes_is_no_zeroes(tmp_path, hasher):
    """The file is cut while its mapping is digested: an error, never the digest of what is not there."""
    path, size = tmp_path / "image", 1 << 20
    path.write_bytes(b"x" * size)
    fd = os.open(path, os.O_RDONLY)
    xxh3 = Xxh3()

    def cuts(data, block):
        os.truncate(path, 8192)
        return called(data, block)

    if hasher == "native":
        os.truncate(path, 8192)
    digester = Digester(xxh3.capsule() if hasher == "native" else cuts, called(bytes(BLOCK), BLOCK), size)
    reader = Reader((fd, -1, size, 512, "mmap"), None, granularity=BLOCK, digester=digester)
    from blockdiff._fast import ReadFailed

    with pytest.raises(ReadFailed):
        reader.run(Extents([(0, size, SEG_DST_HOLE)]))
    os.close(fd)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=40), st.integers(1, BLOCK))
def test_differences_of_digests(pairs, last):
    value = [bytes(16), b"a" * 16, b"b" * 16]
    end = 8192 + (len(pairs) - 1) * BLOCK + last if pairs else 8192
    found = diff_digests(
        b"".join(value[a] for a, _ in pairs), b"".join(value[b] for _, b in pairs), bytes(16), 8192, BLOCK, end
    )
    told = {at: e.kind for e in found for at in range(e.offset, e.end, BLOCK)}
    for i, (a, b) in enumerate(pairs):
        kind = None if a == b else Kind.SRC_ZERO if a == 0 else Kind.DST_ZERO if b == 0 else Kind.DIFF_DATA
        assert told.get(8192 + i * BLOCK) == kind
    assert not len(found) or found.end <= end


def test_digests_that_do_not_fit():
    for wrong in ((b"a" * 16, b"a" * 32, bytes(16)), (b"a" * 15, b"a" * 15, bytes(16)), (b"", b"", b"")):
        with pytest.raises(InvalidInput):
            diff_digests(*wrong, 0, BLOCK, BLOCK)
    with pytest.raises(InvalidInput, match="past the end"):
        diff_digests(b"a" * 32, b"b" * 32, bytes(16), 0, BLOCK, BLOCK)


@pytest.mark.parametrize("block", [101, 1 << 32, (1 << 63) + 1, (1 << 64) - 1])
def test_blocks_larger_than_all_that_there_is(block):
    data = random.Random(5).randbytes(100)
    assert Xxh3().blocks(data, block) == xxhash.xxh3_128_digest(data)
    assert Xxh3().blocks(b"", block) == b""
