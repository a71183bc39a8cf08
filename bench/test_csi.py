"""Changed blocks over gRPC on loopback, and a list of them proved by applying it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from fixtures.tls import Authority

from bench import cache, csi_client, csi_server, data, peers, runner, targets
from bench.runner import Call, Command, WrongAnswer
from blockdiff.csi.connection import SnapshotMetadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.data import Pair, Store
    from bench.result import Noter, Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

HERE = Path(__file__).parent


class Server:
    """One of the servers of csi_server.py, in a process of its own."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.csi_server", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise WrongAnswer(f"the server {words[0]} did not start")

    @property
    def peak(self) -> float:
        """Peak memory so far, MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self) -> None:
        self._process.communicate()


class Servers:
    """Servers by kind, started when they are first asked for."""

    def __init__(self, place: Path) -> None:
        files = Authority(place).issue()
        self.ca = files.ca
        pair, socket = (str(files.cert), str(files.key)), str(place / "driver.sock")
        self._words = {"sidecar": pair, "plain": pair, "driver": (socket,), "relay": (*pair, socket)}
        self._running: dict[str, Server] = {}

    def __getitem__(self, kind: str) -> Server:
        if kind == "relay":
            self["driver"]
        if kind not in self._running:
            self._running[kind] = Server(kind, *self._words[kind])
        return self._running[kind]

    def close(self) -> None:
        for each in reversed(self._running.values()):
            each.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="blockdiff-bench-") as place:
        made = Servers(Path(place))
        yield made
        made.close()


def answer(count: int) -> tuple[int, int]:
    return count, count * csi_server.LENGTH


@pytest.mark.parametrize("kind", ["sidecar", "relay"])
def test_stream(race: Racer, found: Result, chosen: Setting, servers: Servers, kind: str) -> None:
    count = 1_000_000 if chosen.quick else 4_000_000
    workload = targets.CSI_STREAM if kind == "sidecar" else targets.CSI_RELAY
    trusted = servers.ca.read_bytes()
    service = SnapshotMetadata(servers[kind].address, ca_cert=trusted, token="bench")
    credentials = grpc.ssl_channel_credentials(trusted)

    def plain() -> tuple[int, int]:
        with grpc.secure_channel(servers["plain"].address, credentials) as channel:
            return csi_client.plain(channel, count)

    def check(said: tuple[int, int]) -> None:
        peers.expect(said, answer(count), "ranges and bytes")

    ours = Call("blockdiff", lambda: csi_client.native(service, count), check)
    contest = race(workload, ours, [Call(targets.CSI_PLAIN, plain, check)])
    found.add(workload, "rate", count / contest.cost("blockdiff", "wall") / 1e6)
    found.note(workload, f"{count} ranges, {csi_server.EACH} a message; cpu is that of the client")


def test_many(race: Racer, found: Result, chosen: Setting, servers: Servers) -> None:
    count = 10_000_000 if chosen.quick else 100_000_000
    server = servers["sidecar"]
    words = [sys.executable, str(HERE / "csi_client.py"), server.address, str(servers.ca), str(count)]

    def check(outcome: runner.Outcome) -> None:
        peers.succeeded(outcome)
        peers.expect(tuple(map(int, outcome.stdout.split())), answer(count), "ranges and bytes")

    contest = race(targets.CSI_MANY, Command("blockdiff", words, check), [])
    found.add(targets.CSI_MANY, "rate", count / contest.cost("blockdiff", "wall") / 1e6)
    found.note(targets.CSI_MANY, f"{count} ranges; the server's peak is {server.peak:.1f} MiB")


# ---- the verifier ----


def listing(pair: Pair, store: Store) -> str:
    """The truth as a list of the Kubernetes lister."""
    found = [{"byte_offset": offset, "size_bytes": length} for offset, length in pair.truth.changed]
    record = {"block_metadata_type": 1, "volume_capacity_bytes": pair.truth.size, "block_metadata": found}
    path = store.path("changed.json")
    Path(path).write_text(json.dumps([record]), encoding="ascii")
    return path


def applied(pair: Pair, name: str, words: list[str]) -> Command:
    """A command that brings the target to the source by the list, from the same start each time."""

    def prepare() -> None:
        data.restore(pair)
        cache.warm(pair.paths)

    def check(outcome: runner.Outcome) -> None:
        peers.expect(set(outcome.codes), {0}, "exit codes")
        peers.expect(int(outcome.stdout), pair.truth.bytes, "bytes copied")
        if not data.same(*pair.paths):
            raise WrongAnswer("the target is not equal afterwards")

    return Command(name, words, check, prepare)


def contestants(pair: Pair, store: Store) -> tuple[Command, Command]:
    """Ours and the loop."""
    sides = [*pair.paths, listing(pair, store)]
    naive = [sys.executable, str(HERE / "csi_apply.py"), *sides, ";", "cmp", *pair.paths]
    ours = [sys.executable, str(HERE / "csi_verify.py"), *sides]
    return applied(pair, "blockdiff", ours), applied(pair, targets.CSI_CMP, naive)


def test_verifier(race: Racer, found: Result, told: Noter, store: Store, chosen: Setting) -> None:
    pair = store.rewritten(chosen.size, block=4096)
    cache.warm(pair.paths)
    told(targets.CSI_VERIFY, pair)
    found.note(targets.CSI_VERIFY, f"{len(pair.truth.changed)} ranges of 4 KiB")
    ours, naive = contestants(pair, store)
    race(targets.CSI_VERIFY, ours, [naive])
    data.restore(pair)
