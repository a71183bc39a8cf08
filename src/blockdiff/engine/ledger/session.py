"""One verify with a ledger: opens or makes it, tells it what changed, compares, and says what is verified now."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from typing import TYPE_CHECKING, Any

from blockdiff.engine.ledger.identity import is_lasting, volume_identity
from blockdiff.engine.ledger.recorder import Recorder
from blockdiff.engine.ledger.rotation import Rotation
from blockdiff.engine.ledger.schema import CHANGED, DIFFERENT, EQUAL
from blockdiff.engine.ledger.store import Ledger, Volume, unit_of
from blockdiff.engine.ledger.survey import Survey
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.stream import align, clip, subtract, total
from blockdiff.engine.verify import Verification, outlook, refuse_same, verify_devices
from blockdiff.errors import BlockdiffError, InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents
    from blockdiff.budget import Budget
    from blockdiff.engine.report import VerifyReport

_OF_OUTLOOK = ("strict", "method", "shared")


class Session:
    """A ledger's part in one verify. ``budget`` None: the verify is a usual one, and is recorded. Close it.

    ``version`` is that of the program, for the record.
    """

    def __init__(self, path: str, budget: Budget | None = None, *, version: str = "") -> None:
        self.path, self.budget, self.version = path, budget, version
        self.ledger: Ledger | None = None
        self._survey: Survey | None = None
        self._recorder: Recorder | None = None
        self._rotation: Rotation | None = None
        self._changed = 0
        self._resized: tuple[int, int] | None = None
        self._warnings: list[str] = []
        self._ended = False

    def plan(self, source: Any, target: Any, comparing: dict[str, Any]) -> None:
        """Before anything is read. ``comparing``: the arguments of a Verification; what it is limited to (``only``) is
        what changed since the last run, and with a budget no limit. Raises InvalidInput, DeviceBusy, OutputError.
        """
        refuse_same(source, target)
        if comparing.get("offset") or comparing.get("length") is not None:
            raise InvalidInput("a ledger is of whole volumes: leave out --offset and --length")
        now = volume_of(source, target)
        self.ledger = ledger = self._opened(now)
        now = now._replace(unit=ledger.unit, created=ledger.volume.created)
        options = comparing.get("options") or ReadOptions()
        if options.granularity > ledger.unit:
            raise InvalidInput(f"the ledger counts in units of {ledger.unit} bytes: the granularity must not be larger")
        known = {name: comparing[name] for name in _OF_OUTLOOK if name in comparing}
        self._survey = survey = Survey(outlook(source, target, options=options, **known), ledger.unit)
        self._begin(ledger, survey, now, comparing)
        self._recorder = Recorder(ledger, survey.end)
        if self.budget is None:
            comparing["watchers"] = [*comparing.get("watchers", ()), self._recorder]

    def _begin(self, ledger: Ledger, survey: Survey, now: Volume, comparing: dict[str, Any]) -> None:
        if now.size != ledger.size:
            self._resized = (ledger.size, now.size)
        changed = comparing.get("only")
        if changed is not None and self.budget is None and iter(changed) is changed:
            raise InvalidInput("the list of changes must be one that can be read twice")
        with ledger.change():
            ledger.begin(self.version, self.budget.text if self.budget else "", now)
            if changed is not None:
                self._changed = ledger.note_changes(_grown(changed, ledger.unit, now.size))
            ledger.note_known(survey.known(), ledger.runs[-1].number)
        if self.budget is not None:
            comparing["only"] = None

    def _opened(self, now: Volume) -> Ledger:
        for side, identity in (("source", now.source_identity), ("target", now.target_identity)):
            if not is_lasting(identity):
                self._warnings.append(
                    f"the {side} has nothing that tells it from another disk after a restart: see that the ledger is "
                    "its own"
                )
        if not os.path.lexists(self.path):
            Ledger.create(self.path, now)
        ledger = Ledger.take(self.path)
        try:
            check_volume(ledger, now)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def compare(self, source: Any, target: Any, **comparing: Any) -> Any:
        """What is run: a Verification, or with a budget a Rotation."""
        if self.budget is None:
            return Verification(source, target, **comparing)
        assert self.ledger is not None, "it was planned"
        assert self._survey is not None, "as above"
        assert self._recorder is not None, "as above"
        comparing.pop("only", None)
        for name in ("offset", "length", "first"):
            comparing.pop(name, None)
        self._rotation = Rotation(
            source,
            target,
            ledger=self.ledger,
            survey=self._survey,
            recorder=self._recorder,
            budget=self.budget,
            **comparing,
        )
        return self._rotation

    def conclude(self, report: VerifyReport) -> None:
        """Ends the run in the ledger, and puts what it says into the report. OutputError where it cannot be written."""
        assert self.ledger is not None, "it was planned"
        assert self._survey is not None, "as above"
        assert self._recorder is not None, "as above"
        rotation = self._rotation
        done = rotation is None or rotation.finished
        with self.ledger.change():
            self._recorder.flush()
            self._end("done" if done else "budget")
        report.warnings += self._warnings
        report.extra["ledger"] = {**self._this_run(done), **self._coverage(self.ledger, self._survey)}
        if self.budget is not None:
            report.identical = report.complete = False

    def _this_run(self, done: bool) -> dict[str, Any]:
        assert self.ledger is not None, "it was planned"
        assert self._survey is not None, "as above"
        assert self._recorder is not None, "as above"
        rotation = self._rotation
        return {
            "file": self.path,
            "run": self.ledger.runs[-1].number,
            "unit": self.ledger.unit,
            "budget": self.budget.text if self.budget else None,
            "stopped": "done" if done else "budget",
            "to_read_bytes": self._survey.bytes,
            "equal_bytes": self._recorder.equal_bytes,
            "different_bytes": self._recorder.different_bytes,
            "changed_bytes": self._changed,
            "looked_at_first_bytes": rotation.trouble_bytes if rotation else 0,
            "rotated_bytes": rotation.rotated_bytes if rotation else self._recorder.done_bytes,
            "runs_for_all": self._runs_for_all(done),
            "resized": None if self._resized is None else {"from": self._resized[0], "to": self._resized[1]},
        }

    def _runs_for_all(self, done: bool) -> int | None:
        """Runs like this one that verify every byte; None where this one verified nothing, or could not read all."""
        if done:
            return 1
        assert self._survey is not None, "it was planned"
        assert self._rotation is not None, "only a budget can be spent"
        pace = 0 if self._rotation.report.unreadable_bytes else self._rotation.rotated_bytes
        return -(-self._survey.bytes // pace) if pace else None

    def _coverage(self, ledger: Ledger, survey: Survey) -> dict[str, Any]:
        facts = coverage(ledger)
        run = ledger.runs[-1].number
        waiting = total(batch for one in ledger.generations(DIFFERENT) if one != run for batch in _of(ledger, one))
        never = total(subtract(survey.to_read, ledger.ranges(EQUAL, DIFFERENT, CHANGED)))
        return {**facts, "never_bytes": never, "different_before_bytes": waiting}

    def failed(self, error: BaseException) -> None:
        """The run ended by an error: what was settled is kept."""
        if self.ledger is None or self._ended:
            return
        with contextlib.suppress(BlockdiffError):
            if self._recorder is not None:
                self._recorder.flush()
            if self.ledger.runs and self.ledger.runs[-1].outcome == "running":
                self._end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")

    def _end(self, outcome: str) -> None:
        assert self.ledger is not None, "it was planned"
        recorder = self._recorder
        self._ended = True
        self.ledger.end(
            outcome,
            to_read=self._survey.bytes if self._survey else 0,
            equal=recorder.equal_bytes if recorder else 0,
            different=recorder.different_bytes if recorder else 0,
            changed=self._changed,
            rotated=self._rotation.rotated_bytes if self._rotation else 0,
        )

    def run(self, source: Any, target: Any, comparing: dict[str, Any], **collecting: Any) -> VerifyReport:
        """All of it: as ``verify_devices``, and written down."""
        try:
            self.plan(source, target, comparing)
            report = verify_devices(source, target, compare=self.compare, **collecting, **comparing)
            self.conclude(report)
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            self.close()
        return report

    def close(self) -> None:
        """Closes the ledger."""
        if self._survey is not None:
            self._survey.close()
        if self.ledger is not None:
            self.ledger.close()


def _of(ledger: Ledger, run: int) -> Iterator[Extents]:
    return ledger.ranges(DIFFERENT, run=run)


def _grown(changed: Any, unit: int, size: int) -> Iterator[Extents]:
    listed = (batch.with_kind(0) for batch in clip(changed, 0, size))
    return align(listed, unit, limit=size)


def volume_of(source: Any, target: Any) -> Volume:
    """The volume that two devices make, as a new ledger would name it.

    UnsupportedOperation for a device that nothing tells from another of its name.
    """
    for device in (source, target):
        if not volume_identity(device):
            raise UnsupportedOperation(f"{device.url} has no identity: a ledger could be taken for that of another")
    return Volume(
        _text(source.url),
        _text(volume_identity(source)),
        source.size,
        _text(target.url),
        _text(volume_identity(target)),
        target.size,
        unit_of(min(source.size, target.size)),
        int(time.time()),
    )


def _text(name: str) -> str:
    """Names that are not UTF-8 are written so that SQLite takes them."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_volume(ledger: Ledger, now: Volume) -> None:
    """InvalidInput where the ledger is of another volume."""
    was = ledger.volume
    for side, url, identity, known_url, known in (
        ("source", now.source_url, now.source_identity, was.source_url, was.source_identity),
        ("target", now.target_url, now.target_identity, was.target_url, was.target_identity),
    ):
        if identity != known:
            raise InvalidInput(
                f"the ledger {ledger.path} is of another {side}: it is of {known_url} ({known}), and {url} is "
                f"{identity}; name another ledger, or remove this one to begin again with nothing verified"
            )


def coverage(ledger: Ledger) -> dict[str, Any]:
    """What a ledger says of its volume by itself. ``never_bytes``: what no run has looked at, holes included."""
    facts, now, oldest = ledger.facts(), time.time(), ledger.oldest()
    return {
        "size": ledger.size,
        "verified_bytes": facts["equal"],
        "different_now_bytes": facts["different"],
        "changed_now_bytes": facts["changed"],
        "known_bytes": facts["known"],
        "never_bytes": facts["never"],
        "oldest_verified_at": None if oldest is None else _when(oldest),
        "oldest_age_seconds": None if oldest is None else max(0, int(now - oldest)),
    }


def _when(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
