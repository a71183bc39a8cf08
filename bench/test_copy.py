"""Bringing a replica up to date: write what differs, then prove it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import cache, data, peers, runner, setting, targets
from bench.runner import Command, WrongAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.data import Store
    from bench.result import Noter, Racer
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

OTHERS = (
    (targets.CONVERT, "qemu-img convert -f raw -O raw SRC DST ; qemu-img compare -f raw -F raw SRC DST"),
    ("rsync --inplace + cmp", "rsync --checksum --inplace --no-whole-file SRC DST ; cmp -s SRC DST"),
    ("blocksync-fast + cmp", "blocksync-fast -s SRC -d DST ; cmp -s SRC DST"),
    ("blocksync-fast --mmap + cmp", "blocksync-fast -s SRC -d DST --mmap ; cmp -s SRC DST"),
)


def updates(pair: data.Pair, name: str, words: list[str], before: Callable[[], None] = lambda: None) -> Command:
    """A command that makes the target equal to the source, from the same start each time."""

    def prepare() -> None:
        before()
        data.restore(pair)
        cache.warm(pair.paths)

    def check(outcome: runner.Outcome) -> None:
        peers.expect(set(outcome.codes), {0}, "exit codes")
        if not data.same(*pair.paths):
            raise WrongAnswer("the replica is not equal afterwards")

    return Command(name, [{"SRC": pair.source, "DST": pair.target}.get(word, word) for word in words], check, prepare)


def remove(path: Path) -> None:
    """Each repair has a new journal."""
    path.unlink(missing_ok=True)


def test_changed_and_verified(race: Racer, told: Noter, store: Store, chosen: Setting) -> None:
    pair = store.rewritten(chosen.size)
    cache.warm_large(pair.paths)
    told(targets.COPY, pair)
    words = [*setting.program(), "copy", "--changed", "--verify", "-o", "json", "--progress", "none", "SRC", "DST"]
    others = [updates(pair, name, line.split()) for name, line in OTHERS if shutil.which(line.split()[0])]
    race(targets.COPY, updates(pair, "blockdiff", words), others)
    data.restore(pair)


def test_repaired_with_a_journal(race: Racer, told: Noter, store: Store, chosen: Setting) -> None:
    """Against the same without a way back."""
    pair = store.rewritten(chosen.size)
    cache.warm_large(pair.paths)
    told(targets.REPAIR, pair)
    quiet = ["-o", "json", "--progress", "none", "SRC", "DST"]
    journal = Path(pair.target).with_suffix(".undo")  # on the same disk
    words = [*setting.program(), "verify", "--repair", "--max-differences", "0", "--journal", str(journal), *quiet]
    ours = updates(pair, "blockdiff", words, lambda: remove(journal))
    others = [updates(pair, targets.UNCHANGED, [*setting.program(), "copy", "--changed", "--verify", *quiet])]
    race(targets.REPAIR, ours, others)
    remove(journal)
    data.restore(pair)
