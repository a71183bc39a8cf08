"""Writing 1 M extents as JSON in the Kubernetes lister's form (about 50 MB), in process, to /dev/null."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call
from blockdiff._fast import Extents, Template, format_extents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.result import Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

ITEM = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")


class Item(msgspec.Struct):
    byte_offset: int
    size_bytes: int


class Writers:
    """Our way and the usual ways to the same text; each returns how many bytes it wrote."""

    def __init__(self, count: int, fd: int) -> None:
        rng = np.random.Generator(np.random.PCG64(3))
        lengths = rng.integers(1, 17, count, dtype=np.int64) * 4096
        offsets = np.cumsum(lengths + 4096) - lengths
        self.extents = Extents.from_arrays(offsets.data, lengths.data)
        self.fd = fd

    def ours(self) -> int:
        """Streamed in chunks, never the whole text."""
        written = 0

        def sink(chunk: bytes) -> None:
            nonlocal written
            written += os.write(self.fd, chunk)

        sink(b"[")
        format_extents(self.extents, ITEM, sink)
        sink(b"]")
        return written

    def pairs(self) -> Iterator[tuple[int, int]]:
        array = np.asarray(self.extents)
        return zip(array["offset"].tolist(), array["length"].tolist(), strict=True)

    def msgspec(self) -> int:
        return os.write(self.fd, msgspec.json.encode([Item(offset, length) for offset, length in self.pairs()]))

    def json(self) -> int:
        items = [{"byte_offset": offset, "size_bytes": length} for offset, length in self.pairs()]
        return os.write(self.fd, json.dumps(items, separators=(",", ":")).encode())


@pytest.fixture(scope="module")
def writers(chosen: Setting) -> Iterator[Writers]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield Writers(chosen.entries, fd)
    os.close(fd)


def test_json(race: Racer, found: Result, chosen: Setting, writers: Writers) -> None:
    text = format_extents(writers.extents, ITEM)
    said = [(item["byte_offset"], item["size_bytes"]) for item in json.loads(b"[" + text + b"]")]
    expect(said == list(writers.pairs()), True, "the extents are read back from the text")

    def check(written: int) -> None:
        expect(written, len(text) + 2, "bytes written")

    others = [Call("msgspec", writers.msgspec, check), Call("json.dumps", writers.json, check)]
    contest = race(targets.EMIT, Call("blockdiff", writers.ours, check), others)
    found.add(targets.EMIT, "rate", chosen.entries / contest.cost("blockdiff", "cpu") / 1e6)
