"""The evidence of a block: each class on purpose, and none without what it rests on."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.triage.evidence import BLOCK, FINDINGS, SECTOR, judge

rng = random.Random(11)
OLD, NEW, NOISE = (rng.randbytes(BLOCK) for _ in range(3))


def sectors(text, **contents):
    """A block of sectors: n of the new content, o of the old, z zeroes, x noise."""
    of = {"n": NEW, "o": OLD, "z": bytes(BLOCK), "x": NOISE}
    return b"".join(of[c][i * SECTOR : (i + 1) * SECTOR] for i, c in enumerate(text))


CASES = [
    # the source is all new; the target, and what is said with and without the history
    pytest.param("oooooooo", "stale", "unknown", id="all-old"),
    pytest.param("nnnooooo", "torn", "unknown", id="prefix-arrived"),
    pytest.param("oooonnnn", "torn", "unknown", id="suffix-arrived"),
    pytest.param("nnonnoon", "stale", "unknown", id="old-sectors-anywhere"),
    pytest.param("nnnzzzzz", "torn", "torn", id="prefix-arrived-rest-zero"),
    pytest.param("zzzznnnn", "torn", "torn", id="suffix-arrived-rest-zero"),
    pytest.param("nnzznnnn", "unknown", "unknown", id="zeroes-in-between"),
    pytest.param("nnnxxxxx", "unknown", "unknown", id="prefix-arrived-rest-noise"),
    pytest.param("nnnoooox", "unknown", "unknown", id="almost-torn"),
    pytest.param("zzzzzzzz", "dst-zero", "dst-zero", id="zeroes"),
    pytest.param("nnnnnnnn", None, None, id="equal"),
]


@pytest.mark.parametrize(("target", "with_history", "without"), CASES)
def test_new_source(target, with_history, without):
    found = judge(NEW, sectors(target), old=[None, OLD])
    assert (found and found.finding) == with_history
    if with_history == "stale" or (with_history == "torn" and "o" in target):
        assert found.history == (1,)
    plain = judge(NEW, sectors(target))
    assert (plain and plain.finding) == without
    assert plain is None or plain.history == ()


@pytest.mark.parametrize(("target", "arrived"), [("nnnooooo", (0, 1536)), ("onnnnnnn", (512, 4096))])
def test_what_has_arrived_is_the_part_that_is_new(target, arrived):
    assert judge(NEW, sectors(target), old=[OLD]).arrived == arrived


def test_a_part_that_was_never_changed_has_not_arrived():
    source = OLD[: 4 * SECTOR] + NEW[4 * SECTOR :]
    found = judge(source, OLD, old=[OLD])
    assert (found.finding, found.whole) == ("stale", True)


def test_zeroes_that_were_zeroes_before_are_zeroes_with_a_history():
    found = judge(NEW, bytes(BLOCK), old=[bytes(BLOCK), OLD])
    assert (found.finding, found.history) == ("dst-zero", (0,))


def test_a_zeroed_source_against_the_old_data_is_stale():
    assert judge(bytes(BLOCK), OLD, old=[OLD]).finding == "stale"
    assert judge(bytes(BLOCK), OLD, old=[NEW]).finding == "src-zero"


@given(st.integers(0, BLOCK * 8 - 1))
def test_each_bit_is_found(place):
    byte, bit = divmod(place, 8)
    target = bytearray(NEW)
    target[byte] ^= 1 << bit
    found = judge(NEW, bytes(target))
    assert (found.finding, found.byte, found.bit, found.old, found.new) == (
        "bit-flip",
        byte,
        bit,
        NEW[byte],
        target[byte],
    )


def test_two_bits_are_no_flip():
    target = bytes([NEW[0] ^ 1, NEW[1] ^ 1]) + NEW[2:]
    assert judge(NEW, target).finding == "unknown"


def test_a_history_explains_a_single_bit_better():
    old = bytes([NEW[0] ^ 1]) + NEW[1:]
    assert judge(NEW, old, old=[old]).finding == "stale"


@pytest.mark.parametrize("places", [(), (512,), (512, -4096)], ids=["nowhere", "once", "twice"])
def test_shifted_only_where_there_is_one_place(places):
    found = judge(NEW, NOISE, near=lambda _offset, _moved: places)
    assert found.finding == ("shifted" if len(places) == 1 else "unknown")
    assert found.shifts == places


@pytest.mark.parametrize(
    "target", [b"\xff" * BLOCK, b"ab" * (BLOCK // 2), bytes(BLOCK - 1) + b"x"], ids=["constant", "periodic", "one-byte"]
)
def test_bytes_that_are_anywhere_are_not_looked_for(target):
    def near(_offset, _moved):
        raise AssertionError("searched")

    assert judge(NEW, target, near=near).finding == "unknown"


def test_only_the_sectors_that_differ_are_looked_for():
    asked = []
    judge(NEW, sectors("nnxxnnnn"), near=lambda offset, moved: asked.append((offset, moved)) or ())
    assert asked == [(2 * SECTOR, NOISE[2 * SECTOR : 4 * SECTOR])]


def test_a_digest_says_stale():
    found = judge(NEW, NOISE, old=[None, None], digested=[1])
    assert (found.finding, found.history, found.whole) == ("stale", (1,), True)


@given(
    st.lists(st.sampled_from("nozx"), min_size=1, max_size=8),
    st.lists(st.sampled_from("nozx"), min_size=8, max_size=8),
    st.integers(0, SECTOR - 1),
)
def test_what_is_said_is_true(target, source, cut):
    """Whatever is compared, the claim can be checked against the bytes; also of a block that is cut short."""
    size = max(1, len(target) * SECTOR - cut)
    a, b = sectors(source)[:size], sectors(target)[:size]
    found = judge(a, b, old=[OLD[:size]])
    assert (found is None) == (a == b)
    if found is None:
        return
    assert found.finding in FINDINGS
    if found.finding == "stale":
        assert all(b[i] == OLD[i] for i in range(size) if a[i] != b[i])
        assert found.whole == (b == OLD[:size])
    elif found.finding == "torn":
        low, high = found.arrived
        assert (low == 0) != (high == size)
        assert 0 < high - low < size
        assert a[low:high] == b[low:high]
        rest = OLD if found.rest == "history" else bytes(BLOCK)
        assert all(b[i] == rest[i] for i in range(size) if not low <= i < high)
    elif found.finding == "dst-zero":
        assert not any(b)
    elif found.finding == "src-zero":
        assert not any(a)
    elif found.finding == "unknown":
        assert any(b[i] != OLD[i] for i in range(size) if a[i] != b[i])


def test_random_blocks_are_never_called_what_they_are_not():
    """Blocks of few kinds of sectors, with some bits changed; each claim is checked sector by sector."""
    count = int(os.environ.get("BLOCKDIFF_TRIAGE_FUZZ", "2000"))
    dice = random.Random(int(os.environ.get("BLOCKDIFF_TRIAGE_SEED", "1")))
    for _ in range(count):
        size = BLOCK - dice.choice((0, 0, 0, 1, 511, 512, 4000))
        a, b, old = (sectors(dice.choices("nozx", (5, 3, 2, 1), k=8))[:size] for _ in range(3))
        if dice.random() < 0.3:
            b = bytearray(a)
            for _ in range(dice.choice((1, 1, 2))):
                b[dice.randrange(size)] ^= 1 << dice.randrange(8)
            b = bytes(b)
        found = judge(a, b, old=[old], near=lambda *_: (7,))
        assert (found is None) == (a == b)
        if found is not None:
            claimed(found, split(a), split(b), split(old))


def split(data):
    return [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]


def claimed(found, a, b, old):
    """Whether a claim holds for these sectors."""
    differing = [i for i in range(len(a)) if a[i] != b[i]]
    zero = [not any(piece) for piece in b]
    if found.finding == "stale":
        assert all(b[i] == old[i] for i in differing)
        assert found.whole == (b == old)
    elif found.finding == "torn":
        low, high = found.arrived[0] // SECTOR, -(-found.arrived[1] // SECTOR)
        assert (low == 0) != (high == len(a))
        assert a[low:high] == b[low:high]
        rest = [i for i in range(len(a)) if not low <= i < high]
        assert all(zero[i] if found.rest == "zeroes" else b[i] == old[i] for i in rest)
        assert found.rest == "zeroes" or a[low:high] != old[low:high]
    elif found.finding == "bit-flip":
        assert sum((x ^ y).bit_count() for i in differing for x, y in zip(a[i], b[i], strict=True)) == 1
    elif found.finding == "dst-zero":
        assert all(zero)
    elif found.finding == "src-zero":
        assert not any(map(any, a))
    elif found.finding == "shifted":
        assert len(b"".join(b[differing[0] : differing[-1] + 1])) >= SECTOR
    if found.finding in ("shifted", "src-zero", "unknown"):
        assert any(b[i] != old[i] for i in differing)
