"""Triage of whole devices: what it reads, what it leaves, and what it says of corruption made on purpose."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.engine.verify import verify_devices
from blockdiff.testing import FaultDevice, MemoryDevice
from blockdiff.testing.faults import Fault
from blockdiff.triage import run as run_module
from blockdiff.triage.evidence import BLOCK
from blockdiff.triage.history import DeviceHistory
from blockdiff.triage.run import EXAMINED, Triage, reach_for

MIB = 1 << 20


def triage(source, target, *, history=(), limit=10_000, granularity=4096, keep=None, **options):
    report = verify_devices(source, target, options=ReadOptions(granularity=granularity, keep_going=True), **options)
    histories = [DeviceHistory(device) for device in history]
    differences = report.differences if keep is None else keep
    result = Triage(source, target, histories, limit=limit).run([differences], len(differences))
    return report, result


def said(result):
    return [(f.offset, f.length, f.evidence.finding) for f in result.found]


class Corruptor:
    """Puts one kind of corruption after the other into a copy, and remembers what and where: the oracle."""

    def __init__(self, seed, blocks=600):
        self.rng = random.Random(seed)
        size = blocks * BLOCK + self.rng.choice((0, 1, 511, 700))
        self.old = bytearray(self.rng.randbytes(size))
        self.source = bytearray(self.old)
        for at in range(0, size, BLOCK):
            if self.rng.random() < 0.5:
                self.source[at : at + BLOCK] = self.rng.randbytes(len(self.source[at : at + BLOCK]))
        self.target = bytearray(self.source)
        self.done = []
        at = 0
        while at < blocks - 20:
            at += self.rng.randrange(2, 12)
            self._one(at * BLOCK)

    def _one(self, at):
        kind = self.rng.choice(("stale", "torn", "bit-flip", "shifted", "dst-zero", "unknown"))
        changed = self.source[at : at + BLOCK] != self.old[at : at + BLOCK]
        if kind == "stale" and changed:
            self.target[at : at + BLOCK] = self.old[at : at + BLOCK]
        elif kind == "torn" and changed:
            cut = self.rng.randrange(1, 8) * 512
            self.target[at + cut : at + BLOCK] = self.old[at + cut : at + BLOCK]
        elif kind == "bit-flip":
            self.target[at + self.rng.randrange(BLOCK)] ^= 1 << self.rng.randrange(8)
        elif kind == "shifted":
            shift = self.rng.choice((-3, -1, 1, 2, 7)) * self.rng.choice((512, 4096, 1, 13))
            while not 0 <= at + shift <= len(self.source) - BLOCK:
                shift = self.rng.choice((-512, 512))
            self.target[at : at + BLOCK] = self.source[at + shift : at + shift + BLOCK]
        elif kind == "dst-zero":
            self.target[at : at + BLOCK] = bytes(BLOCK)
        elif kind == "unknown":
            self.target[at : at + BLOCK] = self.rng.randbytes(BLOCK)
        else:
            return
        self.done.append((at, BLOCK, kind))


@pytest.mark.parametrize("seed", range(8))
def test_each_corruption_is_told(seed):
    made = Corruptor(seed)
    source, target = MemoryDevice(made.source), MemoryDevice(made.target)
    report, result = triage(source, target, history=[MemoryDevice(made.old)])
    assert said(result) == made.done
    assert result.ranges == report.difference_count
    assert (result.left_ranges, result.left_bytes) == (0, 0)


def test_neighbours_that_say_the_same_are_one_finding():
    old = random.Random(1).randbytes(20 * BLOCK)
    new = random.Random(2).randbytes(20 * BLOCK)
    target = new[: 3 * BLOCK + 1024] + old[3 * BLOCK + 1024 : 9 * BLOCK] + new[9 * BLOCK :]
    _, result = triage(MemoryDevice(new), MemoryDevice(target), history=[MemoryDevice(old)])
    assert said(result) == [(3 * BLOCK, BLOCK, "torn"), (4 * BLOCK, 5 * BLOCK, "stale")]


def test_a_long_shift_is_one_finding_with_its_distance():
    data = random.Random(3).randbytes(300 * BLOCK)
    target = data[: 10 * BLOCK] + data[10 * BLOCK - 512 : 40 * BLOCK - 512] + data[40 * BLOCK :]
    _, result = triage(MemoryDevice(data), MemoryDevice(target))
    assert said(result) == [(10 * BLOCK, 30 * BLOCK, "shifted")]
    assert result.found[0].evidence.shift == -512


def test_a_repeated_block_goes_by_its_neighbours_and_never_alone():
    rng = random.Random(4)
    blocks = [rng.randbytes(BLOCK) for _ in range(60)]
    blocks[20] = blocks[31] = blocks[40]
    data = b"".join(blocks)
    moved = data[: 9 * BLOCK] + b"".join(blocks[19:22]) + data[12 * BLOCK :]
    _, result = triage(MemoryDevice(data), MemoryDevice(moved))
    assert said(result) == [(9 * BLOCK, 3 * BLOCK, "shifted")]
    alone = data[: 10 * BLOCK] + blocks[20] + data[11 * BLOCK :]
    _, result = triage(MemoryDevice(data), MemoryDevice(alone))
    assert said(result) == [(10 * BLOCK, BLOCK, "unknown")]
    assert len(result.found[0].evidence.shifts) == 3


def test_what_is_beyond_reach_is_not_found():
    rng = random.Random(5)
    data = bytearray(rng.randbytes(3 * MIB))
    target = bytearray(data)
    target[:BLOCK] = data[MIB : MIB + BLOCK]
    target[8 * BLOCK : 9 * BLOCK] = data[8 * BLOCK + MIB + 1 : 9 * BLOCK + MIB + 1]
    _, result = triage(MemoryDevice(data), MemoryDevice(target))
    assert [f.evidence.finding for f in result.found] == ["shifted", "unknown"]


@pytest.mark.parametrize(("ranges", "reach"), [(0, MIB), (512, MIB), (513, MIB // 2), (10_000, 64 << 10)])
def test_the_reach_is_less_where_there_are_many(ranges, reach):
    assert reach_for(ranges) == reach


def test_the_limit_is_kept_and_the_rest_is_counted():
    source, target = MemoryDevice(bytes(64 * BLOCK)), MemoryDevice((b"x" * BLOCK + bytes(BLOCK)) * 32)
    _, result = triage(source, target, limit=5)
    assert [f.offset for f in result.found] == [i * 2 * BLOCK for i in range(5)]
    assert (result.ranges, result.left_ranges, result.left_bytes) == (5, 27, 27 * BLOCK)


def test_of_a_long_range_the_begin_is_looked_at():
    source, target = MemoryDevice(bytes(2 * EXAMINED)), MemoryDevice(b"x" * (2 * EXAMINED))
    _, result = triage(source, target)
    assert said(result) == [(0, EXAMINED, "src-zero")]
    assert (result.examined_bytes, result.left_ranges, result.left_bytes) == (EXAMINED, 0, EXAMINED)


def test_many_findings_end_it(monkeypatch):
    monkeypatch.setattr(run_module, "MOST_FINDINGS", 3)
    source, target = MemoryDevice(bytes(600 * BLOCK)), MemoryDevice((b"x" * BLOCK + bytes(99 * BLOCK)) * 6)
    _, result = triage(source, target)
    assert len(result.found) == 4  # the one that was being gathered is still looked at
    assert result.left_ranges == 2


def test_searching_is_bounded(monkeypatch):
    monkeypatch.setattr(run_module, "_SEARCHED", 0)
    data = random.Random(6).randbytes(20 * BLOCK)
    target = data[:BLOCK] + data[5 * BLOCK : 6 * BLOCK] + data[2 * BLOCK :]
    _, result = triage(MemoryDevice(data), MemoryDevice(target))
    assert said(result) == [(BLOCK, BLOCK, "unknown")]
    assert result.unsearched_blocks == 1


@pytest.mark.parametrize("granularity", [512, 4096, 65536])
def test_findings_lie_inside_of_the_differences(granularity):
    rng = random.Random(7)
    data = rng.randbytes(200_000)
    target = bytearray(data)
    for at in (700, 9000, 50_001, 199_999):
        target[at] ^= 0xFF
    report, result = triage(MemoryDevice(data), MemoryDevice(target), granularity=granularity)
    covered = set()
    for found in result.found:
        assert any(e.offset <= found.offset and found.offset + found.length <= e.end for e in report.differences)
        covered |= set(range(found.offset, found.offset + found.length))
    assert {700, 9000, 50_001, 199_999} <= covered


@pytest.mark.parametrize(("granularity", "wanted"), [(512, ["bit-flip", "bit-flip"]), (4096, ["unknown"])])
def test_a_bit_in_each_of_two_sectors(granularity, wanted):
    data = random.Random(9).randbytes(2 * BLOCK)
    target = bytearray(data)
    target[BLOCK + 700] ^= 4
    target[BLOCK + 3000] ^= 64
    _, result = triage(MemoryDevice(data), MemoryDevice(target), granularity=granularity)
    assert [f.evidence.finding for f in result.found] == wanted
    if granularity == 512:
        places = [(f.block + f.evidence.byte, f.evidence.bit, f.evidence.old, f.evidence.new) for f in result.found]
        assert places == [
            (BLOCK + 700, 2, data[BLOCK + 700], target[BLOCK + 700]),
            (BLOCK + 3000, 6, data[BLOCK + 3000], target[BLOCK + 3000]),
        ]


def test_a_sector_of_zeroes_with_a_small_granularity():
    data = random.Random(10).randbytes(2 * BLOCK)
    target = bytearray(data)
    target[BLOCK + 1024 : BLOCK + 1536] = bytes(512)
    target[BLOCK + 2048 : BLOCK + 2049] = b"?" if data[BLOCK + 2048] != ord("?") else b"!"
    source, other = MemoryDevice(data), MemoryDevice(target)
    assert [f[2] for f in said(triage(source, other, granularity=512)[1])] == ["dst-zero", "unknown"]
    assert [f[2] for f in said(triage(other, source, granularity=512)[1])] == ["src-zero", "unknown"]
    assert [f[2] for f in said(triage(source, other)[1])] == ["unknown"]


def test_sizes_and_holes_are_told_as_they_are(tmp_path):
    (tmp_path / "a").write_bytes(bytes(2 * BLOCK))
    (tmp_path / "b").write_bytes(b"")
    os.truncate(tmp_path / "b", 2 * BLOCK + 100)
    with open_device(tmp_path / "a") as a, open_device(tmp_path / "b") as b:
        _, result = triage(a, b, strict=True)
    assert [f[2] for f in said(result)] == ["dst-hole", "size"]


def test_empty_devices():
    _, result = triage(MemoryDevice(0), MemoryDevice(0))
    assert result.found == []


def test_a_block_that_cannot_be_read_any_more_does_not_hide_the_others():
    source, plain = MemoryDevice(bytes(40 * BLOCK)), MemoryDevice(bytes(40 * BLOCK))
    for block in (1, 3, 5):
        plain.data[block * BLOCK] = 9
    report = verify_devices(source, plain)
    target = FaultDevice(plain, faults=[Fault(3 * BLOCK, 4 * BLOCK)])
    result = Triage(source, target).run([report.differences], 3)
    assert [f[2] for f in said(result)] == ["src-zero", "unreadable", "src-zero"]
    assert "12288" in result.found[1].reason


def test_a_history_that_cannot_be_read_is_told_and_proves_nothing():
    source, target = MemoryDevice(bytes(4 * BLOCK)), MemoryDevice(b"x" * 4 * BLOCK)
    broken = DeviceHistory(FaultDevice(MemoryDevice(b"x" * 4 * BLOCK), "EEEE"))
    report = verify_devices(source, target)
    result = Triage(source, target, [broken]).run([report.differences], 1)
    assert said(result) == [(0, 4 * BLOCK, "src-zero")]
    assert len(broken.trouble) == 1


def test_a_shorter_history_says_nothing_of_what_it_has_not():
    source, target = MemoryDevice(bytes(4 * BLOCK)), MemoryDevice(b"x" * 4 * BLOCK)
    _, result = triage(source, target, history=[MemoryDevice(b"x" * (2 * BLOCK + 1))])
    assert said(result) == [(0, 2 * BLOCK, "stale"), (2 * BLOCK, 2 * BLOCK, "src-zero")]


def test_what_is_equal_by_now_is_told():
    source, target = MemoryDevice(bytes(4 * BLOCK)), MemoryDevice(b"x" * BLOCK + bytes(3 * BLOCK))
    report = verify_devices(source, target)
    target.data[:BLOCK] = bytes(BLOCK)
    result = Triage(source, target).run([report.differences], 1)
    assert said(result) == [(0, BLOCK, "equal-now")]


@settings(max_examples=50)
@given(st.integers(0, 1 << 30), st.integers(1, 5))
def test_random_devices_are_covered_exactly(seed, kinds):
    rng = random.Random(seed)
    size = rng.choice((1, 4095, 4097, 40_000, 90_001))
    pieces = [bytes(512), b"\xff" * 512, *(rng.randbytes(512) for _ in range(kinds))]
    a, b, old = (b"".join(rng.choice(pieces) for _ in range(-(-size // 512)))[:size] for _ in range(3))
    report, result = triage(MemoryDevice(a), MemoryDevice(b), history=[MemoryDevice(old)])
    at = 0
    for found in result.found:
        assert found.offset >= at
        at = found.offset + found.length
    assert sum(f.length for f in result.found) == report.differing_bytes
    for found in result.found:
        e = found.evidence
        low, high = found.offset, found.offset + found.length
        if e.finding == "shifted":
            differing = [i for i in range(low, high) if a[i] != b[i]]
            assert all(b[i] == a[i + e.shift] for i in differing)
        elif e.finding == "stale":
            assert all(b[i] == old[i] for i in range(low, high) if a[i] != b[i])


def test_a_block_device_is_read_past_its_cache(make_loop):
    source, target = make_loop(MIB), make_loop(MIB)
    data = random.Random(8).randbytes(MIB)
    source.backing.write_bytes(data)
    target.backing.write_bytes(data[:BLOCK] + bytes(BLOCK) + data[2 * BLOCK :])
    with open_device(source.path) as a, open_device(target.path) as b:
        _, result = triage(a, b)
        assert said(result) == [(BLOCK, BLOCK, "dst-zero")]
