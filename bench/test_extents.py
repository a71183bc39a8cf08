"""The algebra of two sets of 1 M extents, checked against NumPy's sums over the same blocks; and their conversion."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call, Command, Outcome
from bench.setting import program
from blockdiff._fast import Extents
from blockdiff.emitters import make_emitter
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from bench.result import Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

BLOCK = 4096


class Sets:
    """Two sets of ``count`` extents, each in every second slot on average, drawn independently."""

    def __init__(self, count: int) -> None:
        rng = np.random.Generator(np.random.PCG64(7))
        self.count = count
        # An extent starts at an even block and is 1 or 2 blocks long: full overlaps, half overlaps and gaps, in no
        # order that a branch predictor could learn.
        self.lengths = [rng.integers(1, 3, count, dtype=np.int64) for _ in "ab"]
        self.slots = [np.sort(rng.choice(2 * count, count, replace=False)) for _ in "ab"]
        self.a, self.b = (
            Extents.from_arrays((slots.astype(np.int64) * 2 * BLOCK).data, (lengths * BLOCK).data)
            for slots, lengths in zip(self.slots, self.lengths, strict=True)
        )

    def blocks(self, which: int) -> np.ndarray:
        """Which blocks are covered, one bool each."""
        covered = np.zeros(4 * self.count, dtype=bool)
        covered[self.slots[which] * 2] = True
        covered[self.slots[which] * 2 + 1] = self.lengths[which] == 2
        return covered


@pytest.fixture(scope="module")
def sets(chosen: Setting) -> Sets:
    return Sets(chosen.entries)


@pytest.mark.parametrize(
    ("workload", "name"),
    [(targets.UNION, "union"), (targets.INTERSECT, "intersect"), (targets.SUBTRACT, "subtract")],
    ids=["union", "intersect", "subtract"],
)
def test_algebra(race: Racer, found: Result, sets: Sets, workload: str, name: str) -> None:
    a, b = sets.blocks(0), sets.blocks(1)
    covered = {"union": a | b, "intersect": a & b, "subtract": a & ~b}[name]

    def check(made: Extents) -> None:
        expect(made.total(), int(covered.sum()) * BLOCK, "bytes")
        expect(
            np.array_equal(np.asarray(made)["offset"], starts(np.asarray(made), covered)),
            True,
            "every start is a block's",
        )

    contest = race(workload, Call(name, lambda: getattr(sets.a, name)(sets.b), check), [])
    found.add(workload, "milliseconds", contest.cost(name, "cpu") * 1000)


def starts(made: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """The offsets again, those of blocks that are not covered made negative."""
    offsets = made["offset"]
    return np.where(covered[offsets // BLOCK], offsets, -1)


def test_convert(race: Racer, found: Result, sets: Sets, tmp_path: Path) -> None:
    """The whole commands."""
    path = tmp_path / "list.json"
    with path.open("wb") as file:
        emitter = make_emitter("json", file)
        emitter.record(1, Record(BlockMetadataType.VARIABLE_LENGTH, sets.a.end, sets.a))
        emitter.done(1)
    array = np.asarray(sets.a)
    wanted = list(zip(array["offset"].tolist(), array["length"].tolist(), strict=True))

    def check(outcome: Outcome) -> None:
        expect(outcome.codes, (0,), "exit code")
        expect([(e["offset"], e["length"]) for e in json.loads(outcome.stdout)] == wanted, True, "the same extents")

    ours = Command("blockdiff", [*program(), "extents", "convert", "-q", "-o", "rbd", str(path)], check)
    loop = Command("msgspec", [sys.executable, str(Path(__file__).with_name("extent_loop.py")), str(path)], check)
    contest = race(targets.CONVERT_LIST, ours, [loop])
    found.add(targets.CONVERT_LIST, "seconds", contest.cost("blockdiff", "cpu"))
