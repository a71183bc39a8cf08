"""Progress on stderr: a bar for people, lines of JSON for programs."""

from __future__ import annotations

import sys
import time
from typing import Any

from blockdiff.engine.progress import NoProgress

QUIET_SECONDS = 0.5  # work that ends sooner needs no bar, and does not pay for importing one
BAR_INTERVAL, LINE_INTERVAL = 0.1, 1.0


def make_progress(mode: str, *, quiet: bool) -> Any:
    """The progress that ``--progress`` asks for."""
    if mode == "json":
        return JsonProgress()
    if mode == "bar" or (mode == "auto" and not quiet and sys.stderr.isatty()):
        return BarProgress()
    return QuietProgress()


class QuietProgress(NoProgress):
    """Says nothing; has the same handles as the others."""

    differing = 0

    def pause(self) -> None:
        pass


class JsonProgress(QuietProgress):
    """``{"event":"progress",...}`` once a second, and at the end of each stage."""

    def start(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = time.monotonic()
        self._next = self._began + LINE_INTERVAL

    def advance(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LINE_INTERVAL
            self._line(now)

    def finish(self) -> None:
        self._line(time.monotonic())

    def _line(self, now: float) -> None:
        import json

        value = {
            "event": "progress",
            "command": self._what,
            "bytes_done": self._done,
            "bytes_total": self._total,
            "differing_bytes": self.differing,
            "elapsed_seconds": round(now - self._began, 3),
        }
        print(json.dumps(value), file=sys.stderr, flush=True)


class BarProgress(QuietProgress):
    """A bar that appears when the work takes long, and leaves no trace."""

    def start(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._next = time.monotonic() + QUIET_SECONDS
        self._bar: Any = None
        self._shown = False

    def advance(self, done: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + BAR_INTERVAL
        if self._bar is None:
            self._bar = _make_bar()
            self._task = self._bar.add_task(self._what, total=self._total, differing="")
        if not self._shown:
            self._bar.start()
            self._shown = True
        differing = f"[red]{self.differing:,} bytes differ" if self.differing else ""
        self._bar.update(self._task, completed=done, differing=differing, refresh=True)

    def pause(self) -> None:
        """Takes the bar away while something else is written to the terminal."""
        if getattr(self, "_shown", False) and sys.stdout.isatty():
            self._bar.stop()
            self._shown = False

    def finish(self) -> None:
        if self._shown:
            self._bar.stop()
            self._shown = False


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[differing]}"),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
