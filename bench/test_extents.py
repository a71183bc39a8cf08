"""The algebra of two sets of 1 M extents, checked against NumPy's sums over the same blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call
from blockdiff._fast import Extents

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
