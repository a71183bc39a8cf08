"""Opens a journal and the device that it is of, and undoes a repair; and says what is in a journal."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff.engine.registry import open_device
from blockdiff.engine.repair.contents import Contents, is_stub
from blockdiff.engine.repair.identity import describe, differences, refuse_on_device
from blockdiff.engine.repair.journal import Journal
from blockdiff.engine.repair.layout import NEW_ZERO, OLD_HOLE, OLD_UNKNOWN, OLD_ZERO
from blockdiff.engine.repair.place import hold
from blockdiff.engine.repair.storage import FileStorage
from blockdiff.engine.repair.undo import Undo
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from blockdiff.engine.progress import Progress
    from blockdiff.engine.repair.layout import Entry


class UndoReport:
    """What an undo did. Units are bytes.

    ``ranges`` and ``bytes`` are all that the journal can restore; ``differing_bytes`` of them did not hold their old
    content, ``restored_bytes`` were written and read back (0 with ``planned``). ``lost_bytes`` were written without
    undo, ``strange_bytes`` were somebody else's and were overwritten by force. ``state`` is that of the journal now.
    """

    def __init__(self, journal: str, device: Any, undo: Undo, *, planned: bool) -> None:
        self.journal, self.url, self.size, self.planned = journal, device.url, device.size, planned
        self.ranges, self.bytes, self.differing_bytes = undo.ranges, undo.bytes, undo.differing_bytes
        self.restored_bytes, self.lost_bytes, self.strange_bytes = (
            undo.restored_bytes,
            undo.lost_bytes,
            undo.strange_bytes,
        )
        self.state = undo.was if planned else "undone"
        self.elapsed_seconds = undo.elapsed_seconds

    def __repr__(self) -> str:
        return f"UndoReport({self.journal!r}, {self.url!r}: {self.restored_bytes} bytes restored)"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = ("state", "planned", "ranges", "bytes", "differing_bytes", "restored_bytes", "lost_bytes")
        return {
            "schema_version": 1,
            "command": "undo",
            "journal": self.journal,
            "device": {"url": self.url, "size": self.size},
            **{name: getattr(self, name) for name in (*names, "strange_bytes")},
            "elapsed_seconds": round(self.elapsed_seconds, 6),
        }


def undo_journal(
    name: str | os.PathLike[str],
    target: Any = None,
    *,
    force: bool = False,
    plan: bool = False,
    progress: Progress | None = None,
) -> UndoReport:
    """Restores the bytes that a journal holds, and returns what was done.

    ``target``: a name or an open device, where the device has another name than at the repair. ``force`` also writes
    where the device is in use, seems to be another one, or was written to since. With ``plan`` nothing is written.
    Raises InvalidInput, DeviceBusy, DeviceError, ContentsDoNotMatch.
    """
    import os

    with ExitStack() as stack:
        storage = FileStorage.open(os.fspath(name), writable=True)
        stack.callback(storage.close)
        journal = _whole(storage)
        assert journal.contents is not None
        device = _device(stack, journal.contents, target, force=force)
        _refuse_other(journal, describe(device), force=force)
        refuse_on_device(os.path.dirname(os.path.realpath(storage.name)), device)
        hold(device, force=force)
        undo = Undo(journal, device, force=force, progress=progress)
        if plan:
            undo.check()
        else:
            undo.run()
        return UndoReport(storage.name, device, undo, planned=plan)


def show_journal(name: str | os.PathLike[str]) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """What is in a journal, and each of its ranges, as they were written. Raises InvalidInput, DeviceError."""
    import os

    storage = FileStorage.open(os.fspath(name), writable=False)
    try:
        contents = _contents(storage)
    except BaseException:
        storage.close()
        raise
    about = {
        "schema_version": 1,
        "journal": os.fspath(name),
        "state": contents.state,
        "created": contents.facts.get("created"),
        "changed": contents.slot.at,
        "device": contents.device,
        "repairs": contents.sessions,
        "torn_bytes": contents.torn,
        "journal_bytes": contents.end,
    }
    return about, _ranges(storage, contents)


def _ranges(storage: FileStorage, contents: Contents) -> Iterator[dict[str, Any]]:
    try:
        for batch, entries in contents.walk():
            for entry in entries:
                yield {**_range(entry.offset, entry.length), **_kinds(entry), "repair": batch.session}
    finally:
        storage.close()


def _kinds(entry: Entry) -> dict[str, str]:
    flags = entry.flags
    old = "unknown" if flags & OLD_UNKNOWN else "hole" if flags & OLD_HOLE else "zero" if flags & OLD_ZERO else "data"
    return {"old": old, "new": "zero" if flags & NEW_ZERO else "data"}


def _range(offset: int, length: int) -> dict[str, int]:
    return {"offset": offset, "length": length}


def _whole(storage: FileStorage) -> Journal:
    if is_stub(storage):
        _contents(storage)
    return Journal.open(storage)


def _contents(storage: FileStorage) -> Contents:
    if is_stub(storage):
        raise InvalidInput(f"the journal {storage.name} ends before its first record: nothing was written by it")
    try:
        return Contents(storage)
    except InvalidInput as error:
        raise InvalidInput(f"cannot use the journal {storage.name}: {error}") from error


def _device(stack: ExitStack, contents: Contents, target: Any, *, force: bool) -> Any:
    if target is not None and not isinstance(target, str) and not hasattr(target, "__fspath__"):
        return target
    device: Any = open_device(contents.device["name"] if target is None else target, writable=True, force=force)
    stack.callback(device.close)
    return device


def _refuse_other(journal: Journal, now: dict[str, Any], *, force: bool) -> None:
    """Another size is another device, whatever is asked for; other marks may be overruled."""
    assert journal.contents is not None
    then = journal.contents.device
    found = differences(then, now)
    if not found or (force and then["size"] == now["size"]):
        return
    hint = "" if then["size"] != now["size"] else "; --device names another one, --force believes it"
    raise InvalidInput(
        f"the journal {journal.name} is of {then['url']}, and {now['url']} is another device: {found[0]}{hint}"
    )
