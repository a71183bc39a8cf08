"""The changed or allocated extents of an image, asked of librbd in pieces, several at once, in bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from blockdiff.backends.rbd.call import failed, library
from blockdiff.errors import SnapshotNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff._fast import Extents

# Objects of one byte diff: with 4 MiB objects of 4 KiB extents that is some 3 MiB of memory at worst.
PIECE_OBJECTS = 256
WIDE_PIECE_OBJECTS = 1 << 20  # of a whole-object diff: one extent an object at worst, and most are joined
LANES = 4  # pieces asked for at once: the answers of an OSD take longer than the questions


class Question:
    """What is asked of librbd: changes since the snapshot named ``since`` (None: what is allocated).

    ``image`` speaks as ``_rbd.Image`` does, or the distribution's ``rbd.Image`` behind an adapter. ``period`` is the
    bytes of a set of objects: pieces are cut there.
    """

    def __init__(self, image: Any, since: str | None, *, period: int, url: str, errors: tuple[type, ...]) -> None:
        self._image, self._since, self._url, self._errors = image, since, url, errors
        self._period = period

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
        step = WIDE_PIECE_OBJECTS * self._period
        pieces = [(at, min(at + step, end)) for at in range(start, end, step)]
        return self._ask(since, pieces, whole_object=True, include_parent=include_parent)

    def bytes_of(self, ranges: Iterable[Extents]) -> Iterator[Extents]:
        """By the OSDs: what changed in these ranges (ascending), which are widened to sets of objects."""
        return self._ask(self._since, _pieces(ranges, PIECE_OBJECTS * self._period), whole_object=False)

    def _ask(
        self, since: str | None, pieces: Iterable[tuple[int, int]], *, whole_object: bool, include_parent: bool = True
    ) -> Iterator[Extents]:
        cancel, image = library().Cancel(), self._image
        options = {"whole_object": whole_object, "include_parent": include_parent, "cancel": cancel}

        def one(piece: tuple[int, int]) -> Extents:
            start, end = piece
            found: Extents = image.diff(since, start, end - start, **options)
            return found.clip(start, end)  # older releases give whole objects beyond the piece

        yield from _in_lanes(one, pieces, cancel.set, self._translate)

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


def _pieces(ranges: Iterable[Extents], step: int) -> Iterator[tuple[int, int]]:
    for batch in ranges:
        for offset, length, _ in batch:
            at, end = offset, offset + length
            while at < end:
                stop = min(end, at - at % step + step)
                yield at, stop
                at = stop


def _in_lanes(
    call: Callable[[tuple[int, int]], Extents],
    pieces: Iterable[tuple[int, int]],
    stop: Callable[[], None],
    translate: Callable[[BaseException], BaseException],
) -> Iterator[Extents]:
    """The answers in order, a few questions ahead. Left early, it stops what is still being asked."""
    pool = ThreadPoolExecutor(LANES, thread_name_prefix="rbd-diff")
    waiting: deque[Future[Extents]] = deque()
    complete = False
    try:
        for piece in pieces:
            waiting.append(pool.submit(call, piece))
            while len(waiting) >= 2 * LANES or (waiting and waiting[0].done()):
                if len(found := waiting.popleft().result()):
                    yield found
        while waiting:
            if len(found := waiting.popleft().result()):
                yield found
        complete = True
    except Exception as error:
        raise translate(error) from error
    finally:
        if not complete:
            stop()
        pool.shutdown(wait=complete, cancel_futures=True)
