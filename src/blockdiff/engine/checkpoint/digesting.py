"""The checkpoint of a digest run: the digests so far, piece by piece, so that the same tree grows from them again."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.checkpoint.job import describe
from blockdiff.engine.checkpoint.keeper import Keeper
from blockdiff.engine.compare import paths
from blockdiff.engine.manifest.run import DigestRun, Piece
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.device import Device
    from blockdiff.engine.manifest.algorithm import Hasher
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress

DIGESTS, ZEROES = b"d", b"z"
MAX_BLOCKS = 8192  # of a record
_HEAD = struct.Struct("<qqI")  # offset, length, how many extents of kinds follow; then they, then the digests
_NOTHING = Extents()


class KeptRun:
    """Digests a device from where a checkpoint was taken. Iterate it for all Pieces, those of before first.

    The attributes are those of DigestRun, summed up over all runs; ``told`` is what the result says of the checkpoint.
    """

    def __init__(
        self,
        device: Device,
        hasher: Hasher,
        checkpoint: Checkpoint,
        *,
        options: ReadOptions,
        progress: Progress | None = None,
    ) -> None:
        self._checkpoint, self._hasher = checkpoint, hasher
        job = {
            "command": "digest",
            "source": describe(device),
            "algorithm": hasher.algorithm.name,
            "block_size": hasher.block_size,
            "read": options.read,
        }
        state = checkpoint.begin(job)
        self._before: dict[str, Any] = {"hole": 0, "digested": 0} | (state.extra if state is not None else {})
        self._keeper = Keeper(checkpoint, job, 0, stage="digest", extra=self._sums)
        self._run = DigestRun(device, hasher, start=self._keeper.start, options=options, progress=progress)
        self._state, self._hole = state, 0
        self._report = VerifyReport("digest", self._run.side, Side("", 0), "content", hasher.block_size)
        self.side, self.workers, self.told = self._run.side, self._run.workers, dict[str, Any]()

    @property
    def warnings(self) -> list[str]:
        """Those of all runs."""
        return [*self._report.warnings, *(text for text in self._run.warnings if text not in self._report.warnings)]

    @property
    def skipped(self) -> dict[str, int]:
        """Bytes that were not read, by reason."""
        return {"hole": hole} if (hole := self._before["hole"] + self._hole) else {}

    @property
    def elapsed_seconds(self) -> float:
        """The time that all runs took."""
        return self._report.elapsed_seconds

    def _sums(self) -> dict[str, int]:
        digested = self._before["digested"] + self._run.bytes_digested
        return {"hole": self._before["hole"] + self._hole, "digested": digested}

    def __iter__(self) -> Iterator[Piece]:
        run, keeper = self._run, self._keeper
        keeper.compared = self._before["digested"]
        keeper.begin(self._report, lambda: (dict(run.side.bytes_by_path) or paths(run.readers, 0), {}))
        try:
            if self._state is not None:
                for tag, data in self._checkpoint.log.read(self._state.log):
                    yield _unpacked(tag, data)
            digested = 0
            for piece in run:
                yield piece
                if run.bytes_digested == digested:
                    self._hole += piece.length
                digested = run.bytes_digested
                self._keep(piece)
                keeper.reach(piece.offset + piece.length)
        finally:
            self._report.elapsed_seconds = run.elapsed_seconds
            keeper.end()
            self.told = self._report.extra["checkpoint"]

    def _keep(self, piece: Piece) -> None:
        if piece.digests is None:
            self._keeper.note(ZEROES, _HEAD.pack(piece.offset, piece.length, 0))
            return
        block, size = self._hasher.block_size, self._hasher.size
        for at in range(0, piece.length, MAX_BLOCKS * block):
            start, length = piece.offset + at, min(MAX_BLOCKS * block, piece.length - at)
            kinds = piece.kinds.clip(start, start + length)
            first, count = at // block * size, -(-length // block) * size
            head = _HEAD.pack(start, length, len(kinds))
            self._keeper.note(DIGESTS, head + bytes(memoryview(kinds).cast("B")) + piece.digests[first : first + count])


def _unpacked(tag: bytes, data: bytes) -> Piece:
    offset, length, count = _HEAD.unpack_from(data)
    if tag == ZEROES:
        return Piece(offset, length, None, _NOTHING, _NOTHING)
    if tag != DIGESTS:
        raise OutputError("the checkpoint holds something else than digests")
    end = _HEAD.size + 24 * count
    kinds = Extents.from_buffer(data[_HEAD.size : end]) if count else _NOTHING
    return Piece(offset, length, data[end:], kinds, _NOTHING)
