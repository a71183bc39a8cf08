"""What a run found: rows for the table, raw numbers behind them, why something did not run. Stored as JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import targets

if TYPE_CHECKING:
    from bench.data import Pair
    from bench.runner import Race

Racer = Callable[..., "Race"]  # the fixtures of conftest.py
Noter = Callable[[str, "Pair"], None]
DIRECTORY = Path(__file__).with_name("results")
SCHEMA = 1


@dataclass
class Row:
    """One measurement. ``value`` is a ratio (theirs over ours) for cpu and wall, else our own number."""

    workload: str
    metric: str
    peer: str
    value: float
    goal: float | None
    reached: bool | None
    ours: float | None = None  # seconds, median
    theirs: float | None = None


@dataclass
class Result:
    """Everything about one run."""

    started: str = ""
    quick: bool = False
    rounds: int = 0
    size: int = 0  # bytes of one side of the ordinary pairs
    machine: dict[str, object] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)  # by workload: sizes, folios
    absent: dict[str, str] = field(default_factory=dict)  # what did not run, and why
    runs: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def caveats(self) -> list[str]:
        """What to keep in mind when reading the goals."""
        small = f"The goals are for files of 1 GiB and more. These have {self.size >> 20} MiB: the start weighs more."
        return [small] if 0 < self.size < 1 << 30 else []

    def note(self, workload: str, text: str) -> None:
        self.notes.setdefault(workload, []).append(text)

    def add(
        self,
        workload: str,
        metric: str,
        value: float,
        *,
        peer: str = "",
        ours: float | None = None,
        theirs: float | None = None,
    ) -> None:
        target = targets.find(workload, metric, peer)
        goal, reached = (target.goal, target.reached(value)) if target else (None, None)
        self.rows.append(Row(workload, metric, peer, value, goal, reached, ours, theirs))

    def add_race(self, workload: str, race: Race) -> None:
        """The ratios of a race, and the raw numbers."""
        ours = race.ours.name
        for peer in race.peers:
            for metric in ("cpu", "wall"):
                self.add(
                    workload,
                    metric,
                    race.ratio(peer.name, metric),
                    peer=peer.name,
                    ours=race.cost(ours, metric),
                    theirs=race.cost(peer.name, metric),
                )
        self.runs[workload] = {
            name: {
                "wall": [round(outcome.wall, 6) for outcome in outcomes],
                "cpu": [round(outcome.cpu, 6) for outcome in outcomes],
                "peak_kib": [outcome.rss for outcome in outcomes],
            }
            for name, outcomes in race.outcomes.items()
        }

    def missing_workloads(self) -> list[str]:
        ran = {row.workload for row in self.rows}
        return sorted(targets.expected() - ran - set(self.absent))

    def store(self, directory: Path = DIRECTORY) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.started.replace(':', '').replace('-', '')}{'-quick' * self.quick}.json"
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps({"schema_version": SCHEMA, **asdict(self)}, indent=1) + "\n")
        os.replace(whole, path)
        return path


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def load(path: Path) -> Result:
    stored = json.loads(path.read_text())
    if stored.pop("schema_version") != SCHEMA:
        raise ValueError(f"{path.name} was stored by another version of these benchmarks")
    rows = [Row(**row) for row in stored.pop("rows")]
    return Result(rows=rows, **stored)


def newest(directory: Path = DIRECTORY) -> Path:
    """The last stored run, a full one if there is any."""
    stored = sorted(directory.glob("*.json"), key=lambda path: (not path.stem.endswith("-quick"), path.name))
    if not stored:
        raise FileNotFoundError("no stored results; run `python -m bench` first")
    return stored[-1]
