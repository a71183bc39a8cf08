"""``blockdiff digest`` and ``verify`` by a manifest, whole commands, against xxhsum and b3sum of the same file."""

from __future__ import annotations

import json
import mmap
import shutil
from functools import cache as remembered
from typing import TYPE_CHECKING

import pytest

from bench import cache, runner, targets
from bench.peers import expect
from bench.runner import Command, Outcome
from bench.setting import program
from tests.engine.manifest import reference

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Store
    from bench.result import Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

BLOCK = {"xxh3-128": 64 << 10, "blake3": 128 << 10}
PEER = {"xxh3-128": (targets.XXHSUM, ("xxhsum", "-q", "-H2")), "blake3": (targets.B3SUM, ("b3sum",))}


@remembered
def truth(path: str, algorithm: str) -> tuple[str, str]:
    """The root and the digest of the whole file, by the packages of PyPI."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data, memoryview(data) as view:
        leaves = [reference.block_digest(algorithm, block) for block in reference.blocks(view, BLOCK[algorithm])]
        top = reference.tree(algorithm, leaves)[-1][0]
        root = reference.root_of(algorithm, BLOCK[algorithm], len(view), top)
        whole = reference.block_digest(algorithm, view)
        leaves.clear()
    return root.hex(), whole.hex()


def ours(path: str, algorithm: str) -> Command:
    def check(outcome: Outcome) -> None:
        expect(outcome.codes, (0,), "exit code")
        expect(json.loads(outcome.stdout)["root"], truth(path, algorithm)[0], "root")

    words = [*program(), "digest", "--json", "--progress", "none", "--workers", "1", "--algorithm", algorithm, path]
    return Command("blockdiff digest", words, check)


def theirs(path: str, algorithm: str) -> Command:
    name, words = PEER[algorithm]

    def check(outcome: Outcome) -> None:
        expect(outcome.codes, (0,), "exit code")
        expect(outcome.stdout.split()[0], truth(path, algorithm)[1], "digest")

    return Command(name, [*words, path], check)


def present(found: Result, workload: str, algorithm: str) -> None:
    tool = PEER[algorithm][1][0]
    if not shutil.which(tool):
        found.absent[workload] = f"{tool} is not on PATH"
        pytest.skip(found.absent[workload])


@pytest.mark.parametrize(
    ("workload", "algorithm"),
    [(targets.DIGEST_XXH3, "xxh3-128"), (targets.DIGEST_BLAKE3, "blake3")],
    ids=["xxh3-128", "blake3"],
)
def test_digest(race: Racer, found: Result, store: Store, chosen: Setting, workload: str, algorithm: str) -> None:
    present(found, workload, algorithm)
    pair = store.equal(chosen.size)
    cache.warm_large([pair.source])
    found.note(workload, f"{cache.named(pair.data)}, folios {cache.described(cache.folios(pair.source))}")
    race(workload, ours(pair.source, algorithm), [theirs(pair.source, algorithm)])


def test_verify(race: Racer, found: Result, store: Store, chosen: Setting, tmp_path: Path) -> None:
    present(found, targets.DIGEST_VERIFY, "xxh3-128")
    pair = store.equal(chosen.size)
    manifest = str(tmp_path / "manifest")
    runner.run(Command("digest", [*program(), "digest", "-q", "-o", manifest, pair.target], lambda _: None))
    cache.warm_large([pair.source])

    def check(outcome: Outcome) -> None:
        expect(outcome.codes, (0,), "exit code")
        expect(json.loads(outcome.stdout)["identical"], True, "identical")

    words = [*program(), "verify", "-o", "json", "--progress", "none", "--workers", "1", pair.source, manifest]
    command = Command("blockdiff verify", words, check)
    race(targets.DIGEST_VERIFY, command, [theirs(pair.source, "xxh3-128")])
