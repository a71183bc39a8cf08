"""What an estimate says is what the verify then does."""

import random

import pytest

from blockdiff._fast import Extents
from blockdiff.engine.estimate import PLACES, STEPS, Estimate, _places
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.sampled import Sampling
from blockdiff.engine.spool import Spool
from blockdiff.engine.verify import Verification
from blockdiff.testing import FaultDevice
from tests.fixtures.images import random_pair, zero_ranges
from tests.fixtures.inprocess import memory


def both(source, target, **comparing):
    """The facts of an estimate, and the report of the verify."""
    comparing.setdefault("options", ReadOptions())
    made = Estimate(source, target, comparing)
    facts = made.facts()
    made.close()
    run = Verification(source, target, **comparing)
    for _ in run:
        pass
    return facts, run.report


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("window", [(0, None), (4096, 9000)], ids=str)
def test_it_is_what_is_read(seed, window):
    a, b, rng = random_pair(seed, size=100_003)
    offset, length = window
    listed = Extents([(0, 20000), (50000, 5)]) if seed % 3 == 0 else None
    devices = memory(a, zero_ranges(a, rng)), memory(b, zero_ranges(b, rng))
    facts, report = both(*devices, offset=offset, length=length, only=listed and [listed], strict=seed % 2 == 0)
    assert facts["bytes"] == report.bytes_compared
    assert facts["source_bytes"] == report.source.bytes_by_path.get("buffered", 0)
    assert facts["target_bytes"] == report.target.bytes_by_path.get("buffered", 0)
    skipped = {part["reason"]: part["bytes"] for part in facts["skipped"]}
    assert {**skipped, "not-listed": facts["not_listed_bytes"]} == {"not-listed": 0, **report.skipped}
    assert facts["method"] == report.method


def test_of_a_sample():
    a = random.Random(1).randbytes(1 << 20)
    sampling = Sampling(share="25%", seed="s", unit=4096)
    comparing = {"options": ReadOptions()}
    sampling.plan(memory(a), memory(a), comparing)
    facts, report = both(memory(a), memory(a), **comparing)
    assert facts["bytes"] == report.bytes_compared == 1 << 18
    sampling.close()


@pytest.mark.parametrize("size", [0, 1, 4095, 1 << 20, 40 << 20])
def test_it_reads_no_more_than_the_probe(size):
    device = FaultDevice(memory(bytes(size)))
    made = Estimate(device, memory(bytes(size)), {"options": ReadOptions()})
    read = sum(length for _, length in device.reads)
    assert read <= PLACES * sum(STEPS)
    assert made.facts()["probe"]["bytes"] <= read
    assert (made.facts()["seconds"] == 0) == (size == 0)
    assert device.handles == 1
    made.close()


def test_at_a_limited_rate_the_probe_is_small():
    device = FaultDevice(memory(bytes(64 << 20)))
    made = Estimate(device, memory(bytes(64 << 20)), {"options": ReadOptions(rate=8 << 20)})
    facts = made.facts()
    assert sum(length for _, length in device.reads) <= 8 << 20
    assert facts["bytes_per_second"] <= 8 << 20
    assert facts["seconds"] >= 8
    made.close()


@pytest.mark.parametrize("seed", range(20))
def test_places_are_spread_over_what_is_read(seed):
    rng = random.Random(seed)
    spool, at = Spool(), 0
    for _ in range(rng.randrange(1, 6)):
        batch = []
        for _ in range(rng.randrange(1, 50)):
            at += rng.randrange(1, 50) * 4096
            length = rng.randrange(1, 90_000)
            batch.append((at, length))
            at += length
        spool.add(Extents(batch))
    whole = Extents([e[:2] for batch in spool for e in batch])
    places = _places(spool, whole.total(), 8192)
    assert places.subtract(whole).total() == 0
    assert len(places) <= max(PLACES, len(whole))
    assert places.total() <= max(PLACES * 8192, 0)
    if whole.total() > PLACES * 8192:
        assert places.end > whole.start + (whole.end - whole.start) // 4


def test_an_estimate_of_what_cannot_be_read():
    from blockdiff.errors import DeviceError

    with pytest.raises(DeviceError):
        Estimate(FaultDevice(memory(bytes(4096)), "E"), memory(bytes(4096)), {})
