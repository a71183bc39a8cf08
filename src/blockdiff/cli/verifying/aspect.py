"""The contract of what a verify can also do, such as repairing or writing a receipt.

A module that offers it has ``OPTIONS``, the click options that it brings, and ``make(given)``, which takes the values
of these out of ``given`` and returns an Aspect, or None where it was not asked for.
"""

from __future__ import annotations

import functools
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.verifying import ASPECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdiff._fast import Extents
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport


class Aspect:
    """One thing that a verify also does.

    ``option`` is what asked for it, for messages. ``keeps``: the job's spool has every difference when the run ends.
    ``holds``: rows are written at the end only, from the spool, which ``finish`` may replace. ``pairs``: it goes with
    --pairs, one job for each. ``manifests``: it goes with a manifest as a side.
    """

    option = ""
    keeps = holds = pairs = manifests = False

    def prepare(self, job: Job) -> None:
        """The devices are open and nothing was read: may change ``job.comparing``, may refuse."""

    def found(self, batch: Extents) -> None:
        """A batch of differences, as found."""

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        """All was read: may change the report; gives lines for people."""
        return []

    def writing(self, job: Job) -> None:
        """The target is about to be written to, so what was learnt of it before is not true any more."""

    def verdict(self, report: VerifyReport, text: str) -> str:
        """What is said of the result; ``text`` is what would be said without this aspect."""
        return text

    def exit_code(self, report: VerifyReport, code: int) -> int:
        """The exit code; ``code`` is that without this aspect."""
        return code

    def cut_short(self, report: VerifyReport) -> None:
        """An error or Ctrl-C ends the run, and the report, which may still be changed, says so."""

    def failed(self, job: Job | None, report: VerifyReport | None, error: BaseException) -> None:
        """The run ended by an error or Ctrl-C; before the devices were open without a job."""

    def close(self) -> None:
        """Gives back what it holds, in every case."""


@functools.cache
def _modules() -> tuple[Any, ...]:
    return tuple(import_module(f"blockdiff.cli.verifying.{name}") for name in ASPECTS)


def aspect_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of all aspects."""
    for option in reversed([option for module in _modules() for option in module.OPTIONS]):
        command = option(command)
    return command


_TITLES = {
    "Long runs": ("checkpoint",),
    "A part of it": ("sampling", "ledger"),
    "Before it begins": ("estimate",),
    "What the differences are": ("recheck", "triage", "blockmap"),
    "Repair": ("repair",),
    "Evidence": ("receipt", "metrics"),
}


def aspect_groups() -> list[tuple[str, list[str]]]:
    """Titles for the help, each with the options of some aspects."""
    return [(title, [name for aspect in names for name in _names(aspect)]) for title, names in _TITLES.items()]


def _names(aspect: str) -> list[str]:
    module: Any = import_module(f"blockdiff.cli.verifying.{aspect}")

    def bearer() -> None:
        """Options are decorators: this one tells which they are."""

    for option in reversed(module.OPTIONS):
        option(bearer)
    return [parameter.opts[0] for parameter in reversed(getattr(bearer, "__click_params__", []))]


_FILES = ("checkpoint_file", "ledger", "journal", "receipt", "metrics")


def _refuse_one_file(given: dict[str, Any]) -> None:
    """UsageError where two options are to write the same file: one would destroy what the other wrote."""
    seen: dict[str, str] = {}
    for name in _FILES:
        path = given.get(name)
        if path is None or path == "-":
            continue
        other = seen.setdefault(os.path.realpath(path), name)
        if name == "ledger":
            seen[os.path.realpath(path) + "-journal"] = name  # SQLite's own, which it removes
        if other != name:
            first, second = (option.removesuffix("_file") for option in (other, name))
            raise click.UsageError(f"--{first} and --{second} write the same file, {path}: each needs one of its own")


def make_aspects(given: dict[str, Any]) -> list[Aspect]:
    """The aspects that these values of options ask for; what is left in ``given`` is nobody's. Raises UsageError."""
    _refuse_one_file(given)
    made = [module.make(given) for module in _modules()]
    return [aspect for aspect in made if aspect is not None]


def refuse_with_pairs(aspects: Sequence[Aspect]) -> None:
    """UsageError where an aspect is about a single comparison."""
    for aspect in aspects:
        if not aspect.pairs:
            raise click.UsageError(f"--pairs and {aspect.option} do not go together")
