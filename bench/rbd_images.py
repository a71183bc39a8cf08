"""A Ceph cluster of its own (one monitor, one bluestore OSD), and the images that the RBD benchmarks race over."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import BLOCK, Range, joined
from tests.fixtures.ceph_client import Ceph
from tests.fixtures.ceph_cluster import PYTHON, Cluster, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIB = 1 << 20
OBJECT = 4 * MIB
POOL = "bench"
FILL = str(Path(__file__).with_name("rbd_fill.py"))
OBJECTS, CHANGED = 1000, 500  # of a thin image


class Images:
    """Makes images on demand, each once. Equal names of a kind give equal bytes."""

    def __init__(self, base: str) -> None:
        if len(base) < 40:  # the path of a socket is short
            os.environ["PYTEST_DEBUG_TEMPROOT"] = base
        self.cluster = Cluster("--size", "40G")
        self.ceph = Ceph(self.cluster)
        self.conf = str(self.cluster.conf)
        self.ceph.mon("osd pool create", pool=POOL, pg_num=8, pgp_num=8)
        self.cluster.ask("pool", (POOL, ""), "pool_init", (True,))
        self._made: set[str] = set()

    def close(self) -> None:
        self.cluster.close()

    # ---- names ----

    def url(self, name: str) -> str:
        return f"rbd:{POOL}/{name}?conf={self.conf}"

    def qemu(self, name: str) -> str:
        return f"rbd:{POOL}/{name}:conf={self.conf}"

    def rbd(self, *words: str) -> list[str]:
        """A command line of Ceph's own program."""
        return ["rbd", "-c", self.conf, *words]

    # ---- images ----

    def full(self, name: str, size: int) -> str:
        """Every object written with noise; at its snapshot."""

        def make() -> None:
            self._create(name, size)
            self.fill(name, pieces(size), seed=7)
            self.snapshot(name, "s")

        return self._once(name, make, f"{name}@s")

    def changed(self, name: str, size: int, percent: int = 10) -> list[Range]:
        """The same with a snapshot s2, before which whole 64 KiB blocks were rewritten; these."""
        rng = random.Random(21)
        blocks = sorted(rng.sample(range(size // BLOCK), size // BLOCK * percent // 100))
        ranges = [(block * BLOCK, BLOCK) for block in blocks]

        def make() -> None:
            self.full(name, size)
            self.fill(name, ranges, seed=8)
            self.snapshot(name, "s2")

        self._once(f"{name}@s2", make, name)
        return joined(ranges)

    def thin(self, name: str, size: int) -> list[Range]:
        """64 KiB in each of 1000 objects, snapshot s1, the same in 500 (half of them new), snapshot s2; the latter."""
        rng = random.Random(5)
        count = size // OBJECT
        written = rng.sample(range(count), OBJECTS)
        old = rng.sample(written, CHANGED // 2)
        new = rng.sample(sorted(set(range(count)) - set(written)), CHANGED - len(old))
        before, after = ([place(rng, number) for number in sorted(numbers)] for numbers in (written, old + new))

        def make() -> None:
            self._create(name, size)
            self.fill(name, before, seed=3)
            self.snapshot(name, "s1")
            self.fill(name, after, seed=4)
            self.snapshot(name, "s2")

        self._once(name, make, name)
        return after

    def dense(self, name: str, size: int) -> list[Range]:
        """Full at s1, and in s2 the first half of every 8 KiB rewritten; these."""
        ranges = [(offset, 4096) for offset in range(0, size, 8192)]

        def make() -> None:
            self._create(name, size)
            self.fill(name, pieces(size), seed=5)
            self.snapshot(name, "s1")
            self.fill(name, ranges, seed=6)
            self.snapshot(name, "s2")

        self._once(name, make, name)
        return ranges

    def fill(self, name: str, ranges: Iterable[Range], *, seed: int) -> None:
        """Writes noise into these ranges."""
        subprocess.run(
            [PYTHON, "-I", FILL, self.conf, POOL, name, str(seed)],
            input="".join(f"{offset} {length}\n" for offset, length in ranges).encode(),
            check=True,
            env=environment(),
        )

    def snapshot(self, name: str, snapshot: str) -> None:
        self.ceph.snapshot(f"{POOL}/{name}", snapshot)

    def run(self, *words: str) -> str:
        """What a command of ``rbd`` prints."""
        done = subprocess.run(self.rbd(*words), check=True, capture_output=True, text=True, env=environment())
        return done.stdout

    def _create(self, name: str, size: int) -> None:
        self.run("create", f"{POOL}/{name}", "--size", f"{size >> 20}M")

    def _once(self, key: str, make: Callable[[], None], answer: str) -> str:
        if key not in self._made:
            make()
            self._made.add(key)
        return answer

    # ---- the wire ----

    def wire_bytes(self) -> int:
        """What the OSD has sent and received so far, as its messenger counts: its clients', and a little of its own."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.cluster.directory / "run/osd.0.asok"))
            asked.sendall(json.dumps({"prefix": "perf dump"}).encode() + b"\0")
            asked.shutdown(socket.SHUT_WR)
            with asked.makefile("rb") as answer:
                length = int.from_bytes(answer.read(4), "big")
                counters = json.loads(answer.read(length))
        workers = [values for name, values in counters.items() if name.startswith("AsyncMessenger::Worker")]
        return sum(values["msgr_recv_bytes"] + values["msgr_send_bytes"] for values in workers)


def pieces(size: int) -> list[Range]:
    return [(offset, min(OBJECT, size - offset)) for offset in range(0, size, OBJECT)]


def place(rng: random.Random, number: int) -> Range:
    """64 KiB somewhere in the first half of an object."""
    return number * OBJECT + rng.randrange(OBJECT // 2 // 4096) * 4096, BLOCK
