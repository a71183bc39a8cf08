"""Runs whole commands in turn, round after round, and compares inside a round.

A shared machine drifts by tens of percent within minutes; two commands that run one after the other drift together. So
every round runs every command once, the ratio is made inside the round, and the median over the rounds is reported.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LAUNCHER = str(Path(__file__).with_name("launch.py"))
TIMEOUT = 1800
SHORTEST = 0.0005  # seconds; below this the kernel's own accounting is noise


class WrongAnswer(AssertionError):
    """A tool failed or said something that is not true of the data; its time means nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a command cost and said. ``codes`` has one exit code for each process."""

    wall: float
    user: float
    system: float
    rss: int
    codes: tuple[int, ...]
    stdout: str = ""
    stderr: str = ""

    @property
    def cpu(self) -> float:
        return self.user + self.system

    def cost(self, metric: str) -> float:
        return max(SHORTEST, self.wall if metric == "wall" else self.cpu)


def nothing() -> None:
    """No preparation."""


@dataclass(frozen=True)
class Command:
    """A command line (``|`` and ``;`` are words of their own, see launch.py) and the judge of its answer."""

    name: str
    argv: Sequence[str]
    check: Callable[[Outcome], None]
    prepare: Callable[[], None] = nothing
    told: bool = False  # it prints "SECONDS CPU_SECONDS" of the part that counts, as the last line of stderr

    def run(self) -> Outcome:
        """Prepares, runs, judges. Raises WrongAnswer."""
        return run(self)


class Clock:
    """The time that commands took, for pytest-benchmark: without the launcher, the preparation and the judging."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


clock = Clock()


@dataclass(frozen=True)
class Call:
    """The same inside this process: a function, and the judge of what it returns."""

    name: str
    function: Callable[[], object]
    check: Callable[[Any], None]

    def run(self) -> Outcome:
        """Runs and judges. The clocks stop before the result is looked at or freed."""
        wall, cpu = time.perf_counter(), time.process_time()
        answer = self.function()
        outcome = Outcome(time.perf_counter() - wall, time.process_time() - cpu, 0.0, 0, ())
        self.check(answer)
        return outcome


def run(command: Command) -> Outcome:
    """Prepares, runs, judges. Raises WrongAnswer."""
    command.prepare()
    with tempfile.TemporaryDirectory(prefix="blockdiff-bench-out-") as scratch:
        files = [os.path.join(scratch, name) for name in ("stdout", "stderr")]
        printed = launch([*files, *command.argv])
        out, err = (Path(file).read_text(errors="replace") for file in files)
    wall, user, system, rss, *codes = printed.split()
    outcome = Outcome(float(wall), float(user), float(system), int(rss), tuple(map(int, codes)), out, err)
    try:
        command.check(outcome)
    except (WrongAnswer, ValueError, LookupError, TypeError) as error:
        told = f"exit codes {outcome.codes}, stdout {outcome.stdout[:300]!r}, stderr {outcome.stderr[-1000:]!r}"
        raise WrongAnswer(f"{command.name}: {error!r}; {told}") from error
    return as_told(outcome) if command.told else outcome


def as_told(outcome: Outcome) -> Outcome:
    """The costs that the command itself has measured."""
    wall, cpu = outcome.stderr.splitlines()[-1].split()
    return replace(outcome, wall=float(wall), user=float(cpu), system=0.0)


def launch(words: Sequence[str]) -> str:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", LAUNCHER, *words], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed, _ = process.communicate(timeout=TIMEOUT)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise WrongAnswer(f"the launcher failed for {words[2:]}")
    return printed


@dataclass
class Race:
    """Our command against others: outcomes by name, round by round."""

    ours: Command | Call
    peers: Sequence[Command | Call]
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def run_peers(self) -> None:
        for peer in self.peers:
            self.outcomes.setdefault(peer.name, []).append(peer.run())

    def run_ours(self) -> None:
        outcome = self.ours.run()
        clock.now += outcome.wall
        self.outcomes.setdefault(self.ours.name, []).append(outcome)

    def warm_up(self) -> None:
        """One round that does not count: first runs load programs and fill caches."""
        self.run_peers()
        self.run_ours()
        self.outcomes.clear()

    def ratio(self, peer: str, metric: str) -> float:
        """The peer's cost over ours; above 1 we are ahead."""
        rounds = zip(self.outcomes[self.ours.name], self.outcomes[peer], strict=True)
        return statistics.median(theirs.cost(metric) / ours.cost(metric) for ours, theirs in rounds)

    def cost(self, name: str, metric: str) -> float:
        return statistics.median(outcome.cost(metric) for outcome in self.outcomes[name])

    def peak(self, name: str) -> int:
        """The largest peak memory, KiB."""
        return max(outcome.rss for outcome in self.outcomes[name])
