"""Makes the keeper of a comparison: the job that it is, compared with the one that a checkpoint is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from blockdiff.engine.checkpoint.job import describe, list_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockdiff._fast import Extents
    from blockdiff.engine.checkpoint.keeper import Keeper
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.device import Device
    from blockdiff.engine.options import ReadOptions


class Keeping(Protocol):
    """What a comparison asks for its keeper."""

    def keeper(
        self,
        source: Device,
        target: Device | None,
        start: int,
        end: int,
        *,
        command: str,
        only: Iterable[Extents] | None,
        options: ReadOptions,
        asked: dict[str, Any],
    ) -> Keeper:
        """The keeper of the comparison of ``[start, end)``. InvalidInput: the checkpoint is of another one."""


class Whole:
    """A run that is one comparison."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def keeper(
        self,
        source: Device,
        target: Device | None,
        start: int,
        end: int,
        *,
        command: str,
        only: Iterable[Extents] | None,
        options: ReadOptions,
        asked: dict[str, Any],
    ) -> Keeper:
        """As the protocol says."""
        from blockdiff.engine.checkpoint.keeper import Keeper

        job = job_of(command, source, target, start, end, only=only, options=options, asked=asked)
        self._checkpoint.begin(job)
        return Keeper(self._checkpoint, job, start, digests=asked["method"] != "content")


class Stage:
    """One comparison of a run that does more: the run has begun the checkpoint with a job of its own.

    ``settle``, ``extra`` and ``seen`` are those of Keeper.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        job: dict[str, Any],
        stage: str,
        *,
        settle: Callable[[], None] | None = None,
        extra: Callable[[], dict[str, Any]] | None = None,
        seen: dict[str, Any] | None = None,
    ) -> None:
        self._checkpoint, self._job, self._stage = checkpoint, job, stage
        self._settle, self._extra, self._seen = settle, extra, seen

    def keeper(
        self,
        source: Device,
        target: Device | None,
        start: int,
        end: int,
        *,
        command: str,
        only: Iterable[Extents] | None,
        options: ReadOptions,
        asked: dict[str, Any],
    ) -> Keeper:
        """As the protocol says."""
        from blockdiff.engine.checkpoint.keeper import Keeper

        del source, target, end, command, only, options
        return Keeper(
            self._checkpoint,
            self._job,
            start,
            stage=self._stage,
            digests=asked["method"] != "content",
            settle=self._settle,
            extra=self._extra,
            seen=self._seen,
        )


def job_of(
    command: str,
    source: Device,
    target: Device | None,
    start: int,
    end: int,
    *,
    only: Iterable[Extents] | None,
    options: ReadOptions,
    asked: dict[str, Any],
    written: bool = False,
) -> dict[str, Any]:
    """What a checkpoint is of; ``written``: the run writes to the target."""
    devices = {"source": describe(source)}
    if target is not None:
        devices["target"] = describe(target, written=written)
    return {
        "command": command,
        **devices,
        "offset": start,
        "end": end,
        "granularity": options.granularity,
        "read": options.read,
        "keep_going": options.keep_going,
        "list": list_digest(only),
        **asked,
    }
