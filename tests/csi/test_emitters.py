import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import Extents
from blockdiff.csi.emitters import JSONEmitter, TableEmitter
from blockdiff.csi.metadata import BlockMetadata, BlockMetadataList, IteratorMetadata
from blockdiff.engine.extentlist import read_extents
from blockdiff.errors import OutputError
from blockdiff.record import BlockMetadataType
from tests.native.oracle import extent_sets

FIXED, VARIABLE = BlockMetadataType.FIXED_LENGTH, BlockMetadataType.VARIABLE_LENGTH
HEADER = (
    "Record#   VolCapBytes  BlockMetadataType   ByteOffset     SizeBytes\n"
    "------- -------------- ----------------- -------------- --------------\n"
)


def record(*ranges, kind=FIXED, capacity=100_000):
    return IteratorMetadata(kind, capacity, Extents(ranges))


def printed(emitter_of, records, *, end=True, text=False):
    out = io.StringIO() if text else io.BytesIO()
    emitter = emitter_of(out)
    for number, each in enumerate(records, 1):
        emitter.record(number, each)
    if end:
        emitter.done(len(records))
    return out.getvalue() if text else out.getvalue().decode()


def as_go(each):
    """The original's JSON of a record, the plain way."""
    ranges = []
    for at in each.block_metadata:
        entry = {"byte_offset": at.byte_offset} if at.byte_offset else {}
        ranges.append({**entry, "size_bytes": at.size_bytes})
    named = {
        "block_metadata_type": int(each.block_metadata_type),
        "volume_capacity_bytes": each.volume_capacity_bytes,
        "block_metadata": ranges or None,
    }
    return json.dumps(named, separators=(",", ":"))


JSON = {
    "the-facts": (
        [record((0, 1000), (5000, 1000))],
        (
            '[{"block_metadata_type":1,"volume_capacity_bytes":100000,"block_metadata":[{"size_bytes":1000},'
            '{"byte_offset":5000,"size_bytes":1000}]}]'
        ),
    ),
    "none": ([], "[]"),
    "no-ranges": (
        [record()],
        '[{"block_metadata_type":1,"volume_capacity_bytes":100000,"block_metadata":null}]',
    ),
    "only-offset-0": (
        [record((0, 7), kind=VARIABLE, capacity=0)],
        '[{"block_metadata_type":2,"volume_capacity_bytes":0,"block_metadata":[{"size_bytes":7}]}]',
    ),
    "two": (
        [record((4096, 1)), record(), record((2**62, 2**62 - 1), capacity=2**63 - 1)],
        (
            '[{"block_metadata_type":1,"volume_capacity_bytes":100000,"block_metadata":[{"byte_offset":4096,"size_bytes":1}]}'
            ',{"block_metadata_type":1,"volume_capacity_bytes":100000,"block_metadata":null}'
            ',{"block_metadata_type":1,"volume_capacity_bytes":9223372036854775807,"block_metadata":'
            '[{"byte_offset":4611686018427387904,"size_bytes":4611686018427387903}]}]'
        ),
    ),
}


@pytest.mark.parametrize(("records", "wanted"), JSON.values(), ids=JSON)
@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
def test_json(records, wanted, text):
    assert printed(JSONEmitter, records, text=text) == wanted


@given(parts=st.lists(extent_sets(), max_size=4))
def test_json_says_what_the_original_says(parts):
    records = [IteratorMetadata(VARIABLE, 80, part) for part in parts]
    assert printed(JSONEmitter, records) == f"[{','.join(map(as_go, records))}]"


def test_json_of_many():
    extents = Extents([(i * 8192, 4096) for i in range(30_000)])
    records = [IteratorMetadata(FIXED, 30_000 * 8192, extents)]
    assert printed(JSONEmitter, records, text=True) == f"[{as_go(records[0])}]"


def test_json_of_a_stream_that_failed_has_no_end():
    assert printed(JSONEmitter, [record()], end=False)[-5:] == "null}"


def test_our_own_commands_read_it():
    records = [record((0, 1000), (5000, 1000)), record(), record((8192, 4096))]
    with read_extents(io.BytesIO(printed(JSONEmitter, records).encode())) as listed:
        assert [tuple(e)[:2] for batch in listed for e in batch] == [(0, 1000), (5000, 1000), (8192, 4096)]


def test_table():
    big = 10_995_116_277_760
    found = printed(TableEmitter, [record((0, 1000), (5000, 1000), capacity=big), record((8192, 4096), kind=VARIABLE)])
    assert found == HEADER + (
        "      1 10995116277760      FIXED_LENGTH              0           1000\n"
        "      1 10995116277760      FIXED_LENGTH           5000           1000\n"
        "      2         100000   VARIABLE_LENGTH           8192           4096\n"
    )


def test_table_of_little():
    assert printed(TableEmitter, []) == ""
    assert printed(TableEmitter, [record()]) == HEADER
    assert printed(TableEmitter, [record(), record((1, 2))], text=True) == HEADER + (
        "      2         100000      FIXED_LENGTH              1              2\n"
    )


@given(extents=extent_sets(), number=st.integers(2, 10**9), capacity=st.integers(0, 2**63 - 1))
def test_rows_are_those_of_the_original(extents, number, capacity):
    out = io.BytesIO()
    TableEmitter(out).record(number, IteratorMetadata(BlockMetadataType.UNKNOWN, capacity, extents))
    rows = [f"{number:7d} {capacity:14d}           UNKNOWN {e.offset:14d} {e.length:14d}\n" for e in extents]
    assert out.getvalue().decode() == "".join(rows)


@pytest.mark.parametrize("emitter_of", [JSONEmitter, TableEmitter])
def test_what_cannot_be_written_is_an_error(emitter_of):
    with open("/dev/full", "wb", buffering=0) as out, pytest.raises(OutputError, match="No space left"):
        emitter_of(out).record(1, record((0, 4096)))
    with open("/dev/full", "w", encoding="ascii") as out:
        emitter = emitter_of(out)
        emitter.record(1, record((0, 4096)))
        with pytest.raises(OutputError, match="No space left"):
            emitter.done(1)
        out.buffer.raw.close()


def test_standard_output(capsys):
    print("before", end=" ")
    emitter = JSONEmitter(sys.stdout)
    emitter.done(0)
    print(" after")
    assert capsys.readouterr().out == "before [] after\n"


def test_names_of_the_original():
    given_ = record((0, 1000), (5000, 1000))
    assert given_.block_metadata_type is FIXED
    assert given_.volume_capacity_bytes == 100_000
    ranges = given_.block_metadata
    assert list(ranges) == [BlockMetadata(0, 1000), BlockMetadata(5000, 1000)] == ranges
    assert (ranges[1].byte_offset, ranges[-1].size_bytes, len(ranges)) == (5000, 1000, 2)
    assert ranges[:1] == BlockMetadataList(Extents([(0, 1000)]))
    assert (5000, 1000) in ranges
    assert hash(ranges) == hash(given_.block_metadata)
    assert "(5000, 1000" in repr(ranges)
    with pytest.raises(IndexError):
        ranges[2]
    kind, capacity, extents = given_
    assert (kind, capacity, extents) == given_
