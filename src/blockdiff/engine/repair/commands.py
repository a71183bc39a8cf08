"""``repair`` and ``undo`` as functions."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.engine.repair.session import Session, open_repair_target
from blockdiff.engine.repair.undoing import undo_journal
from blockdiff.engine.spool import Spool
from blockdiff.engine.verify import Verification

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.repair.undoing import UndoReport
    from blockdiff.engine.report import VerifyReport


def repair(
    source: str | os.PathLike[str] | Device,
    target: str | os.PathLike[str] | WritableDevice,
    *,
    journal: str | os.PathLike[str] | None = None,
    plan: bool = False,
    unreadable: bool = False,
    force: bool = False,
    options: ReadOptions | None = None,
    method: str = "auto",
    size: str = "strict",
    offset: int = 0,
    length: int | None = None,
    extents: Extents | Iterable[Extents] | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Compares two devices and writes to ``target`` what differs, its old bytes into an undo journal first.

    As ``blockdiff verify --repair``: ``report.identical`` is of the state after that, the totals are of what differed,
    ``report.extra["repair"]`` says what was done and where the journal is. ``plan`` writes nothing. Raises
    InvalidInput, DeviceBusy, DeviceError (the journal then undoes what was written), UnsupportedOperation.
    """
    import os

    options = options or ReadOptions()
    with ExitStack() as stack:
        first: Any = source
        if _is_name(source):
            first = open_device(source)  # type: ignore[arg-type]
            stack.callback(first.close)
        second: Any = target
        compared: Any = target
        if _is_name(target):
            second = compared = open_repair_target(target, first, force=force)  # type: ignore[arg-type]
            stack.callback(second.close)
            if second.fileno() is not None:  # one that is only read knows whether others write to it
                compared = open_device(target)  # type: ignore[arg-type]
                stack.callback(compared.close)
        else:
            getattr(second, "refuse_if_same", lambda _: None)(first)
        session = Session(
            first, second, name=target if _is_name(target) else None,  # type: ignore[arg-type]
            journal=None if journal is None else os.fspath(journal), plan=plan, unreadable=unreadable, force=force,
            compared=compared, options=options, progress=progress,
        )  # fmt: skip
        session.refuse(size)
        if unreadable:
            options.keep_going = True
        only = (extents,) if isinstance(extents, Extents) else extents
        run = Verification(
            first, compared, options=options, method=method, size=size, offset=offset, length=length,
            only=None if only is None else iter(only), progress=progress,
        )  # fmt: skip
        spool = Spool()
        stack.callback(spool.close)
        for found in run:
            spool.add(found)
        session.finish(run.report, spool)
        return run.report


def undo(
    journal: str | os.PathLike[str],
    target: str | os.PathLike[str] | WritableDevice | None = None,
    *,
    plan: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> UndoReport:
    """Gives a device back the bytes that it had before a repair, as ``blockdiff undo``.

    ``target`` is the device, where it has another name than at the repair. ``plan`` writes nothing. Raises InvalidInput
    (a journal that is not whole, of another device, or undone already; bytes that somebody wrote since), DeviceBusy,
    DeviceError, ContentsDoNotMatch.
    """
    return undo_journal(journal, target, plan=plan, force=force, progress=progress)


def _is_name(target: object) -> bool:
    return isinstance(target, str) or hasattr(target, "__fspath__")
