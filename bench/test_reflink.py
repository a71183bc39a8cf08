"""Two files that share most of their blocks: what is shared need not be read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from bench import cache, peers, runner, targets

if TYPE_CHECKING:
    from bench.data import Pair
    from bench.result import Racer, Result

pytestmark = pytest.mark.benchmark(timer=runner.clock)


def test_diff(race: Racer, found: Result, reflinked: Pair) -> None:
    out = partial(cache.evict, reflinked.paths)
    found.note(targets.REFLINK, f"{cache.named(reflinked.data)} of data a side, evicted; XFS on a direct loop device")
    ours = peers.diff(reflinked, out, "--method", "reflink", name="blockdiff diff --method reflink")
    reading = peers.diff(reflinked, out, "--method", "content", name=targets.READING)
    others = [peer.command(reflinked, out) for peer in peers.present(reflinked) if peer.name == "naive Python"]
    race(targets.REFLINK, ours, [reading, *others], warm_up=False)
