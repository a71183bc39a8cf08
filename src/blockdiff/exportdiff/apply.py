"""Applies a chain of diffs: files after all of them were found good, a pipe as it comes."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.progress import NoProgress
from blockdiff.engine.verify import Verification
from blockdiff.errors import ContentsDoNotMatch, InvalidInput, SourceError
from blockdiff.exportdiff.chain import STDIN, Chain, Links, follow, is_head, open_file, open_stream, refuse_second_pipe
from blockdiff.exportdiff.form import shown
from blockdiff.exportdiff.layer import Layer
from blockdiff.exportdiff.overlay import changes_of
from blockdiff.exportdiff.reader import Reader
from blockdiff.exportdiff.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from blockdiff.engine.progress import Progress
    from blockdiff.exportdiff.form import Header
    from blockdiff.exportdiff.reader import Diff


class ApplyReport:
    """What was applied to what. ``diffs`` has a dict for each diff that was applied completely."""

    def __init__(self) -> None:
        self.url, self.size = "", 0
        self.diffs: list[dict[str, Any]] = []
        self.copied_bytes = self.zeroed_bytes = self.verified_bytes = 0
        self.complete = False
        self.verified: bool | None = None
        self.begun = False  # something may have been written
        self.warnings: list[str] = []
        self.elapsed_seconds = 0.0

    def __repr__(self) -> str:
        return f"ApplyReport({self.url!r}: {len(self.diffs)} diffs, complete={self.complete})"

    def to_dict(self) -> dict[str, Any]:
        """The report's JSON form."""
        return {
            "schema_version": 1,
            "command": "apply",
            "complete": self.complete,
            "target": {"url": self.url, "size": self.size},
            "diffs": self.diffs,
            "copied_bytes": self.copied_bytes,
            "zeroed_bytes": self.zeroed_bytes,
            "verified": self.verified,
            "verified_bytes": self.verified_bytes,
            "warnings": list(self.warnings),
            "elapsed_seconds": round(self.elapsed_seconds, 6),
        }


