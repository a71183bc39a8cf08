"""Reading differences again: what stays, what goes, and what is never taken back."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.engine.activity import activity
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.recheck import LISTED, Recheck
from blockdiff.engine.registry import open_device
from blockdiff.engine.spool import Spool
from blockdiff.engine.verify import Verification
from blockdiff.testing import FaultDevice, MemoryDevice
from blockdiff.testing.faults import Fault
from tests.fixtures.inprocess import found

BLOCK = 4096
TAIL = 100


def recheck(source, target, changes, *, comparing=None, waits=None):
    """The report and the Recheck of a verify; each call in ``changes`` is made in one wait."""
    comparing = {"options": ReadOptions(), **(comparing or {})}
    pending = list(changes)

    def sleep(seconds):
        if pending:
            pending.pop(0)()
        time.sleep(seconds)

    done = Recheck(source, target, comparing, sleep=sleep)
    run = Verification(source, target, **comparing)
    spool = Spool()
    for batch in run:
        spool.add(batch)
    done.run(spool, waits or [0.001] * len(changes))
    done.correct(run.report, done.confirmed)
    return run.report, done


def kept(done):
    return [item for batch in done.confirmed for item in found(batch)]


def image(letters):
    """A block for each letter, and a tail."""
    return bytearray(b"".join(letter.encode() * BLOCK for letter in letters) + b"t" * TAIL)


def oracle(a, b, blocks):
    """The differing blocks among these."""
    return [i for i in blocks if a[i * BLOCK : (i + 1) * BLOCK] != b[i * BLOCK : (i + 1) * BLOCK]]


def blocks_of(ranges):
    return [i for offset, length, _ in ranges for i in range(offset // BLOCK, -(-(offset + length) // BLOCK))]


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.sampled_from("ab\0")] * 6), min_size=4, max_size=9))
def test_exactly_what_still_differs_stays(columns):
    a, b, a1, b1, a2, b2 = ("".join(column) for column in zip(*columns, strict=True))
    source, target = MemoryDevice(image(a)), MemoryDevice(image(b))

    def write(one, other):
        def change():
            source.data[:], target.data[:] = image(one), image(other)

        return change

    report, done = recheck(source, target, [write(a1, b1), write(a2, b2)])
    first = oracle(image(a), image(b), range(len(a) + 1))
    second = oracle(image(a1), image(b1), first)
    third = oracle(image(a2), image(b2), second)
    assert blocks_of(kept(done)) == (third if done.rounds else [])
    assert report.identical is not bool(first)
    assert report.differing_bytes == len(third) * BLOCK
    gone = sorted(blocks_of((offset, length, kind) for offset, length, kind, _ in done.gone))
    assert gone == sorted(set(first) - set(third))
    assert done.gone_bytes == len(gone) * BLOCK
    assert len(done.rounds) == (2 if second else 1 if first else 0)


def test_nothing_is_waited_for_where_nothing_differs():
    report, done = recheck(MemoryDevice(image("ab")), MemoryDevice(image("ab")), [], waits=[3600])
    assert report.identical
    assert done.rounds == []
    assert done.to_dict()["verdict"] == "nothing-to-recheck"


def test_the_class_is_that_of_the_last_reading():
    target = MemoryDevice(image("b"))
    report, done = recheck(
        MemoryDevice(image("a")), target, [lambda: target.data.__setitem__(slice(BLOCK), bytes(BLOCK))]
    )
    assert kept(done) == [(0, BLOCK, "dst-zero")]
    assert report.bytes_by_class == {"dst-zero": BLOCK}


def test_an_empty_device_and_what_only_one_has():
    report, done = recheck(MemoryDevice(0), MemoryDevice(b"tail"), [lambda: None])
    assert kept(done) == [(0, 4, "size")]
    assert not report.identical
    assert done.to_dict()["verdict"] == "confirmed"
    assert done.rounds == []


def test_the_tail_stays_when_the_rest_is_gone():
    source, target = MemoryDevice(image("ab")), MemoryDevice(image("ac") + b"more")
    _, done = recheck(source, target, [lambda: target.data.__setitem__(slice(len(source.data)), source.data)])
    assert kept(done) == [(len(source.data), 4, "size")]
    assert done.gone_bytes == BLOCK


def test_what_cannot_be_read_again_stays_as_it_was():
    source, plain = MemoryDevice(image("abc")), MemoryDevice(image("axy"))
    target = FaultDevice(plain)

    def change():
        plain.data[:] = source.data
        target.faults.append(Fault(BLOCK, 2 * BLOCK))

    comparing = {"options": ReadOptions(keep_going=True)}
    report, done = recheck(source, target, [change], comparing=comparing)
    assert kept(done) == [(BLOCK, BLOCK, "data")]
    assert [(e.offset, e.length) for e in report.unreadable] == [(BLOCK, BLOCK)]
    assert done.gone_bytes == BLOCK


def test_many_are_counted_and_some_listed():
    count = LISTED + 50
    source = MemoryDevice(bytes(2 * count * BLOCK))
    target = MemoryDevice((b"x" * BLOCK + bytes(BLOCK)) * count)
    report, done = recheck(source, target, [lambda: target.data.__setitem__(slice(None), source.data)])
    assert len(done.gone) == LISTED
    assert done.gone_ranges == count
    assert report.difference_count == 0
    assert not report.identical


class Still(MemoryDevice):
    """Nobody can write to it, says its owner."""

    snapshot = "still"


def test_bytes_that_change_by_themselves_stay_differences():
    source, target = Still(image("abc")), Still(image("xby"))
    report, done = recheck(source, target, [lambda: target.data.__setitem__(slice(None), image("abz"))])
    assert done.written is False
    assert done.to_dict()["verdict"] == "unstable"
    assert kept(done) == [(0, BLOCK, "data"), (2 * BLOCK, BLOCK, "data")]
    assert report.difference_count == 2
    assert not report.identical


def test_one_side_that_stands_still_proves_nothing_of_the_other():
    source, target = Still(image("a")), MemoryDevice(image("b"))
    _, done = recheck(source, target, [lambda: target.data.__setitem__(slice(None), image("a"))])
    assert done.written is None
    assert done.to_dict()["verdict"] == "transient"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(image("abc"))
    return path


def test_activity_of_a_file(file):
    with open_device(file) as device:
        before = activity(device)
        assert before == activity(device)
        with file.open("r+b") as out:
            out.write(b"z")
        os.utime(file, ns=(1, 1))
        assert activity(device) != before


def test_nothing_is_known_of_memory():
    assert activity(MemoryDevice(10)) is None


def test_a_written_block_device_tells(make_loop):
    loop = make_loop(1 << 20)
    with open_device(loop.path) as device:
        before = activity(device)
        assert before is not None
        assert activity(device) == before
        fd = os.open(loop.path, os.O_RDWR)
        os.pwrite(fd, b"x" * BLOCK, 0)
        os.fsync(fd)
        os.close(fd)
        assert activity(device) != before
