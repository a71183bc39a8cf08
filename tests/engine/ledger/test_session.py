"""Runs with a ledger: what is read, in which order, and what is believed afterwards."""

import errno
import random
import sqlite3

import pytest

from blockdiff._fast import Extents
from blockdiff.engine.ledger.schema import DIFFERENT
from blockdiff.engine.ledger.session import Session
from blockdiff.engine.ledger.store import Ledger
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput, OutputError, UnsupportedOperation
from blockdiff.testing import Fault, FaultDevice
from tests.engine.ledger.bench import UNIT, Bench
from tests.fixtures.inprocess import memory


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_usual_verify_is_written_down(bench):
    report, found, read, facts = bench.run()
    assert report.identical
    assert not found
    assert read == set(range(bench.units)) == set(bench.verified())
    assert (facts["never_bytes"], facts["verified_bytes"], facts["runs_for_all"]) == (0, bench.size, 1)


def test_the_oldest_come_first(bench):
    seen = []
    for _ in range(7):
        report, _, read, facts = bench.run("640K")
        assert not report.identical
        assert not report.complete
        assert facts["runs_for_all"] == 4
        seen.append(sorted(read))
    assert seen[:3] == [list(range(10)), list(range(10, 20)), list(range(20, 30))]
    assert seen[3] == [*range(9), 30]  # what was never verified, then the oldest
    assert seen[4] == list(range(9, 19))


def test_a_difference_is_looked_at_first_until_it_is_gone(bench):
    bench.spoil(20)
    for _ in range(3):
        report, found, read, facts = bench.run("640K")
    assert [(offset, length) for offset, length, _ in found] == [(20 * UNIT, 4096)]
    assert facts["different_now_bytes"] == UNIT
    report, found, read, facts = bench.run("256K")
    assert 20 in read
    assert report.difference_count == 1
    bench.mend()
    report, found, read, facts = bench.run("256K")
    assert 20 in read
    assert not found
    assert facts["different_now_bytes"] == 0
    assert bench.verified()[20] == 5


def test_a_difference_that_was_not_looked_at_again_is_told(bench):
    for unit in range(10):
        bench.spoil(unit)
    bench.run()
    _, found, _, facts = bench.run("256K")
    assert len(found) >= 2
    assert facts["different_before_bytes"] == (10 - len(found)) * UNIT


def test_what_changed_is_not_verified(bench):
    bench.run()
    bench.spoil(3)
    bench.spoil(7)
    _, _found, read, facts = bench.run("128K", bench.list(3, 7, 12))
    assert facts["changed_bytes"] == 3 * UNIT
    assert read == {0, 3}  # half for what changed, half for what is oldest
    bench.check()
    assert not {7, 12} & set(bench.verified())


def test_a_list_without_a_budget_is_what_is_compared(bench):
    bench.run()
    bench.spoil(3)
    _report, found, read, facts = bench.run(None, bench.list(3, 12))
    assert read == {3, 12}
    assert not found  # it is in the rest of the unit
    assert 3 not in bench.verified()  # a part of a unit proves nothing of the rest
    assert 12 not in bench.verified()
    assert facts["changed_now_bytes"] == 2 * UNIT


def test_holes_need_no_reading(tmp_path):
    bench = Bench(tmp_path, holes=[2, 3, 4, 9])
    _, _, read, facts = bench.run("1M")
    assert not read & {2, 3, 4, 9}
    assert facts["known_bytes"] == 4 * UNIT
    assert facts["to_read_bytes"] == bench.size - 4 * UNIT
    assert facts["never_bytes"] == facts["to_read_bytes"] - facts["verified_bytes"]


def test_a_hole_that_is_written_was_never_verified(tmp_path):
    bench = Bench(tmp_path, holes=[2, 3])
    bench.run()
    bench.spoil(2)
    _report, found, read, _facts = bench.run("64K")
    assert read == {2}
    assert found[0][:2] == (2 * UNIT, 4096)
    bench.check()


SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 24))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_law_over_many_runs(tmp_path, seed):
    """Random changes, all of them listed, in random budgets: nothing is called verified that differs, and no unit
    waits longer than the budget promises.
    """
    rng = random.Random(seed)
    bench = Bench(tmp_path, units=rng.randrange(3, 25), tail=rng.choice([0, 1, 777]), seed=seed)
    per_run = rng.randrange(1, 8)
    waited = dict.fromkeys(range(bench.units), 0)
    promised = -(-bench.units // max(1, per_run // 2)) + 1
    for number in range(14):
        touched = [rng.randrange(bench.size // UNIT) for _ in range(rng.choice([0, 0, 1, 3, 10]))]
        for unit in touched:
            bench.spoil(unit, name=rng.choice("ab"))
        if rng.random() < 0.3:
            touched = list(range(bench.units - 1))
            bench.mend()
        extra = [rng.randrange(bench.size // UNIT) for _ in range(2)]
        listed = bench.list(*touched, *extra) if number else None
        _, found, read, facts = bench.run(None if rng.random() < 0.1 and not listed else f"{per_run * 64}K", listed)
        assert [e[0] for e in found] == sorted(e[0] for e in found)
        bench.check()
        for unit in waited:
            waited[unit] = 0 if unit in read else waited[unit] + 1
            assert waited[unit] <= promised
        one, other = ((tmp_path / name).read_bytes() for name in "ab")
        assert all(one[o : o + n] != other[o : o + n] for o, n, _ in found)
        assert facts["verified_bytes"] + facts["changed_now_bytes"] + facts["different_now_bytes"] <= bench.size


def test_time_is_a_budget_too(bench):
    ticks = iter(range(100000))
    _, _, read, facts = bench.run("3s", clock=lambda: float(next(ticks)))
    assert read
    assert facts["stopped"] == "budget" or facts["verified_bytes"] == bench.size
    assert set(bench.verified()) <= read


def test_enough_time_for_all(bench):
    report, _, read, facts = bench.run("1h")
    assert read == set(range(bench.units))
    assert facts["stopped"] == "done"
    assert facts["runs_for_all"] == 1
    assert not report.identical  # a budget never says so


def test_books(bench):
    bench.spoil(5)
    bench.spoil(29)
    report, found, _read, _ = bench.run("1M")
    settled = report.bytes_compared + sum(report.skipped.values())
    assert settled == report.length
    assert report.bytes_compared == sum(report.source.bytes_by_path.values())
    assert report.differing_bytes == sum(length for _, length, _ in found)


def test_what_cannot_be_read_is_not_verified(bench):
    def wrap(device):
        made = FaultDevice(device, faults=[Fault(5 * UNIT, 5 * UNIT + 4096)])
        made.identity = device.identity
        return made

    from blockdiff.engine.options import ReadOptions

    bench.run(wrap=wrap, options=ReadOptions(keep_going=True))
    assert set(bench.verified()) == set(range(bench.units)) - {5}
    report, *_ = bench.run("1M", wrap=wrap, options=ReadOptions(keep_going=True))
    assert report.unreadable_bytes == 4096
    assert 5 not in bench.verified()


def test_what_cannot_be_read_any_more_is_not_verified_and_keeps_nothing_from_its_turn(bench):
    """Bad sectors in more units than a run may look at: all others are verified again and again."""
    from blockdiff.engine.options import ReadOptions

    def wrap(device, *faults):
        made = FaultDevice(device, faults=list(faults))
        made.identity = device.identity
        return made

    def failing(device):
        return wrap(device, Fault(5 * UNIT, 15 * UNIT + 1))

    bench.spoil(12)
    bench.run(wrap=wrap)
    bad, going = set(range(5, 16)), {"options": ReadOptions(keep_going=True)}
    report, *_ = bench.run(wrap=failing, **going)
    facts = report.extra["ledger"]
    assert set(bench.verified()) == set(range(bench.units)) - bad
    assert (facts["changed_now_bytes"], facts["different_now_bytes"]) == (10 * UNIT, UNIT)
    report, *_ = bench.run("256K", wrap=failing, **going)
    assert report.extra["ledger"]["runs_for_all"] is None
    assert not report.identical
    for _ in range(2 * bench.units // 4 + 1):
        bench.run("256K", wrap=failing, **going)
    runs = bench.verified()
    assert set(runs) == set(range(bench.units)) - bad
    assert min(runs.values()) > 2
    facts = bench.run("256K", wrap=failing, **going)[3]
    assert facts["different_now_bytes"] == UNIT
    bench.mend()
    for _ in range(2 * bench.units // 4 + 1):
        bench.run("256K", wrap=wrap)
    assert set(bench.verified()) == set(range(bench.units))


def test_what_was_settled_before_an_error_is_kept(tmp_path):
    bench = Bench(tmp_path, units=300)

    def wrap(device):
        made = FaultDevice(device, faults=[Fault(290 * UNIT, 291 * UNIT, errno=errno.EIO)])
        made.identity = device.identity
        return made

    with pytest.raises(DeviceError):
        bench.run("1h", wrap=wrap)
    kept = bench.verified()
    assert kept
    assert 290 not in kept
    ledger = Ledger.read(bench.path)
    assert ledger.runs[-1].outcome == "failed"
    ledger.close()


@pytest.mark.parametrize("change", [UNIT * 3, 5, -5, -UNIT * 4, -777], ids="{:+}".format)
def test_another_size(bench, change):
    bench.run()
    for name in "ab":
        with (bench.place / name).open("r+b") as file:
            file.truncate(bench.size + change)
            if change > 0:
                file.seek(bench.size)
                file.write(b"x" * change)
    _, _, read, facts = bench.run("64K")
    assert facts["resized"] == {"from": bench.size, "to": bench.size + change}
    last = min(bench.size, bench.size + change) // UNIT
    kept = set(bench.verified())
    assert kept <= set(range(last)) | read
    if change > 0:
        assert min(read) >= last
    bench.check()


def test_one_side_that_grows_changes_nothing(bench):
    bench.run()
    with (bench.place / "b").open("ab") as file:
        file.write(b"x" * 100)
    _report, found, _, facts = bench.run("64K")
    assert found[-1][:2] == (bench.size, 100)
    assert facts["resized"] is None


@pytest.mark.parametrize("name", ["a", "b"])
def test_of_another_volume(bench, name):
    bench.run()
    data = (bench.place / name).read_bytes()
    (bench.place / name).rename(bench.place / "old")
    (bench.place / name).write_bytes(data)
    with pytest.raises(InvalidInput, match=f"of another {'source' if name == 'a' else 'target'}"):
        bench.run()


def test_another_name_of_the_same(bench):
    bench.run()
    (bench.place / "b").rename(bench.place / "c")
    (bench.place / "b").symlink_to(bench.place / "c")
    bench.run("64K")


def test_two_runs_at_once(bench):
    bench.run()
    ledger = Ledger.take(bench.path)
    try:
        with pytest.raises(DeviceBusy, match="another run"):
            bench.run()
    finally:
        ledger.close()
    bench.run()


def test_the_list_of_another_run_is_not_lost(bench):
    """What a run notes as changed stays changed, whatever is killed later."""
    bench.run(wrap=_faulty)
    with pytest.raises(KeyboardInterrupt):
        bench.run("1M", bench.list(3), wrap=_interrupting)
    assert 3 not in bench.verified()


def _faulty(device, **words):
    made = FaultDevice(device, **words)
    made.identity = device.identity
    return made


def _interrupting(device):
    made = _faulty(device)

    def interrupt(buffer, offset):
        raise KeyboardInterrupt

    made.clone = lambda: made
    made.pread_into = interrupt
    return made


@pytest.mark.parametrize("comparing", [{"offset": 5}, {"length": 5}], ids=str)
def test_not_of_a_part(bench, comparing):
    with pytest.raises(InvalidInput, match="whole volumes"):
        bench.run(**comparing)


def test_a_device_without_identity(tmp_path):
    with pytest.raises(UnsupportedOperation, match="identity"):
        Session(str(tmp_path / "ledger")).plan(memory(b"x"), memory(b"x"), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, UNIT - 1, UNIT, UNIT + 1])
def test_small_volumes(tmp_path, size):
    bench = Bench(tmp_path, units=0, tail=size)
    for budget in ("1K", None, "1h"):
        _, _, _read, facts = bench.run(budget)
    assert facts["verified_bytes"] == size
    assert facts["never_bytes"] == 0


def test_it_cannot_be_written_any_more(bench, monkeypatch):
    from blockdiff.engine.ledger import recorder

    bench.run("64K")
    monkeypatch.setattr(recorder, "COMMIT_SECONDS", 0)
    before = bench.verified()

    def full(*_, **__):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    monkeypatch.setattr(Ledger, "_put", full)
    with pytest.raises(OutputError, match="disk is full"):
        bench.run("1M")
    assert bench.verified() == before


def test_the_differences_of_rounds_ascend(bench):
    for unit in (2, 11, 25):
        bench.spoil(unit)
    bench.run("1M")
    _, found, _, _ = bench.run("1M")
    assert [e[0] // UNIT for e in found] == sorted(e[0] // UNIT for e in found)
    ledger = Ledger.read(bench.path)
    assert Extents([e[:2] for b in ledger.ranges(DIFFERENT) for e in b]).total() == 3 * UNIT
    ledger.close()


def test_the_python_api(bench):
    import blockdiff

    names = bench.place / "a", bench.place / "b"
    report = blockdiff.verify(*names, ledger=bench.path, budget="640K")
    assert report.extra["ledger"]["equal_bytes"] == 10 * UNIT
    assert not report.identical
    bench.spoil(3)
    report = blockdiff.verify(*names, ledger=bench.path, extents=bench.list(3)[0], budget="128K", max_differences=0)
    assert report.difference_count == 1
    assert not len(report.differences)
    assert blockdiff.verify(*names, ledger=bench.path).extra["ledger"]["run"] == 3
    for words in ({"budget": "1h"}, {"ledger": bench.path, "sample": blockdiff.Sampling(share="1%")}):
        with pytest.raises(InvalidInput):
            blockdiff.verify(*names, **words)
    with pytest.raises(InvalidInput):
        blockdiff.verify(*names, ledger=bench.path, budget="1h", first=True)