class Apply:
    """Applies the streams of these names (``-``: standard input) in order; ``run(open_target)`` does it.

    ``open_target(size)`` opens the device; ``size`` is what a whole image needs, and None where the device must exist.
    ``verify`` reads back what was changed and compares; a pipe is then kept in a temporary file and checked first.
    The device is left open. Raises InvalidInput before anything was written; else SourceError, DeviceError or
    ContentsDoNotMatch, and then ``report.begun`` is True and the target incomplete. Applying the same chain again is
    always right for a file.
    """

    def __init__(
        self,
        names: list[str],
        *,
        verify: bool = False,
        base_size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not names:
            raise InvalidInput("there is no diff to apply")
        refuse_second_pipe(names)
        self._names, self._verify, self._base_size = names, verify, base_size
        self._progress = progress or NoProgress()
        self.report = ApplyReport()
        self._done = 0
        self._target: Target | None = None

    def run(self, open_target: Callable[[int | None], Any]) -> ApplyReport:
        """Checks, applies, makes it durable, verifies if asked."""
        began = time.monotonic()
        try:
            if STDIN in self._names and not self._verify:
                self._apply_pipe(open_target)
            else:
                with Chain(self._names) as chain:
                    self._apply_files(chain, open_target)
            self.report.complete = True
        except InvalidInput as error:
            if not self.report.begun:
                raise
            raise SourceError(f"{error}; {self.report.url} is incomplete") from error
        finally:
            if self._target is not None:
                self._target.data.close()
                self._sum_up(self._target)
            self.report.elapsed_seconds = time.monotonic() - began
        return self.report

    def how_to_go_on(self) -> str:
        """What to do after an error, in words."""
        done = ", ".join(
            f"{shown(diff['from'], 'nothing')} -> {shown(diff['to'], 'head')}" for diff in self.report.diffs
        )
        if done and self._target is not None and self._target.keeps_snapshots:
            return f"applied, with their snapshots, are {done}: run the command again with the diffs that follow"
        return "run the same command again: it writes everything once more"

    def _apply_files(self, chain: Chain, open_target: Callable[[int | None], Any]) -> None:
        device = open_target(None if chain.from_name is not None else chain.size)
        target = self._begin(device, chain.layers[0][1].header)
        for number, (_, layer) in enumerate(chain):
            target.check(layer.header, first=not number)
        self._warn_of_writes(target, chain.from_name)
        base_size = target.size
        self._progress.start("apply", sum(layer.data_bytes + layer.zero_bytes for _, layer in chain))
        try:
            for file in chain.files:
                for diff, layer in zip(file.read(), file.layers, strict=True):
                    if diff.header != layer.header:
                        raise InvalidInput(f"{file.name} was modified meanwhile")
                    self._apply(diff, target, file)
            device.flush()
        finally:
            self._progress.finish()
        if self._verify:
            self._read_back(chain, device, base_size)

    def _apply_pipe(self, open_target: Callable[[int | None], Any]) -> None:
        """Files are checked first, and the pipe's own header before anything is written."""
        with ExitStack() as stack:
            streams: list[Any] = []
            for name in self._names:
                streams.append(open_stream(name) if name != STDIN else _Pipe(*open_file(name)))
                stack.callback(streams[-1].close)
            follow(streams)
            headers = [layer.header for stream in streams for layer in stream.layers]
            target = self._begin(open_target(headers[0].size if headers[0].from_name is None else None), headers[0])
            for number, header in enumerate(headers):
                target.check(header, first=not number)
            self._warn_of_writes(target, headers[0].from_name)
            for stream, diff in self._following(streams):
                target.check(diff.header, first=not self.report.begun)
                self._progress.start("apply", diff.header.size)
                try:
                    self._apply(diff, target, stream)
                finally:
                    self._progress.finish()
                self._done = 0
            target.device.flush()

    @staticmethod
    def _following(streams: list[Any]) -> Iterator[tuple[Any, Diff]]:
        links = Links()
        for stream, following in itertools.zip_longest(streams, streams[1:]):
            for diff in stream.read():
                if following is not None and stream.is_head(diff.header, following.layers[0].header):
                    continue
                links.follow(stream.name, Layer(diff.header))
                yield stream, diff

    def _begin(self, device: Any, header: Header) -> Target:
        self._target = target = Target(device, base_size=self._base_size)
        self.report.url = device.url
        if target.fixed and header.from_name is not None and self._base_size is None:
            self.report.warnings.append(
                f"{device.url} cannot tell how large the image on it was: where the image grew, say --base-size, "
                "or what was behind it stays there"
            )
        return target

    def _warn_of_writes(self, target: Target, from_name: str | None) -> None:
        """An earlier run that was cut short has written there too, so that it cannot be refused."""
        if from_name is not None and (count := target.written_since(from_name)):
            self.report.warnings.append(
                f"{target.device.url} was written to since its snapshot {shown(from_name, '')!r} (up to {count:,} "
                "bytes): unless an earlier run of this command did that, the result is wrong; verify it"
            )

    def _apply(self, diff: Diff, target: Target, stream: Any) -> None:
        header, before = diff.header, (target.copied, target.zeroed)
        self.report.begun = True
        target.resize(header.size)
        layer = Layer(header)
        for piece in diff.pieces():
            if header.from_name is None:
                layer.add(piece)
            if piece.zero:
                target.zero(piece.offset, piece.length)
                self._advance(piece.length)
            else:
                self._write(diff, target, piece.offset, piece.length)
        target.data.settle()
        if header.from_name is None:
            target.zero_rest([_extents(layer)])
        if what := stream.changes():
            raise InvalidInput(what)
        target.finish_diff(header)
        self._note(stream.name, header, target.copied - before[0], target.zeroed - before[1])

    def _write(self, diff: Diff, target: Target, offset: int, length: int) -> None:
        end = offset + length
        while offset < end:
            view = target.data.buffer(offset, end - offset)
            diff.read_into(view)
            target.data.write(view, offset)
            offset += len(view)
            self._advance(len(view))

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress.advance(self._done)

    def _note(self, name: str, header: Header, copied: int, zeroed: int) -> None:
        self.report.diffs.append(
            {
                "file": name,
                "from": header.from_name,
                "to": header.to_name,
                "size": header.size,
                "copied_bytes": copied,
                "zeroed_bytes": zeroed,
            }
        )

    def _read_back(self, chain: Chain, device: Any, base_size: int) -> None:
        """Compares the changed ranges with the files, past the page cache where there is one."""
        getattr(device, "drop_cache", lambda: None)()
        expected, known = changes_of(chain, base_size)
        run = Verification(expected, device, size="ignore", only=[known], progress=self._progress)
        try:
            for found in run:
                raise ContentsDoNotMatch(
                    f"{device.url} reads back differently from what was applied, first at offset {found[0].offset} "
                    f"(length {found[0].length}): the device is not to be trusted, or somebody else writes to it"
                )
        finally:
            expected.close()
        self.report.verified = True
        self.report.verified_bytes = known.total()

    def _sum_up(self, target: Target) -> None:
        self.report.size = target.size
        self.report.copied_bytes, self.report.zeroed_bytes = target.copied, target.zeroed


class _Pipe:
    """Standard input, once; ``layers`` has its first header, and nothing of what follows that."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self._reader = Reader(file, name)
        try:
            self._first = next(iter(self._reader))
        except BaseException:
            file.close()
            raise
        self.layers = [Layer(self._first.header)]
        self.known = self._reader.count == 1

    def read(self) -> Iterator[Diff]:
        return itertools.chain([self._first], self._reader)

    def is_head(self, header: Header, following: Header) -> bool:
        return not self.known and is_head(header, following)

    def changes(self) -> str:
        return ""

    def close(self) -> None:
        self._file.close()


def _extents(layer: Layer) -> Extents:
    return Extents.from_arrays(*layer.columns(0)[:2])
