"""A report of 1 M differences in 1 TiB becomes a page; the block map is counted. In process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call
from blockdiff._fast import Extents
from blockdiff.engine.blockmap import BlockMap
from blockdiff.report.page import render
from blockdiff.report.reading import read_report
from tests.report.making import many, write_big

if TYPE_CHECKING:
    from pathlib import Path

    from bench.result import Racer, Result

pytestmark = pytest.mark.benchmark(timer=runner.clock)

COUNT, SIZE, TASK = 1_000_000, 1 << 40, 32 << 20
LARGEST = 5_000_000  # bytes of the page


@pytest.fixture(scope="module")
def differences() -> Extents:
    return many(COUNT, SIZE)


def test_page(race: Racer, found: Result, differences: Extents, tmp_path: Path) -> None:
    write_big(tmp_path / "report.json", differences, SIZE)

    def go() -> int:
        with open(tmp_path / "report.json", "rb") as file:
            run = read_report(file, "report.json", limit=COUNT)
        expect(run.listed.kept, len(differences), "ranges")
        return len(render([run], title="bench", made_at="now"))

    def check(answer: object) -> None:
        expect(isinstance(answer, int) and answer < LARGEST, True, "a page of less than 5 MB")

    contest = race(targets.PAGE, Call("blockdiff", go, check), [])
    found.add(targets.PAGE, "seconds", contest.cost("blockdiff", "cpu"))


def test_block_map(race: Racer, found: Result, differences: Extents) -> None:
    tasks = [(Extents([(at, TASK)]), differences.clip(at, at + TASK)) for at in range(0, SIZE, TASK)]
    nothing = Extents()

    def go() -> int:
        counted = BlockMap(SIZE, 4096)
        for task, part in tasks:
            counted.settle(task, part, nothing)
        return sum(run.get("changed", 0) * run["cells"] for run in counted.to_dict()["runs"])

    def check(answer: object) -> None:
        expect(answer, differences.total(), "bytes that differ")

    contest = race(targets.BLOCK_MAP, Call("blockdiff", go, check), [])
    found.add(targets.BLOCK_MAP, "seconds", contest.cost("blockdiff", "cpu"))
