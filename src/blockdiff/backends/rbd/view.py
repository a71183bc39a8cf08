"""An image at a point in time, as far as metadata goes: what changed since a snapshot of it, and what is allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff._fast import Extents
from blockdiff.backends.rbd import decide
from blockdiff.backends.rbd.changes import Question, two_level
from blockdiff.errors import UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from blockdiff.backends.rbd.opening import Snap

MAX_BATCH = 4096


class View(NamedTuple):
    """``image`` speaks as ``_rbd.Image`` does and is set to ``snap`` (None: the head), where it has ``size`` bytes.

    ``facts`` are those of ``_rbd.Image.facts``, ``snaps`` all snapshots; ``at`` lends the image set to another one,
    while ``image`` is not used, and ``flags_at`` gives the flags of its object map. ``errors`` are the exceptions of
    the binding; they carry an errno.
    """

    image: Any
    url: str
    snap: Snap | None
    size: int
    facts: dict[str, Any]
    at: Callable[[Snap], AbstractContextManager[Any]]
    flags_at: Callable[[Snap], int]
    snaps: Callable[[], list[Snap]]
    errors: tuple[type[Exception], ...]

    @property
    def period(self) -> int:
        """Bytes of a set of objects: what a range is widened to before object by object is asked."""
        return int(self.facts["object_size"] * self.facts["stripe_count"])

    def question(self, since: Snap | None) -> Question:
        """Asks librbd what changed here since a snapshot of the image (None: what is allocated)."""
        name, number = (None, 0) if since is None else (since.name, since.id)
        return Question(self.image, name, period=self.period, url=self.url, errors=self.errors, since_id=number)

    def existed(self, base: Snap, start: int, end: int) -> list[Extents]:
        """The objects that the image had at an older snapshot, as its object map says."""
        with self.at(base) as image:
            asked = Question(image, None, period=self.period, url=self.url, errors=self.errors)
            return list(asked.existing(start, min(end, base.size)))


class TrackedChanges:
    """Iterate it for ascending batches of extents, DATA and ZERO.

    ``method`` says how they are known, ``fallback`` why not by the fast way, ``warnings`` what else is to be told.
    """

    def __init__(self, method: str, fallback: str, batches: Iterator[Extents], warnings: list[str]) -> None:
        self.method, self.fallback, self.warnings = method, fallback, warnings
        self._batches = batches

    def __iter__(self) -> Iterator[Extents]:
        return self._batches


def changes_since(view: View, base: Snap, start: int, end: int, method: str = "auto") -> TrackedChanges:
    """Every byte of ``[start, end)`` that differs from ``base``, an older snapshot of the image, lies in these extents.

    What the image has beyond the end of its base is changed (zero where nothing was written). ``method`` is auto,
    fast-diff or byte. Raises UnsupportedOperation for a fast-diff that would not be safe, InvalidInput for a base
    that is newer.
    """
    decide.refuse_order(base, view.snap)
    if why := decide.untracked(view.facts["features"]):
        raise UnsupportedOperation(f"it is not known what changed in {view.url}: {why}")
    chosen = decide.choose(method, "" if method == "byte" else _refusal(view, base))
    stop = min(end, view.size)
    gone = view.existed(base, start, stop) if chosen.method == "fast-diff" else []
    found = _ask(view, base, start, stop, chosen.method, gone)
    warnings = [f"the sizes differ: @{base.name} has {base.size} bytes, {view.url} has {view.size}"]
    growth = Extents([(lo, stop - lo, Kind.ZERO)]) if (lo := max(start, base.size)) < stop else Extents()
    return TrackedChanges(chosen.method, chosen.why, _joined(found, growth), warnings if base.size != view.size else [])


def allocated(view: View, start: int, end: int) -> TrackedChanges:
    """What is allocated in ``[start, end)``, parents resolved, to the byte."""
    chosen = decide.choose("auto", _no_map(view))
    return TrackedChanges(chosen.method, chosen.why, _ask(view, None, start, min(end, view.size), chosen.method), [])


def allocation_method(view: View) -> str:
    """How ``allocated`` knows: fast-diff or byte."""
    return decide.choose("auto", _no_map(view)).method


def _no_map(view: View) -> str:
    return decide.refusal((), None, None, view.size, view.facts["features"], [view.facts["flags"]])


def _ask(
    view: View, since: Snap | None, start: int, end: int, method: str, gone: Iterable[Extents] = ()
) -> Iterator[Extents]:
    question = view.question(since)
    if method == "fast-diff":
        return two_level(question, start, end, view.period, gone)
    if method != "byte":
        raise UnsupportedOperation(f"librbd knows no method {method}")
    return question.bytes_of([Extents([(start, end - start)])] if end > start else [])


def _joined(found: Iterator[Extents], growth: Extents) -> Iterator[Extents]:
    from blockdiff.engine.stream import union

    return union(found, [growth])


def _refusal(view: View, base: Snap) -> str:
    """Why the object maps of the two, and of the snapshots between them, cannot be asked."""
    snaps, features = view.snaps(), view.facts["features"]
    why = decide.refusal(snaps, base, view.snap, view.size, features, ())
    if why:
        return why
    flags = [view.flags_at(snap) for snap in (base, *decide.between(snaps, base, view.snap))]
    return decide.refusal(snaps, base, view.snap, view.size, features, [view.facts["flags"], *flags])


def with_holes(found: Iterable[Extents], start: int, end: int) -> Iterator[Extents]:
    """What is allocated as data, and the rest as holes."""
    from blockdiff.engine.stream import union

    data = (batch.with_kind(Kind.DATA).coalesce() for batch in found)
    holes = [Extents([(start, end - start, Kind.HOLE)])] if end > start else []
    for batch in union(data, holes):
        for at in range(0, len(batch), MAX_BATCH):
            yield batch[at : at + MAX_BATCH]
