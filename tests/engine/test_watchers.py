"""Whoever watches a comparison hears of every byte once: as known, or as read with what was found there."""

import pytest

from blockdiff._fast import SEG_SKIP_HOLE, Extents
from blockdiff.engine.verify import Verification
from blockdiff.errors import OutputError
from tests.fixtures.images import random_pair
from tests.fixtures.inprocess import memory


class Watcher:
    def __init__(self):
        self.known_parts, self.tasks, self.found, self.bad = [], [], [], []

    def known(self, plan):
        self.known_parts += plan.only(SEG_SKIP_HOLE)

    def settle(self, task, found, unreadable):
        self.tasks += task
        self.found += found
        self.bad += unreadable


@pytest.mark.parametrize("seed", range(12))
def test_every_byte_is_told_once(seed):
    a, b, _ = random_pair(seed, size=3 * 65536 + 777)
    size = min(len(a), len(b))
    hole = (65536, 65536 + 8192)
    a, b = (x[: hole[0]] + bytes(8192) + x[hole[1] :] for x in (a, b))
    watcher = Watcher()
    run = Verification(memory(a, [hole]), memory(b, [hole]), watchers=[watcher])
    differences = [e for batch in run for e in batch]
    told = sorted([*watcher.known_parts, *watcher.tasks])
    at = 0
    for extent in told:
        assert extent.offset == at
        at = extent.end
    assert at == size
    joined = Extents(sorted(e[:2] for e in watcher.found)).coalesce()
    inside = Extents([e[:2] for e in differences]).clip(0, size).coalesce()
    assert joined == inside
    assert not watcher.bad


def test_what_it_raises_ends_the_run():
    class Full(Watcher):
        def settle(self, task, found, unreadable):
            raise OutputError("full")

    run = Verification(memory(b"x" * 9000), memory(b"x" * 9000), watchers=[Full()])
    with pytest.raises(OutputError):
        list(run)
    assert not run.report.identical
    assert not run.report.complete
