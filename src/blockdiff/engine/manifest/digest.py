"""Makes the manifest of a device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.engine.manifest import is_manifest
from blockdiff.engine.manifest.algorithm import Hasher
from blockdiff.engine.manifest.form import level_counts
from blockdiff.engine.manifest.manifest import Manifest
from blockdiff.engine.manifest.run import DigestRun
from blockdiff.engine.manifest.tree import TreeBuilder
from blockdiff.engine.manifest.writer import ManifestWriter
from blockdiff.engine.report import now
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.engine.checkpoint.digesting import KeptRun
    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.device import Device
    from blockdiff.engine.manifest.run import Piece
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress


def digest_device(
    device: Device,
    *,
    algorithm: str = "xxh3-128",
    block_size: int = 0,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Digests a device. The manifest has no name, and is gone when it is closed; ``block_size`` 0: the algorithm's own.

    Raises InvalidInput, DeviceError, OutputError.
    """
    from blockdiff.engine.scratch import scratch_file

    digesting = Digesting(device, algorithm=algorithm, block_size=block_size, options=options, progress=progress)
    with scratch_file("blockdiff-manifest-") as file:
        digesting.write(file)
        return Manifest(os.dup(file.fileno()), f"the manifest of {device.url}")


class Digesting:
    """Digests a device into a manifest. ``run`` says how it was read, ``root`` and ``stored_blocks`` what was found.

    ``made_by`` is kept in the manifest, with the time and the device's URL. ``checkpoint``: the digests so far are kept
    there, and what they are of is not read again.
    """

    def __init__(
        self,
        device: Device,
        *,
        algorithm: str = "xxh3-128",
        block_size: int = 0,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
        made_by: str = "blockdiff",
        checkpoint: Checkpoint | None = None,
    ) -> None:
        if options is not None and options.keep_going:
            raise InvalidInput("a block that cannot be read has no digest: a manifest is of all of a device or of none")
        self.device, self.made_by = device, made_by
        self.hasher = Hasher(algorithm, block_size)
        self.run: DigestRun | KeptRun = (
            DigestRun(device, self.hasher, options=options, progress=progress)
            if checkpoint is None
            else _kept(device, self.hasher, checkpoint, options, progress)
        )
        self.root = b""
        self.time = now()
        self.blocks = -(-device.size // self.hasher.block_size)
        self.stored_blocks = 0

    def write(self, file: BinaryIO) -> None:
        """Writes the manifest to a new file that can be sought."""
        writer = ManifestWriter(file, self.hasher, self.device.size, self._facts())
        try:
            self._feed(writer)
            header = writer.finish()
        finally:
            writer.close()
        self.root = header.root

    def root_only(self) -> int:
        """Finds the root and keeps no digests; gives the bytes that were kept."""
        tree = TreeBuilder(self.hasher, level_counts(self.device.size, self.hasher.block_size))
        self._feed(tree)
        self.root = self.hasher.root(self.device.size, tree.finish())
        return 0

    def save(self, path: str, *, force: bool = False) -> int:
        """Writes the manifest to a file, which is there when it is whole; gives its size.

        What is there already must be a manifest, or ``force``. Raises InvalidInput, OutputError.
        """
        from blockdiff.engine.newfile import new_file

        self.refuse_place(path, force=force)
        with new_file(path, instead="name a file for the manifest") as file:
            self.write(file)
            return file.tell()

    def refuse_place(self, path: str, *, force: bool) -> None:
        """Raises InvalidInput where a manifest cannot be kept under this name."""
        if path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
            raise InvalidInput(f"a manifest cannot be written to {path}: name a file")
        if os.path.exists(path) and not is_manifest(path) and (not force or self._is_source(path)):
            hint = "it is what is digested" if self._is_source(path) else "use --force to overwrite it"
            raise InvalidInput(f"{path} exists and is no manifest: {hint}")

    def _is_source(self, path: str) -> bool:
        fd = self.device.fileno()
        return fd is not None and os.path.samestat(os.fstat(fd), os.stat(path))

    def _facts(self) -> dict[str, Any]:
        url = self.device.url.encode(errors="surrogateescape").decode(errors="replace")
        return {"url": url, "time": self.time, "made_by": self.made_by}

    def _feed(self, tree: ManifestWriter | TreeBuilder) -> None:
        for piece in self.run:
            if piece.digests is None:
                tree.add_zeroes(piece.length // self.hasher.block_size)
                continue
            runs = runs_to_store(piece, self.hasher.block_size)
            self.stored_blocks += sum(count for _, count in runs)
            tree.add(piece.digests, runs)


def _kept(
    device: Device,
    hasher: Hasher,
    checkpoint: Checkpoint,
    options: ReadOptions | None,
    progress: Progress | None,
) -> KeptRun:
    from blockdiff.engine.checkpoint.digesting import KeptRun
    from blockdiff.engine.options import ReadOptions

    return KeptRun(device, hasher, checkpoint, options=options or ReadOptions(), progress=progress)


def runs_to_store(piece: Piece, block: int) -> list[tuple[int, int]]:
    """The blocks of a piece, from its first on, that are not whole blocks of zeroes: runs of (first, count)."""
    runs: list[tuple[int, int]] = []
    for offset, length, kind in piece.kinds:
        if kind == Kind.DATA:
            first, count = (offset - piece.offset) // block, -(-length // block)
        elif length % block:  # zeroes to the end, and the last block is shorter
            first, count = (offset + length - piece.offset) // block, 1
        else:
            continue
        if runs and sum(runs[-1]) == first:
            runs[-1] = runs[-1][0], runs[-1][1] + count
        else:
            runs.append((first, count))
    return runs
