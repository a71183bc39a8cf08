import threading
import time

import pytest

import blockdiff
from blockdiff._fast import Cancelled, Extents
from blockdiff.engine.progress import NoProgress, RateLimit
from blockdiff.engine.workers import run_plan, task_size
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.testing import Fault, FaultDevice, MemoryDevice
from tests.fixtures.inprocess import found, memory

MIB = 1 << 20


class Reader:
    """Finds every task different; waits for its turn where a gate says so."""

    def __init__(self, gate=None, fail_at=None):
        self.gate, self.fail_at = gate, fail_at
        self.cancelled = threading.Event()
        self.ran = []
        self.threads = set()

    def run(self, task):
        self.threads.add(threading.get_ident())
        if self.cancelled.is_set():
            raise Cancelled
        if self.gate:
            self.gate(self, task)
        if task.start == self.fail_at:
            raise DeviceError("broken", url="x")
        self.ran.append(task.start)
        return task, Extents()

    def cancel(self):
        self.cancelled.set()


def plan(count, size=4096):
    return iter([Extents([(i * size, size) for i in range(count)])])


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_findings_come_in_order(workers):
    """Whoever is first done."""

    def gate(reader, task):
        time.sleep(0.002 * (task.start // 4096 % 3))

    readers = [Reader(gate) for _ in range(workers)]
    starts = [finding.found.start for finding in run_plan(plan(50), readers, size=4096)]
    assert starts == [i * 4096 for i in range(50)]
    assert sum(len(reader.ran) for reader in readers) == 50
    assert all(len(reader.threads) <= 1 for reader in readers)


def test_inline_runs_here():
    reader = Reader()
    assert len(list(run_plan(plan(5), [reader], size=4096, inline=True))) == 5
    assert reader.threads == {threading.get_ident()}


def test_the_plan_is_not_read_ahead_without_end():
    """Memory is bounded by the tasks under way."""
    taken = 0

    def batches():
        nonlocal taken
        for i in range(1000):
            taken = i
            yield Extents([(i * 4096, 4096)])

    readers = [Reader() for _ in range(2)]
    findings = run_plan(batches(), readers, size=4096)
    for _ in range(10):
        next(findings)
    assert taken < 50
    findings.close()


@pytest.mark.parametrize("inline", [False, True])
def test_the_first_error_wins(inline):
    readers = [Reader(fail_at=20 * 4096) for _ in range(1 if inline else 3)]
    seen = []
    findings = (finding.found.start for finding in run_plan(plan(100), readers, size=4096, inline=inline))
    with pytest.raises(DeviceError, match="broken"):
        seen.extend(findings)
    assert seen == [i * 4096 for i in range(20)]
    assert threads_left() == 0


@pytest.mark.parametrize("how", ["close", "raise", "break"])
def test_leaving_early_cancels_and_joins(how):
    def gate(reader, task):
        if task.start >= 10 * 4096:
            assert reader.cancelled.wait(30)
            raise Cancelled

    readers = [Reader(gate) for _ in range(3)]
    findings = run_plan(plan(100), readers, size=4096)
    for _ in range(5):
        next(findings)
    if how == "raise":
        with pytest.raises(KeyboardInterrupt):
            findings.throw(KeyboardInterrupt)
    else:
        findings.close()
    assert all(reader.cancelled.is_set() for reader in readers)
    assert threads_left() == 0


BEFORE = set()


@pytest.fixture(autouse=True)
def threads_before():
    """Servers of other tests may still be ending theirs."""
    BEFORE.clear()
    BEFORE.update(threading.enumerate())


def threads_left():
    return len(set(threading.enumerate()) - BEFORE)


def test_an_error_of_the_plan_cancels():
    def batches():
        yield Extents([(0, 4096)])
        raise InvalidInput("bad list")

    with pytest.raises(InvalidInput, match="bad list"):
        list(run_plan(batches(), [Reader(), Reader()], size=4096))
    assert threads_left() == 0


def test_note_sees_the_whole_plan():
    noted = []
    batches = [Extents([(0, 4096, 3), (4096, 4096, 0)]), Extents([(8192, 4096, 4)])]
    found_ = list(run_plan(iter(batches), [Reader()], size=4096, note=noted.append))
    assert noted == batches
    assert [finding.task.start for finding in found_] == [4096]  # nobody reads the others


@pytest.mark.parametrize(
    ("total", "rate", "size"),
    [
        pytest.param(0, 0, 8 * MIB, id="small"),
        pytest.param(1 << 40, 0, 32 * MIB, id="big"),
        pytest.param(1 << 40, 1 << 30, 32 * MIB, id="fast"),
        pytest.param(1 << 40, 8 << 20, 1 << 20, id="slow"),
        pytest.param(1 << 40, 1, 1 << 16, id="crawling"),
    ],
)
def test_task_size(total, rate, size):
    assert task_size(total, rate) == size


def test_rate_limit(monkeypatch):
    """On average as asked for, after the first task, which waits for nothing."""
    clock = 100.0
    slept = []

    def sleep(seconds):
        nonlocal clock
        slept.append(seconds)
        clock += seconds

    monkeypatch.setattr("blockdiff.engine.progress.time.sleep", sleep)
    monkeypatch.setattr("blockdiff.engine.progress.time.monotonic", lambda: clock)
    limit = RateLimit(1000)
    for _ in range(11):
        limit.spend(500)
    assert sum(slept) == pytest.approx(5.0)
    clock += 60  # a pause is not made up for by a rush
    limit.spend(500)
    limit.spend(500)
    assert sum(slept) == pytest.approx(5.5)


def test_rate_must_be_positive():
    for rate in (0, -1):
        with pytest.raises(InvalidInput):
            RateLimit(rate)


def test_an_error_in_a_worker_reaches_the_caller_with_its_place():
    device = FaultDevice(MemoryDevice(b"A" * 40 * MIB), faults=[Fault(30 * MIB, 30 * MIB + 4096)])
    with pytest.raises(DeviceError, match=f"offset {30 * MIB}"):
        blockdiff.verify(device, memory(b"A" * 40 * MIB), options=blockdiff.ReadOptions(workers=4))
    assert device.handles == 1
    assert threads_left() == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_stopping_at_the_first_difference_reads_no_more(workers):
    size = 120 * MIB
    b = bytearray(size)
    b[5] = 1
    device = FaultDevice(MemoryDevice(size))
    report = blockdiff.verify(device, MemoryDevice(b), first=True, options=blockdiff.ReadOptions(workers=workers))
    assert found(report.differences) == [(0, 4096, "src-zero")]
    assert sum(length for _, length in device.reads) < size
    assert device.handles == 1


def test_progress_ascends_to_the_total():
    class Told(NoProgress):
        def __init__(self):
            self.calls = []

        def start(self, what, total):
            self.calls.append((what, total))

        def advance(self, done):
            self.calls.append(done)

        def finish(self):
            self.calls.append("finished")

    told = Told()
    blockdiff.verify(memory(bytes(40 * MIB)), memory(bytes(40 * MIB)), progress=told)
    (first, *steps, last) = told.calls
    assert (first, last) == (("verify", 40 * MIB), "finished")
    assert steps == sorted(steps)
    assert steps[-1] == 40 * MIB
    assert len(steps) > 3
