"""Writing 1 M extents to /dev/null and reading them back, in process; 4096 in a record, as sources yield them."""

from __future__ import annotations

import io
import json
from typing import IO, TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call
from blockdiff._fast import Extents
from blockdiff.emitters import make_emitter
from blockdiff.engine.extentlist import read_extents
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.result import Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

BATCH = 4096


class Item(msgspec.Struct):
    byte_offset: int
    size_bytes: int


class Metadata(msgspec.Struct):
    block_metadata_type: int
    volume_capacity_bytes: int
    block_metadata: list[Item]


class Stream:
    """The records, and the usual ways to their JSON."""

    def __init__(self, count: int) -> None:
        rng = np.random.Generator(np.random.PCG64(3))
        lengths = rng.integers(1, 17, count, dtype=np.int64) * 4096
        offsets = np.cumsum(lengths + 4096) - lengths
        extents = Extents.from_arrays(offsets.data, lengths.data)
        self.capacity = extents.end + 4096
        self.batches = [extents[start : start + BATCH] for start in range(0, count, BATCH)]

    def emit(self, name: str, out: IO[bytes]) -> int:
        """Our way; gives how many records were written."""
        emitter = make_emitter(name, out)  # type: ignore[arg-type]  # a BinaryIO is an IO[bytes] with a name
        for number, extents in enumerate(self.batches, 1):
            emitter.record(number, Record(BlockMetadataType.VARIABLE_LENGTH, self.capacity, extents))
        emitter.done(len(self.batches))
        return len(self.batches)

    def tuples(self) -> Iterator[Iterator[tuple[int, int]]]:
        for extents in self.batches:
            array = np.asarray(extents)
            yield zip(array["offset"].tolist(), array["length"].tolist(), strict=True)

    def msgspec(self, out: IO[bytes]) -> int:
        records = [Metadata(2, self.capacity, [Item(*item) for item in items]) for items in self.tuples()]
        return out.write(msgspec.json.encode(records))

    def json(self, out: IO[bytes]) -> int:
        return out.write(json.dumps(list(self.plain()), separators=(",", ":")).encode())

    def plain(self) -> Iterator[dict[str, Any]]:
        """The records as the JSON must say them."""
        for items in self.tuples():
            found = [{"byte_offset": offset, "size_bytes": length} for offset, length in items]
            yield {"block_metadata_type": 2, "volume_capacity_bytes": self.capacity, "block_metadata": found}


@pytest.fixture(scope="module")
def stream(chosen: Setting) -> Stream:
    return Stream(chosen.entries)


@pytest.fixture
def devnull() -> Iterator[IO[bytes]]:
    with open("/dev/null", "wb") as out:
        yield out


def text_of(stream: Stream, name: str) -> bytes:
    kept = io.BytesIO()
    stream.emit(name, kept)
    return kept.getvalue()


def test_json(race: Racer, found: Result, chosen: Setting, stream: Stream, devnull: IO[bytes]) -> None:
    text = text_of(stream, "json")
    expect(json.loads(text) == list(stream.plain()), True, "the JSON says the extents")

    def check(written: int) -> None:
        expect(written in {len(stream.batches), len(text) - 1}, True, f"{written} records or bytes")

    others = [
        Call("msgspec", lambda: stream.msgspec(devnull), check),
        Call("json.dumps", lambda: stream.json(devnull), check),
    ]
    contest = race(targets.EMIT, Call("blockdiff", lambda: stream.emit("json", devnull), check), others)
    found.add(targets.EMIT, "rate", chosen.entries / contest.cost("blockdiff", "cpu") / 1e6)


@pytest.mark.parametrize("name", ["jsonl", "table", "rbd", "qemu", "nbd"])
def test_others(race: Racer, found: Result, chosen: Setting, stream: Stream, devnull: IO[bytes], name: str) -> None:
    workload = targets.emit(name)

    def check(written: int) -> None:
        expect(written, len(stream.batches), "records")

    contest = race(workload, Call("blockdiff", lambda: stream.emit(name, devnull), check), [])
    found.add(workload, "rate", chosen.entries / contest.cost("blockdiff", "cpu") / 1e6)


def test_parse(race: Racer, found: Result, chosen: Setting, stream: Stream) -> None:
    text = text_of(stream, "json")
    total = sum(extents.total() for extents in stream.batches)

    def ours() -> tuple[int, int]:
        with read_extents(io.BytesIO(text), capacity=stream.capacity) as listed:
            return sum(batch.total() for batch in listed), listed.count

    def plain() -> tuple[int, int]:
        items = [item for record in json.loads(text) for item in record["block_metadata"]]
        return sum(item["size_bytes"] for item in items), len(items)

    def typed() -> tuple[int, int]:
        records = msgspec.json.decode(text, type=list[Metadata])
        return sum(item.size_bytes for record in records for item in record.block_metadata), chosen.entries

    def check(answer: tuple[int, int]) -> None:
        expect(answer, (total, chosen.entries), "bytes and extents")

    others = [Call("msgspec", typed, check), Call("json.loads", plain, check)]
    contest = race(targets.PARSE, Call("blockdiff", ours, check), others)
    found.add(targets.PARSE, "rate", chosen.entries / contest.cost("blockdiff", "cpu") / 1e6)
