"""The changed or allocated extents of an image, asked of librbd in pieces, several at once, in bounded memory."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.backends.rbd.call import failed, library
from blockdiff.errors import SnapshotNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Objects of one byte diff: with 4 MiB objects of 4 KiB extents that is some 0.8 MiB of memory at worst.
PIECE_OBJECTS = 64
PIECE_RANGES = 4  # of one byte diff, apart from each other: librbd asks for them one after the other
LANES = 16  # pieces asked for at once: the answers of an OSD take longer than the questions
# Objects of one whole-object diff: one extent an object at worst, and most are joined. Each loads the maps of the whole
# image, and then works on one processor.
MIN_WIDE, MAX_WIDE, WIDE_LANES = 1 << 14, 1 << 20, 4


class Question:
    """What is asked of librbd: changes since the snapshot named ``since``, whose number is ``since_id`` (None: what is
    allocated).

    ``image`` speaks as ``_rbd.Image`` does, or the distribution's ``rbd.Image`` behind an adapter. ``period`` is the
    bytes of a set of objects: pieces are cut there.
    """

    def __init__(
        self,
        image: Any,
        since: str | None,
        *,
        period: int,
        url: str,
        errors: tuple[type, ...],
        since_id: int = 0,
    ) -> None:
        self._image, self._since, self._url, self._errors = image, since, url, errors
        self._period, self._since_id = period, since_id

    def whole(self, start: int, end: int, gone: Iterable[Extents] = ()) -> Iterator[Extents]:
        """By object maps, in objects: what is allocated, or all that may have changed.

        The maps mark objects as clean, unchanged since the snapshot before. That is not so after a rollback, which
        brings back the marks of an older snapshot. So only what the maps say of existence is used: every object that
        exists may have changed, and so may those that are said to have gone. ``gone`` are those that were in the base.
        """
        allocated = self._whole(None, start, end, include_parent=self._since is None)
        if self._since is None:
            return allocated
        from blockdiff.engine.stream import union

        return union(union(self._whole(self._since, start, end), allocated), gone)

    def existing(self, start: int, end: int) -> Iterator[Extents]:
        """The objects of the image itself that exist, a parent's left out."""
        return self._whole(None, start, end, include_parent=False)

    def _whole(self, since: str | None, start: int, end: int, *, include_parent: bool = True) -> Iterator[Extents]:
        share = -(-(end - start) // self._period // WIDE_LANES)
        # librbd before 16.2.8 shifts what it says of a range that begins inside of an object
        first = start - start % self._period
        pieces = _pieces(_one(first, end), min(MAX_WIDE, max(MIN_WIDE, share)) * self._period, 1)
        from blockdiff.engine.stream import clip

        found = self._ask(since, pieces, WIDE_LANES, whole_object=True, include_parent=include_parent)
        return clip(found, start, end)

    def bytes_of(self, ranges: Iterable[Extents]) -> Iterator[Extents]:
        """By the OSDs: what changed in these ranges (ascending), which are widened to sets of objects."""
        pieces = _pieces(ranges, PIECE_OBJECTS * self._period, PIECE_RANGES)
        return self._ask(self._since, pieces, LANES, whole_object=False)

    def _ask(
        self,
        since: str | None,
        pieces: Iterable[Extents],
        lanes: int,
        *,
        whole_object: bool,
        include_parent: bool = True,
    ) -> Iterator[Extents]:
        cancel, image = library().Cancel(), self._image
        options: dict[str, Any] = {"whole_object": whole_object, "include_parent": include_parent, "cancel": cancel}
        if since is not None:
            options["from_id"] = self._since_id

        def one(piece: Extents) -> Extents:
            found: Extents = image.diff_ranges(since, piece, **options)
            return found

        yield from _in_lanes(one, pieces, lanes, cancel.set, self._translate)

    def _translate(self, error: BaseException) -> BaseException:
        if not isinstance(error, self._errors):
            return error
        code = getattr(error, "errno", 0)
        if code == 2 and self._since is not None:
            return SnapshotNotFound(f"the snapshot {self._since!r} of {self._url} is not there any more")
        return failed(error, self._url, "list the changes of")  # type: ignore[arg-type]


def two_level(question: Question, start: int, end: int, period: int, gone: Iterable[Extents] = ()) -> Iterator[Extents]:
    """The extents of a byte diff, asked only of the objects that may have changed by what the object maps say."""
    return question.bytes_of(_widened(question.whole(start, end, gone), period, start, end))


def _widened(batches: Iterable[Extents], period: int, start: int, end: int) -> Iterator[Extents]:
    """Grown to whole sets of objects, so that no object is asked twice; clipped to the range."""
    from blockdiff.engine.stream import align, clip

    plain = (batch.with_kind(0) for batch in batches)
    return clip(align((batch.coalesce() for batch in plain), period), start, end)


def _one(start: int, end: int) -> list[Extents]:
    return [Extents([(start, end - start)])] if end > start else []


def _pieces(ranges: Iterable[Extents], step: int, most: int) -> Iterator[Extents]:
    """Cut at multiples of ``step``; a piece has that many bytes, and that many ranges, at most."""
    piece: list[tuple[int, int]] = []
    held = 0
    for batch in ranges:
        for offset, length, _ in batch:
            at, end = offset, offset + length
            while at < end:
                stop = min(end, at - at % step + step)
                if piece and (len(piece) >= most or held + stop - at > step):
                    yield Extents(piece)
                    piece, held = [], 0
                piece.append((at, stop - at))
                held += stop - at
                at = stop
    if piece:
        yield Extents(piece)


class _Lanes:
    """A few threads that work on calls; daemons, for one that hangs in a call must not keep the process."""

    def __init__(self, call: Callable[[Extents], Extents], most: int) -> None:
        self._call, self._most, self._count = call, most, 0
        self._todo: queue.SimpleQueue[tuple[Extents, queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()

    def submit(self, piece: Extents) -> queue.SimpleQueue[Any]:
        """Where the result, or what was raised, will be."""
        if self._count < self._most:
            self._count += 1
            threading.Thread(target=self._work, name="rbd-diff", daemon=True).start()
        result: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._todo.put((piece, result))
        return result

    def end(self) -> None:
        """Nobody starts anything more."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        for _ in range(self._count):
            self._todo.put(None)

    def _work(self) -> None:
        while (item := self._todo.get()) is not None:
            piece, result = item
            try:
                result.put(self._call(piece))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
                result.put(error)


def _in_lanes(
    call: Callable[[Extents], Extents],
    pieces: Iterable[Extents],
    count: int,
    stop: Callable[[], None],
    translate: Callable[[BaseException], BaseException],
) -> Iterator[Extents]:
    """The answers in order, a few questions ahead. Left early, it stops what is still being asked."""
    lanes = _Lanes(call, count)
    waiting: deque[queue.SimpleQueue[Any]] = deque()
    complete = False
    try:
        for piece in pieces:
            waiting.append(lanes.submit(piece))
            while len(waiting) >= 2 * count or (waiting and not waiting[0].empty()):
                yield from _taken(waiting)
        while waiting:
            yield from _taken(waiting)
        complete = True
    except Exception as error:
        raise translate(error) from error
    finally:
        if not complete:
            stop()
        lanes.end()


def _taken(waiting: deque[queue.SimpleQueue[Any]]) -> Iterator[Extents]:
    found = waiting.popleft().get()
    if isinstance(found, BaseException):
        raise found
    if len(found):
        yield found
