"""Which blocks a sample compares: no more, no fewer, and each told of once."""

import math
import random

import pytest

import blockdiff
from blockdiff._fast import Extents
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.sample import Population, touched_blocks
from blockdiff.engine.sampled import Sampling
from blockdiff.engine.verify import Verification, outlook
from blockdiff.errors import InvalidInput
from blockdiff.testing import FaultDevice
from tests.fixtures.inprocess import memory

UNIT = 8192
SIZE = 100 * UNIT + 777


def sampled(source, target, *, only=None, offset=0, length=None, granularity=4096, keep_going=False, **words):
    """A finished run: (report, the ranges that were read, the sampling's population)."""
    sampling = Sampling(unit=UNIT, **words)
    options = ReadOptions(granularity=granularity, keep_going=keep_going)
    comparing = {"options": options, "offset": offset, "length": length, "only": only}
    sampling.plan(source, target, comparing)
    read = []
    comparing["watchers"].append(Watcher(read))
    run = Verification(source, target, **comparing)
    found = [e for batch in run for e in batch]
    sampling.conclude(run.report)
    rest = Extents([e[:2] for batch in sampling.population.rest() for e in batch])
    sampling.close()
    return run.report, Extents(sorted(read)).coalesce(), rest, found


class Watcher:
    def __init__(self, read):
        self.read = read

    def known(self, plan):
        pass

    def settle(self, task, found, unreadable):
        self.read += [e[:2] for e in task]


def content(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("share", ["1%", "10%", "50%", "99%", "100%"])
@pytest.mark.parametrize("window", [(0, None), (UNIT + 5, 50 * UNIT), (3, 4000), (0, 0)], ids=str)
def test_it_reads_the_sample_and_nothing_else(share, window):
    a = content(1)
    offset, length = window
    report, read, rest, found = sampled(memory(a), memory(a), share=share, seed="s", offset=offset, length=length)
    facts = report.extra["sample"]
    end = SIZE if length is None else offset + length
    blocks = -(-end // UNIT) - offset // UNIT if end > offset else 0
    assert facts["population_blocks"] == blocks
    assert facts["sampled_blocks"] == facts["compared_blocks"] == math.ceil(blocks * int(share[:-1]) / 100)
    assert touched_blocks([read], UNIT) == facts["sampled_blocks"]
    assert read.subtract(rest).total() == 0
    assert read.total() + facts["left_out_bytes"] == end - offset
    assert not found
    assert not report.identical
    assert not report.complete


@pytest.mark.parametrize("seed", range(5))
def test_holes_and_listed_ranges(seed):
    rng = random.Random(seed)
    a, holes = bytearray(content(seed)), []
    for at in range(0, SIZE - 5 * UNIT, 5 * UNIT):
        length = rng.randrange(1, 4) * UNIT
        a[at : at + length] = bytes(length)
        holes.append((at, at + length))
    listed = Extents([(7 * UNIT + 100, 300), (30 * UNIT, 2 * UNIT), (SIZE - 10, 10)])
    report, read, rest, _ = sampled(memory(a, holes), memory(a, holes), share="20%", seed="s", only=[listed])
    facts = report.extra["sample"]
    full = listed.align(UNIT, limit=SIZE)
    known = Extents([(lo, hi - lo) for lo, hi in holes])
    assert rest.intersect(full).total() == 0
    assert rest.intersect(known).total() == 0
    assert read.union(full.subtract(known)).coalesce() == read  # listed ranges are read in full
    assert facts["population_blocks"] == touched_blocks([rest], UNIT)
    assert facts["full_bytes"] == full.subtract(known).total()
    assert facts["known_bytes"] == known.total()
    assert touched_blocks([read.subtract(full)], UNIT) == facts["sampled_blocks"]
    assert facts["known_bytes"] + read.total() + facts["left_out_bytes"] == SIZE


def test_every_block_is_as_likely():
    a = content(2, 20 * UNIT)
    counts, runs = dict.fromkeys(range(20), 0), 300
    for seed in range(runs):
        sampling = Sampling(share="25%", seed=str(seed), unit=UNIT)
        sampling.plan(memory(a), memory(a), {})
        for batch in sampling.population.sample(sampling.count, sampling.seed):
            for offset, length, _ in batch:
                for block in range(offset // UNIT, (offset + length) // UNIT):
                    counts[block] += 1
        sampling.close()
    mean = runs / 4
    assert sum((count - mean) ** 2 / mean for count in counts.values()) < 19 + 5 * math.sqrt(38)
    assert sum(counts.values()) == 5 * runs


def test_differences_in_the_sample_are_found_and_counted():
    a = bytearray(content(3))
    b = bytearray(a)
    for at in (5, 9 * UNIT, 9 * UNIT + 4096, 50 * UNIT, SIZE - 1):
        b[at] ^= 1
    listed = Extents([(50 * UNIT, 1)])
    report, _, _, found = sampled(memory(a), memory(b), share="100%", only=[listed])
    assert len(found) == 4
    assert report.extra["sample"]["differing_blocks"] == 3
    assert not report.identical


@pytest.mark.parametrize("seed", range(6))
def test_how_often_a_single_block_is_found(seed):
    """The printed probability against what happens."""
    a = content(4, 40 * UNIT)
    b = bytearray(a)
    b[(7 * seed + 3) % 40 * UNIT] ^= 1
    hits, runs = 0, 60
    for number in range(runs):
        report, _, _, found = sampled(memory(a), memory(b), share="25%", seed=f"{seed}/{number}")
        hits += bool(found)
    chance = report.extra["sample"]["detection"][0]["probability"]
    assert chance == 0.25
    assert abs(hits - runs * chance) < 4.5 * math.sqrt(runs * chance * (1 - chance))


def test_what_is_unreadable_was_not_compared():
    a = content(5)
    bad = FaultDevice(memory(a), "rrErE")
    report, *_ = sampled(bad, memory(a), share="100%", keep_going=True)
    facts = report.extra["sample"]
    assert report.unreadable_bytes == 8192
    assert facts["sampled_blocks"] - facts["compared_blocks"] == 2
    assert facts["detection"][0]["probability"] < 1


def test_a_confidence_over_holes():
    a = bytes(SIZE)
    report, read, _, _ = sampled(memory(a, [(0, SIZE)]), memory(a, [(0, SIZE)]), confidence="99%", corruption="1%")
    assert read.total() == 0
    assert report.extra["sample"]["detection"] == []
    assert not report.identical


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"share": "1%", "confidence": "99%", "corruption": "1%"},
        {"confidence": "99%"},
        {"share": "0%"},
        {"share": "200%"},
    ],
    ids=str,
)
def test_what_cannot_be_asked(words):
    with pytest.raises(InvalidInput):
        Sampling(**words)


