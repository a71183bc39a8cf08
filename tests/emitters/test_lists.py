import io
import json
import subprocess
import sys

import pytest

from blockdiff._fast import Extents
from blockdiff.emitters import JsonEmitter, make_emitter, names
from blockdiff.engine.extentlist import read_extents
from blockdiff.engine.source import emit
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput
from blockdiff.record import BlockMetadataType, Record
from blockdiff.testing.emitters import EmitterConformance, records

LISTS = ["json", "jsonl", "rbd", "qemu", "nbd"]


class TestConformance(EmitterConformance):
    @pytest.fixture(params=names())
    def make(self, request):
        return lambda out: make_emitter(request.param, out)


def written(name, items, **options):
    out = io.BytesIO()
    emit(items, make_emitter(name, out, **options))
    return out.getvalue()


def one(*extents, capacity=10**13, type_=BlockMetadataType.FIXED_LENGTH):
    return Record(type_, capacity, Extents(extents))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("sizes", [(0,), (1,), (3, 0, 2), (0, 0), (70_000, 1)], ids=str)
def test_lists_are_read_back(name, sizes):
    kinds = (0,) if name in {"json", "jsonl"} else (0, 1)
    text = written(name, records(*sizes, kinds=kinds))
    with read_extents(io.BytesIO(text)) as listed:
        assert concatenate(listed) == concatenate(record.extents for record in records(*sizes, kinds=kinds))
        assert listed.format == ("lister" if name in {"json", "jsonl"} else name if any(sizes) else "empty")


@pytest.mark.parametrize("name", ["json", "rbd", "qemu", "nbd"])
def test_no_records_make_an_empty_list(name):
    assert json.loads(written(name, [])) == []


def test_json_is_the_listers():
    text = written("json", [one((0, 4096), (8192, 4096)), one(), one((16384, 4096))])
    start = b'{"block_metadata_type":1,"volume_capacity_bytes":10000000000000,"block_metadata":['
    assert text == (
        b"[" + start + b'{"byte_offset":0,"size_bytes":4096},{"byte_offset":8192,"size_bytes":4096}]},' + start + b"]},"
        + start + b'{"byte_offset":16384,"size_bytes":4096}]}]\n'
    )  # fmt: skip


def test_kinds_in_json_are_read_back():
    out = io.BytesIO()
    emit([one((0, 4096), (8192, 4096, 1), (16384, 4096, 2))], JsonEmitter(out, kinds=True))
    assert [int(e.kind) for e in concatenate(read_extents(io.BytesIO(out.getvalue()), holes=True))] == [0, 1, 2]


def test_jsonl_is_a_record_a_line():
    lines = written("jsonl", records(2, 0, 1)).splitlines()
    assert [len(json.loads(line)["block_metadata"]) for line in lines] == [2, 0, 1]


def test_the_table_is_the_listers():
    text = written(
        "table", [one((0, 1000)), one((1000, 1000), capacity=10**13), one((10**15, 1000), capacity=10**13)][:2]
    )
    assert text.decode() == (
        "Record#   VolCapBytes  BlockMetadataType   ByteOffset     SizeBytes\n"
        "------- -------------- ----------------- -------------- --------------\n"
        "      1 10000000000000      FIXED_LENGTH              0           1000\n"
        "      2 10000000000000      FIXED_LENGTH           1000           1000\n"
    )
    assert written("table", []) == b""


def test_wide_numbers_make_wide_columns():
    text = written("table", [one((10**17, 10**16), capacity=10**18)])
    assert text.decode().splitlines()[2].split() == ["1", str(10**18), "FIXED_LENGTH", str(10**17), str(10**16)]


def test_shapes_of_the_other_tools():
    items = [one((0, 4096), (4096, 4096, 1)), one((8192, 4096, 2))]
    assert written("rbd", items) == (
        b'[{"offset":0,"length":4096,"exists":"true"},{"offset":4096,"length":4096,"exists":"false"},'
        b'{"offset":8192,"length":4096,"exists":"false"}]\n'
    )
    nbd = json.loads(written("nbd", items))
    assert [(e["type"], e["description"]) for e in nbd] == [(0, "data"), (2, "zero"), (3, "hole,zero")]
    qemu = json.loads(written("qemu", items))
    assert [(e["data"], e["zero"], e["present"]) for e in qemu] == [
        (True, False, True),
        (True, True, True),
        (False, True, False),
    ]


def test_summary():
    text = written("summary", [one((0, 4096), capacity=16384), one((4096, 4096, 1), capacity=16384)])
    assert text.decode() == (
        "2 extents in 2 records: 8192 bytes (8.0 KiB, 50.00% of 16.0 KiB)\n"
        "  data: 4096 bytes (4.0 KiB)\n"
        "  zero: 4096 bytes (4.0 KiB)\n"
    )
    assert written("summary", []) == b"0 extents in 0 records: 0 bytes (0 B)\n"


def test_unknown_formats_name_the_known_ones():
    with pytest.raises(InvalidInput, match="known are json, jsonl, table"):
        make_emitter("xml", io.BytesIO())


def test_an_emitter_imports_only_itself():
    code = (
        "import sys, blockdiff.emitters as e; e.JsonEmitter;"
        "bad = {'numpy', 'msgspec', 'rich', 'click', 'blockdiff.emitters.table', 'blockdiff.engine.verify'};"
        "print(sorted(bad & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
