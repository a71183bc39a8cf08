"""``blockdiff verify`` as a whole command, interpreter start included."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bench import cache, peers, runner, targets
from bench.runner import Command, nothing

if TYPE_CHECKING:
    from bench.data import Store
    from bench.result import Noter, Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

WARM = {targets.SMALL: cache.warm_small, targets.LARGE: cache.warm_large}
WANTED = {targets.SMALL: 4096, targets.LARGE: 2 << 20}


@pytest.mark.parametrize("workers", [1, 2], ids=["1 worker", "2 workers"])
@pytest.mark.parametrize("folios", [targets.SMALL, targets.LARGE])
def test_equal_hot(
    race: Racer, told: Noter, store: Store, chosen: Setting, found: Result, folios: str, workers: int
) -> None:
    workload = targets.hot(folios, workers)
    pair = store.equal(chosen.size)
    WARM[folios](pair.paths)
    shares = cache.folios(pair.source)
    if shares and shares.get(WANTED[folios], 0) < 0.75:
        found.absent[workload] = f"this file system caches in other folios: {cache.described(shares)}"
        pytest.skip(found.absent[workload])
    told(workload, pair)
    others = [peer.command(pair, nothing) for peer in peers.present(pair)]
    if workers > 1:
        others = [other for other in others if other.name in {"cmp", "qemu-img compare", "blocksync-fast --mmap"}]
    race(workload, peers.verify(pair, nothing, "--workers", str(workers)), others)


def test_equal_cold(race: Racer, found: Result, store: Store, chosen: Setting) -> None:
    pair = store.equal(chosen.size)
    out = partial(cache.evict, pair.paths)
    found.note(targets.COLD, f"{cache.named(pair.data)} of data a side, evicted before each command")
    others = [peer.command(pair, out) for peer in peers.present(pair, cold=True)]
    race(targets.COLD, peers.verify(pair, out), others, warm_up=False)


def test_scattered_hot(race: Racer, told: Noter, store: Store, chosen: Setting) -> None:
    pair = store.scattered(chosen.size)
    cache.warm_large(pair.paths)
    told(targets.SCATTERED, pair)
    others = [peer.command(pair, nothing) for peer in peers.present(pair)]
    race(targets.SCATTERED, peers.verify(pair, nothing, "--workers", "1"), others)


@pytest.mark.parametrize("state", ["cold", "hot"])
def test_sparse(race: Racer, found: Result, store: Store, chosen: Setting, state: str) -> None:
    workload = {"cold": targets.SPARSE_COLD, "hot": targets.SPARSE_HOT}[state]
    pair = store.sparse(chosen.sparse_size, chosen.sparse_data)
    cold = state == "cold"
    prepare = partial(cache.evict, pair.paths) if cold else nothing
    if not cold:
        cache.warm_large(pair.paths)
    asked = peers.present(pair, cold=cold)
    left_out = [peer.name for peer in peers.PEERS if peer.present and not peer.mapped]
    found.note(workload, f"{cache.named(pair.data)} of data a side; not run (read every hole): {', '.join(left_out)}")
    others = [peer.command(pair, prepare) for peer in asked]
    race(workload, peers.verify(pair, prepare, "--workers", "1"), others, warm_up=not cold)


def test_zeroes_against_hole(race: Racer, told: Noter, store: Store, chosen: Setting) -> None:
    pair = store.zeroes(chosen.zero_size)
    cache.warm(pair.paths)
    told(targets.ZEROES, pair)
    others = [peer.command(pair, nothing) for peer in peers.present(pair)]
    race(targets.ZEROES, peers.verify(pair, nothing, "--workers", "1"), others)


def test_start(race: Racer, found: Result, store: Store) -> None:
    """A small pair shows what a start costs; bare Python is the floor."""
    pair = store.tiny()
    cache.warm(pair.paths)
    bare = Command("bare Python", (sys.executable, "-c", "pass"), peers.succeeded)
    others = [bare, *(peer.command(pair, nothing) for peer in peers.present(pair) if peer.name == "cmp")]
    contest = race(targets.START, peers.verify(pair, nothing), others)
    found.add(targets.START, "milliseconds", contest.cost(contest.ours.name, "wall") * 1000)
