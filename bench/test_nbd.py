"""Exports of NBD servers on this machine: comparing, reading, and the extents of a bitmap. The servers take part in the
load: with two of them and two processors a client has little to win in wall time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import cache, data, peers, runner, setting, targets
from bench.peers import expect
from bench.runner import Command, nothing

pytest.importorskip("tests.fixtures.nbd", reason="the benchmarks of NBD need the source tree")
from tests.fixtures.nbd import Servers, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.data import Pair, Store
    from bench.result import Racer, Result
    from bench.runner import Outcome
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

HERE = Path(__file__).parent
DISTRIBUTION = "/usr/bin/python3"  # what libnbd's module is made for
STEP = 8192
GRANULARITY = 4096


@pytest.fixture(scope="module")
def servers(found: Result) -> Iterator[Servers]:
    absent = [name for name in ("nbdkit", "qemu-nbd", "qemu-img", "nbdinfo", "nbdcopy") if not shutil.which(name)]
    if absent:
        found.absent.update(dict.fromkeys(targets.NBD, f"{', '.join(absent)} is not on PATH"))
        pytest.skip("no NBD tools")
    place = tempfile.mkdtemp(prefix="nbd-")
    made = Servers(place)
    yield made
    made.close()
    shutil.rmtree(place, ignore_errors=True)


def exported(servers: Servers, pair: Pair) -> Pair:
    """The same pair, each side by an nbdkit of its own."""
    urls = [servers.nbdkit("file", path, read_only=True).uri() for path in pair.paths]
    return data.Pair(urls[0], urls[1], pair.truth, pair.data)


def compared(pair: Pair) -> Command:
    words = ["qemu-img", "compare", "-f", "raw", "-F", "raw", pair.source, pair.target]
    return Command(targets.NBD_QEMU, words, lambda outcome: peers.by_exit(outcome, pair))


def test_full(race: Racer, found: Result, servers: Servers, store: Store, chosen: Setting) -> None:
    local = store.equal(chosen.size)
    cache.warm(local.paths)
    found.note(targets.NBD_FULL, f"{cache.named(chosen.size)} a side, an nbdkit for each")
    pair = exported(servers, local)
    race(targets.NBD_FULL, peers.verify(pair, nothing), [compared(pair)])


@pytest.mark.parametrize(
    ("piece", "workload"),
    [(1 << 20, targets.NBD_SPARSE), (64 << 10, targets.NBD_SCATTERED)],
    ids=["pieces", "scattered"],
)
def test_sparse(
    race: Racer, found: Result, servers: Servers, store: Store, chosen: Setting, piece: int, workload: str
) -> None:
    local = store.sparse(chosen.sparse_size, chosen.sparse_data, piece)
    cache.warm(local.paths)
    found.note(workload, f"{cache.named(chosen.sparse_size)} a side, {cache.named(local.data)} of data")
    pair = exported(servers, local)
    race(workload, peers.verify(pair, nothing), [compared(pair)])


def test_read(race: Racer, found: Result, servers: Servers, store: Store, chosen: Setting) -> None:
    """Ours also looks at every byte; nbdcopy drops them."""
    local = store.equal(chosen.size)
    cache.warm(local.paths)
    found.note(targets.NBD_READ, cache.named(chosen.size))
    url = servers.nbdkit("file", local.source, read_only=True).uri()

    def whole(outcome: Outcome) -> None:
        peers.succeeded(outcome)
        listed = json.loads(outcome.stdout)
        expect(sum(item["length"] for item in listed), chosen.size, "bytes")

    words = [*setting.program(), "map", "--zeroes", "-o", "nbd", "--progress", "none", url]
    other = Command(targets.NBD_COPY, ["nbdcopy", url, "null:"], peers.succeeded)
    race(targets.NBD_READ, Command("blockdiff map --zeroes", words, whole), [other])


def test_bitmap(race: Racer, found: Result, servers: Servers, store: Store, chosen: Setting) -> None:
    count = 10_000 if chosen.quick else 100_000
    image = store.path("bitmap.qcow2")
    dirtied(image, count)
    url = servers.qemu_nbd(image, "-B", "b", image_format="qcow2").uri()
    found.note(targets.NBD_MAP, f"{count} dirty blocks of {GRANULARITY}, one in each {STEP} bytes")

    def listed(outcome: Outcome) -> None:
        peers.succeeded(outcome)
        dirty = [(e["offset"], e["length"]) for e in json.loads(outcome.stdout) if e["description"] != "clean"]
        expect(dirty, [(at * STEP, GRANULARITY) for at in range(count)], "dirty extents")

    def counted(outcome: Outcome) -> None:
        peers.succeeded(outcome)
        expect(outcome.stdout.split(), [str(count), str(count * GRANULARITY)], "extents and bytes")

    words = [*setting.program(), "diff", "-o", "nbd", "--progress", "none", f"{url}&bitmap=b"]
    context = "--map=qemu:dirty-bitmap:b"
    race(
        targets.NBD_MAP,
        Command("blockdiff diff", words, listed),
        [Command(targets.NBD_INFO, ["nbdinfo", context, "--json", url], listed)],
    )
    if subprocess.run([DISTRIBUTION, "-c", "import nbd"], check=False, capture_output=True).returncode:
        found.absent[targets.NBD_COLLECT] = f"{DISTRIBUTION} has no module nbd (package python3-libnbd)"
        return
    ours = Command("blockdiff", [sys.executable, str(HERE / "nbd_collect.py"), url, "b"], counted, told=True)
    loop = [DISTRIBUTION, "-I", str(HERE / "nbd_loop.py"), url, "b"]
    again = runner.Race(ours, [Command(targets.NBD_LOOP, loop, counted, told=True)])
    again.warm_up()
    for _ in range(chosen.rounds):
        again.run_peers()
        again.run_ours()
    found.add_race(targets.NBD_COLLECT, again)


def dirtied(image: str, count: int) -> None:
    """An image of which every second block was written since its bitmap was made."""
    run("qemu-img", "create", "-q", "-f", "qcow2", image, str(count * STEP))
    run("qemu-img", "bitmap", "--add", "-g", str(GRANULARITY), image, "b")
    lines = "".join(f"write -q {at * STEP} {GRANULARITY}\n" for at in range(count))
    subprocess.run(
        ["qemu-io", "-t", "unsafe", "-f", "qcow2", image],
        input=lines + "quit\n", text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
