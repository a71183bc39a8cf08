"""10 000 differing blocks of six kinds are told apart, with a history; read again by a recheck. In process."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call
from blockdiff.engine.recheck import Recheck
from blockdiff.engine.registry import open_device
from blockdiff.engine.spool import Spool
from blockdiff.engine.verify import verify_devices
from blockdiff.triage.history import DeviceHistory
from blockdiff.triage.run import Triage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.result import Racer, Result
    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device

pytestmark = pytest.mark.benchmark(timer=runner.clock)

COUNT, BLOCK, APART = 10_000, 4096, 4 * 4096
KINDS = ("stale", "dst-zero", "bit-flip", "torn", "shifted", "unknown")


class Damaged(NamedTuple):
    """Two images that differ in COUNT places, an older state, and where they differ."""

    source: Device
    target: Device
    old: Device
    differences: Extents


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    place: Path = tmp_path_factory.mktemp("triage")
    dice = random.Random(1)
    old = bytearray(dice.randbytes(COUNT * APART))
    new = bytearray(old)
    for at in range(0, len(new), APART):
        new[at : at + BLOCK] = dice.randbytes(BLOCK)
    target = bytearray(new)
    for number in range(COUNT):
        damage(target, new, old, number * APART, KINDS[number % len(KINDS)], dice)
    for name, data in (("old", old), ("new", new), ("target", target)):
        (place / name).write_bytes(data)
    devices = [open_device(place / name) for name in ("new", "target", "old")]
    report = verify_devices(devices[0], devices[1])
    expect(report.difference_count, COUNT, "differences")
    yield Damaged(devices[0], devices[1], devices[2], report.differences)
    for device in devices:
        device.close()


def damage(target: bytearray, new: bytearray, old: bytearray, at: int, kind: str, dice: random.Random) -> None:
    """One block, in one way."""
    if kind == "stale":
        target[at : at + BLOCK] = old[at : at + BLOCK]
    elif kind == "dst-zero":
        target[at : at + BLOCK] = bytes(BLOCK)
    elif kind == "bit-flip":
        target[at + dice.randrange(BLOCK)] ^= 1 << dice.randrange(8)
    elif kind == "torn":
        target[at + 1024 : at + BLOCK] = old[at + 1024 : at + BLOCK]
    elif kind == "shifted":
        target[at : at + BLOCK] = new[at + BLOCK + 512 : at + 2 * BLOCK + 512]
    else:
        target[at : at + BLOCK] = dice.randbytes(BLOCK)


def test_triage(race: Racer, found: Result, damaged: Damaged) -> None:
    wanted = [KINDS[number % len(KINDS)] for number in range(COUNT)]

    def go() -> list[str]:
        run = Triage(damaged.source, damaged.target, [DeviceHistory(damaged.old)])
        return [one.evidence.finding for one in run.run([damaged.differences], COUNT).found]

    def check(answer: object) -> None:
        expect(answer == wanted, True, "each block's own kind")

    contest = race(targets.TRIAGE, Call("blockdiff", go, check), [])
    found.add(targets.TRIAGE, "seconds", contest.cost("blockdiff", "cpu"))


def test_recheck(race: Racer, found: Result, damaged: Damaged) -> None:
    spool = Spool()
    spool.add(damaged.differences)

    def go() -> int:
        again = Recheck(damaged.source, damaged.target, {})
        again.run(spool, [0])
        count = len(again.confirmed)
        again.confirmed.close()
        return count

    def check(answer: object) -> None:
        expect(answer, COUNT, "all still differ")

    contest = race(targets.RECHECK, Call("blockdiff", go, check), [])
    found.add(targets.RECHECK, "seconds", contest.cost("blockdiff", "cpu"))
    spool.close()
