"""Changed blocks over gRPC on loopback, and a list of them proved by applying it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from bench import cache, csi_client, csi_server, data, peers, runner, targets
from bench.runner import Call, Command, WrongAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.data import Pair, Store
    from bench.result import Noter, Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

HERE = Path(__file__).parent
EACH = 10_000  # ranges a message


class Server:
    """One of the servers of csi_server.py, in a process of its own."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.csi_server", kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    @property
    def peak(self) -> float:
        """Peak memory so far, MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[str], Server]]:
    """A running server of a kind."""
    running: dict[str, Server] = {}

    def started(kind: str) -> Server:
        if kind not in running:
            running[kind] = Server(kind)
        return running[kind]

    yield started
    for each in running.values():
        each.close()


def answer(count: int) -> tuple[int, int]:
    return count, count * csi_server.LENGTH


def test_stream(race: Racer, found: Result, chosen: Setting, server: Callable[[str], Server]) -> None:
    count = 1_000_000 if chosen.quick else 4_000_000

    def check(said: tuple[int, int]) -> None:
        peers.expect(said, answer(count), "ranges and bytes")

    with (
        grpc.insecure_channel(server("native").address) as ours,
        grpc.insecure_channel(server("plain").address) as theirs,
    ):
        contest = race(
            targets.CSI_STREAM,
            Call("blockdiff", lambda: csi_client.native(ours, count, EACH), check),
            [Call(targets.CSI_PLAIN, lambda: csi_client.plain(theirs, count, EACH), check)],
        )
    found.add(targets.CSI_STREAM, "rate", count / contest.cost("blockdiff", "wall") / 1e6)
    found.note(targets.CSI_STREAM, f"{count} ranges, {EACH} a message; server and client are two processes")
    found.note(targets.CSI_STREAM, "cpu is that of the client")


def test_many(race: Racer, found: Result, chosen: Setting, server: Callable[[str], Server]) -> None:
    count = 10_000_000 if chosen.quick else 100_000_000
    words = [sys.executable, str(HERE / "csi_client.py"), server("native").address, str(count), str(EACH)]

    def check(outcome: runner.Outcome) -> None:
        peers.succeeded(outcome)
        peers.expect(tuple(map(int, outcome.stdout.split())), answer(count), "ranges and bytes")

    contest = race(targets.CSI_MANY, Command("blockdiff", words, check), [])
    found.add(targets.CSI_MANY, "rate", count / contest.cost("blockdiff", "wall") / 1e6)
    found.note(targets.CSI_MANY, f"{count} ranges; the server's peak is {server('native').peak:.1f} MiB")


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


def test_verifier(race: Racer, found: Result, told: Noter, store: Store, chosen: Setting) -> None:
    pair = store.rewritten(chosen.size, block=4096)
    cache.warm(pair.paths)
    told(targets.CSI_VERIFY, pair)
    found.note(targets.CSI_VERIFY, f"{len(pair.truth.changed)} ranges of 4 KiB")
    sides = [*pair.paths, listing(pair, store)]
    ours = applied(pair, "blockdiff", [sys.executable, str(HERE / "csi_verify.py"), *sides])
    naive = [sys.executable, str(HERE / "csi_apply.py"), *sides, ";", "cmp", *pair.paths]
    race(targets.CSI_VERIFY, ours, [applied(pair, targets.CSI_CMP, naive)])
    data.restore(pair)