@pytest.mark.parametrize("unit", [0, 4095, 512, 3 * 4096, 1 << 31, -4096])
def test_blocks_that_cannot_be(unit):
    with pytest.raises(InvalidInput, match="power of two"):
        Sampling(share="1%", unit=unit).plan(memory(b""), memory(b""), {})


def test_many_extents():
    """More than fit into a batch, and into the memory of a spool."""
    size = 4096 * 200_000
    holes = [(at, at + 4096) for at in range(0, size, 8192)]

    class Device:
        url, block_size = "striped", 512

        def __init__(self):
            self.size = size

        def extents(self, start=0, length=None):
            for at in range(0, size, 1 << 24):
                yield Extents(
                    [(o, 4096, 0 if o // 4096 % 2 else 2) for o in range(at, min(size, at + (1 << 24)), 4096)]
                )

    sight = outlook(Device(), Device(), options=ReadOptions())
    made = Population(sight, 4096, None)
    assert made.blocks == len(holes)
    picked = Extents([e[:2] for batch in made.sample(5000, "s") for e in batch])
    assert picked.total() == 5000 * 4096
    assert all(offset // 4096 % 2 for offset, _, _ in picked)
    made.close()


def test_the_python_api():
    a = bytearray(content(6))
    b = bytearray(a)
    b[0] ^= 1
    report = blockdiff.verify(memory(a), memory(a), sample=blockdiff.Sampling(share="10%", seed="s"))
    assert not report.identical
    assert report.extra["sample"]["seed"] == "s"
    report = blockdiff.verify(memory(a), memory(b), sample=blockdiff.Sampling(share="100%"))
    assert report.difference_count == 1
