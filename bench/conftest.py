"""Options, the data of a run, the race fixture, and the table at the end."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from bench import cache, machine, mount, peers, report, setting
from bench.data import Pair, Store
from bench.result import Result, now
from bench.runner import Call, Command, Race
from bench.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RESULT = pytest.StashKey[Result]()
SETTING = pytest.StashKey[Setting]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("blockdiff benchmarks")
    group.addoption("--quick", action="store_true", help="the small subset of every CI run (BLOCKDIFF_BENCH_QUICK)")
    group.addoption("--gib", type=float, default=0, help="GiB of a file (BLOCKDIFF_BENCH_GIB; 4, quick 0.5)")
    group.addoption("--rounds", type=int, default=0, help="rounds of a race (BLOCKDIFF_BENCH_ROUNDS; 7, quick 3)")
    group.addoption("--keep", action="store_true", help="keep the data for the next run (BLOCKDIFF_BENCH_KEEP)")


def pytest_configure(config: pytest.Config) -> None:
    option = config.getoption
    chosen = setting.load(quick=option("quick"), keep=option("keep"), gib=option("gib"), rounds=option("rounds"))
    config.stash[SETTING] = chosen
    found = Result(now(), chosen.quick, chosen.rounds, chosen.size, machine.facts(chosen.base))
    found.absent.update(dict.fromkeys(peers.missing(), "not on PATH"))
    config.stash[RESULT] = found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "bench":
            item.add_marker(pytest.mark.timeout(0))  # long races are meant


@pytest.fixture(scope="session")
def chosen(request: pytest.FixtureRequest) -> Setting:
    return request.config.stash[SETTING]


@pytest.fixture(scope="session")
def found(request: pytest.FixtureRequest) -> Result:
    return request.config.stash[RESULT]


@pytest.fixture(scope="session")
def store(chosen: Setting) -> Iterator[Store]:
    """The directory of the data: its own and removed, or with --keep a fixed one that stays."""
    kept = os.path.join(chosen.base, "blockdiff-bench")
    made = Store(kept if chosen.keep else tempfile.mkdtemp(prefix="blockdiff-bench-", dir=chosen.base))
    yield made
    if not chosen.keep:
        made.remove()


@pytest.fixture(scope="session")
def reflinked(store: Store, chosen: Setting, found: Result) -> Iterator[Pair]:
    from bench.targets import REFLINK

    try:
        mounted = mount.Mount(store.directory, int(chosen.reflink_size * 1.02))
    except mount.Unavailable as error:
        found.absent[REFLINK] = str(error)
        pytest.skip(f"reflink: {error}")
    try:
        yield mounted.reflink(chosen.reflink_size)
    finally:
        mounted.close()


@pytest.fixture
def race(benchmark: Any, chosen: Setting, found: Result) -> Callable[..., Race]:
    """``race(workload, ours, peers)``: alternating rounds, recorded; pytest-benchmark times our command in it."""

    def run(workload: str, ours: Command | Call, others: Sequence[Command | Call], *, warm_up: bool = True) -> Race:
        contest = Race(ours, others)
        if warm_up:
            contest.warm_up()
        benchmark.group = "in process" if isinstance(ours, Call) else "whole commands"
        benchmark.name = workload
        benchmark.pedantic(contest.run_ours, setup=contest.run_peers, rounds=chosen.rounds, iterations=1)
        found.add_race(workload, contest)
        if isinstance(ours, Command):
            found.add(workload, "peak", contest.peak(ours.name) / 1024)
        benchmark.extra_info["ratios"] = {peer.name: round(contest.ratio(peer.name, "cpu"), 3) for peer in others}
        return contest

    return run


@pytest.fixture
def told(found: Result) -> Callable[[str, Pair], None]:
    """Notes the size and the folios of a pair as it is now, before anything ran."""

    def note(workload: str, pair: Pair) -> None:
        found.note(workload, f"{cache.named(pair.data)} of data a side")
        found.note(workload, f"folios {cache.described(cache.folios(pair.source))}")

    return note


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash[RESULT]
    if not found.rows:
        return
    terminalreporter.section("blockdiff against its peers")
    terminalreporter.write_line(report.terminal(found))
    terminalreporter.write_line(f"\nstored as bench/results/{found.store().name}")
