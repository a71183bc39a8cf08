"""The commands as functions: what a program gets that never starts the command line."""

import os
import random

import pytest

import blockdiff
from blockdiff.testing import MemoryDevice
from tests import oracle
from tests.fixtures.descriptors import descriptors, opened_since
from tests.fixtures.images import write_image
from tests.fixtures.inprocess import changed_bytes, found


@pytest.fixture
def pair(tmp_path):
    a = random.Random(0).randbytes(100_001)
    b = bytearray(a)
    b[5] ^= 1
    b[50_000:60_000] = bytes(10_000)
    return write_image(tmp_path / "a", a), write_image(tmp_path / "b", bytes(b))


@pytest.mark.parametrize("kind", [os.fspath, lambda path: path, lambda path: f"file:{path}", blockdiff.open_device])
def test_devices_may_be_named_or_open(pair, kind):
    report = blockdiff.verify(kind(pair[0]), kind(pair[1]))
    assert found(report.differences) == oracle.differences(pair[0].read_bytes(), pair[1].read_bytes())


def test_everything_goes_round(pair, tmp_path):
    """diff, audit, copy of the diff, verify."""
    changed = blockdiff.Extents(e for record in blockdiff.diff(*pair) for e in record.extents)
    assert blockdiff.audit(*pair, changed).correct
    assert not blockdiff.audit(*pair, blockdiff.Extents()).correct
    blockdiff.copy(pair[1], pair[0], extents=changed)
    assert blockdiff.verify(*pair).identical
    (record,) = blockdiff.map(pair[0])
    assert changed_bytes([record]) == [(0, 100_001, "data")]


def test_open_devices_stay_open(pair):
    with blockdiff.open_device(pair[0]) as first, blockdiff.open_device(pair[1]) as second:
        blockdiff.verify(first, second)
        list(blockdiff.diff(first, second))
        list(blockdiff.map(first))
        blockdiff.audit(first, second, blockdiff.Extents())
        blockdiff.copy(first, target := MemoryDevice(100_001))
        assert first.fileno() >= 0
        assert second.fileno() >= 0
        assert len(target.data) == 100_001


def test_named_devices_are_closed(pair, tmp_path):
    before = descriptors()
    blockdiff.verify(*pair)
    list(blockdiff.diff(*pair))
    list(blockdiff.map(pair[0], zeroes=True))
    blockdiff.audit(*pair, blockdiff.Extents())
    blockdiff.copy(pair[0], tmp_path / "c", verify=True)
    with pytest.raises(blockdiff.DeviceError):
        blockdiff.verify(pair[0], tmp_path / "none")
    with pytest.raises(blockdiff.InvalidInput):
        blockdiff.copy(pair[0], pair[0])
    assert not opened_since(before)


def test_the_word_of_a_report(pair):
    report = blockdiff.verify(*pair)
    assert isinstance(report, blockdiff.VerifyReport)
    assert (report.command, report.complete, report.identical) == ("verify", True, False)
    assert repr(report.differences[0]).startswith("Extent(")
    assert isinstance(blockdiff.audit(*pair, blockdiff.Extents()), blockdiff.AuditReport)


@pytest.mark.unsanitized
def test_nothing_leaks(pair, tmp_path):
    """Descriptors, threads and memory stay as they are over 200 runs."""
    import resource
    import threading

    options = [blockdiff.ReadOptions(read=read, granularity=512) for read in ("auto", "direct", "buffered", "mmap")]

    def once(i):
        blockdiff.verify(*pair, options=options[i % 4])
        list(blockdiff.diff(*pair))
        blockdiff.audit(*pair, blockdiff.Extents([(0, 4096)]))
        with pytest.raises(blockdiff.DeviceError):
            blockdiff.verify(pair[0], tmp_path / "none")
        blockdiff.verify(*pair, first=True)

    for i in range(40):
        once(i)
    opened = descriptors()
    before = threading.active_count(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(200):
        once(i)
    after = threading.active_count(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not opened_since(opened)
    assert after[0] == before[0]
    assert after[1] - before[1] < 4096  # KiB; a leak of one buffer a run would be 100 MiB
