"""qcow2 images, against QEMU's own comparison."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bench import cache, data, peers, runner, targets
from bench.data import Pair
from bench.runner import Command, WrongAnswer, nothing
from bench.setting import program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.data import Store
    from bench.result import Noter, Racer
    from bench.runner import Outcome
    from bench.setting import Setting

pytestmark = [
    pytest.mark.benchmark(timer=runner.clock),
    pytest.mark.skipif(not shutil.which("qemu-nbd"), reason="needs qemu-nbd: apt-get install qemu-utils"),
]

CLUSTER = 64 << 10
PATTERN = 0xA5  # noise is never 64 KiB of it


def image_of(store: Store, raw: str) -> str:
    """The same disk as qcow2, made once."""
    path = os.path.splitext(raw)[0] + ".qcow2"
    if not os.path.exists(path):
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path + ".part"], check=True)
        os.rename(path + ".part", path)
    return path


def compare(pair: Pair, target_format: str, prepare: Callable[[], None] = nothing) -> Command:
    words = ("qemu-img", "compare", "-f", "qcow2", "-F", target_format, *pair.paths)
    return Command("qemu-img compare", words, lambda outcome: peers.by_exit(outcome, pair), prepare)


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_full(race: Racer, told: Noter, store: Store, chosen: Setting, kind: str) -> None:
    raw = store.equal(chosen.image_size)
    target = image_of(store, raw.target) if kind == "qcow2" else raw.target
    pair = Pair(image_of(store, raw.source), target, raw.truth, raw.data)
    cache.warm(pair.paths)
    workload = {"qcow2": targets.IMAGE_FULL, "raw": targets.IMAGE_RAW}[kind]
    told(workload, pair)
    race(workload, peers.verify(pair, nothing), [compare(pair, kind)])


@pytest.mark.parametrize("state", ["hot", "cold"])
@pytest.mark.parametrize(
    ("piece", "workloads"),
    [
        (1 << 20, (targets.IMAGE_SPARSE, targets.IMAGE_SPARSE_COLD)),
        (CLUSTER, (targets.IMAGE_SCATTERED, targets.IMAGE_SCATTERED_COLD)),
    ],
    ids=["pieces", "clusters"],
)
def test_sparse(
    race: Racer, told: Noter, store: Store, chosen: Setting, state: str, piece: int, workloads: tuple[str, str]
) -> None:
    raw = store.sparse(chosen.sparse_size, min(chosen.sparse_data, chosen.image_size), piece)
    pair = Pair(image_of(store, raw.source), image_of(store, raw.target), raw.truth, raw.data)
    cold = state == "cold"
    prepare = partial(cache.evict, pair.paths) if cold else nothing
    if not cold:
        cache.warm(pair.paths)
    told(workloads[cold], pair)
    race(workloads[cold], peers.verify(pair, prepare), [compare(pair, "qcow2", prepare)], warm_up=not cold)


def test_copy(race: Racer, told: Noter, store: Store, chosen: Setting) -> None:
    """Into a new file that is on the disk in the end: qemu-img flushes with the cache mode writeback."""
    raw = store.equal(chosen.image_size)
    image, target = image_of(store, raw.source), store.path("copied.img")
    pair = Pair(image, target, raw.truth, raw.data)
    cache.warm([image])
    told(targets.IMAGE_COPY, Pair(image, image, raw.truth, raw.data))

    def check(outcome: Outcome) -> None:
        peers.succeeded(outcome)
        if not data.same(raw.source, target):
            raise WrongAnswer("the copy is another disk")

    def copies(name: str, *words: str) -> Command:
        return Command(name, [*words, *pair.paths], check, partial(remove, target))

    ours = copies("blockdiff copy", *program(), "copy", "-q")
    theirs = copies(targets.IMAGE_CONVERT, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-t", "writeback")
    race(targets.IMAGE_COPY, ours, [theirs])
    remove(target)


def remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def test_overlay(race: Racer, told: Noter, store: Store, chosen: Setting) -> None:
    """What an overlay changed: by the chain against reading both, which is what there is without it."""
    raw = store.rewritten(chosen.image_size)
    base, overlay = image_of(store, raw.target), store.path("overlay.qcow2")
    if not os.path.exists(overlay):
        part = overlay + ".part"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", part], check=True)
        for at in range(0, len(raw.truth.changed), 500):
            writes = [
                word
                for offset, length in raw.truth.changed[at : at + 500]
                for word in ("-c", f"write -q -P {PATTERN} {offset} {length}")
            ]
            subprocess.run(["qemu-io", "-f", "qcow2", *writes, part], check=True)
        os.rename(part, overlay)
    pair = Pair(base, overlay, raw.truth, raw.data)
    cache.warm(pair.paths)
    told(targets.IMAGE_CHAIN, pair)
    ours = peers.diff(pair, nothing, "--require", "chain", name="blockdiff diff --require chain")
    race(targets.IMAGE_CHAIN, ours, [peers.diff(pair, nothing, "--method", "content", name=targets.READING)])
