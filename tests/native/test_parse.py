import io
import json
import os
import random
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import ExtentParser, Extents
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput, OutOfOrder
from blockdiff.extent import Kind
from tests.native.oracle import extent_sets, tuples

TOP = 2**63 - 1
BOOLEANS = {"true": True, "false": False, True: True, False: False}
NBD = {"data": 0, "dirty": 0, "zero": 1, "hole": 2, "hole,zero": 2, "clean": 2}


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time, so that every token is cut somewhere."""

    def __init__(self, text, size):
        self.text, self.size = text, size

    def read(self, _=-1):
        part, self.text = self.text[: self.size], self.text[self.size :]
        return part


def parse(text, **options):
    text = text.encode() if isinstance(text, str) else text
    parser = ExtentParser(io.BytesIO(text), "list.json", **options)
    return tuples(concatenate(list(parser))), parser


def extents_of(text):
    """What json.loads makes of lists without qemu's: slow, and no judge of order."""
    values = json.loads(text)
    return [extent for entry in ([values] if isinstance(values, dict) else values) for extent in of_entry(entry)]


def of_entry(entry):
    if "block_metadata" in entry:
        return [(t.get("byte_offset", 0), t["size_bytes"], 0) for t in entry["block_metadata"] or ()]
    if "differences" in entry:
        return [of_entry(d)[0] for d in entry["differences"]]
    kind = 0
    if "exists" in entry:
        kind = 0 if BOOLEANS[entry["exists"]] else 1
    elif "description" in entry:
        kind = NBD[entry["description"]]
    elif "class" in entry:
        kind = next(int(k) for k in reversed(Kind) if k.label == entry["class"])
    return [(entry["offset"], entry["length"], kind)]


def lister(extents):
    block = [{"byte_offset": o, "size_bytes": n} if o else {"size_bytes": n} for o, n, _ in extents]
    return [{"block_metadata_type": 2, "volume_capacity_bytes": 1000, "block_metadata": block or None}]


SHAPES = {
    "lister": lister,
    "rbd": lambda extents: [{"offset": o, "length": n, "exists": "false" if k else "true"} for o, n, k in extents],
    "nbd": lambda extents: [
        {"offset": o, "length": n, "type": (0, 2, 3)[k], "description": ("data", "zero", "hole,zero")[k]}
        for o, n, k in extents
    ],
    "blockdiff": lambda extents: [
        {"offset": o, "length": n, "class": ("src-zero", "size", "data")[k]} for o, n, k in extents
    ],
    "report": lambda extents: {
        "schema_version": 1,
        "source": {"url": 'é\\"\n\u2028', "nested": [[], {}, [1.5e3, -2, None, [True, {"differences": [1]}]]]},
        "differences": [{"offset": o, "length": n, "class": "bit-flip"} for o, n, _ in extents],
        "command": "verify",
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@given(extents=extent_sets(), indent=st.sampled_from([None, 1]), size=st.integers(1, 30), ascii_=st.booleans())
def test_as_json_loads_reads_it(shape, extents, indent, size, ascii_):
    text = json.dumps(SHAPES[shape](tuples(extents)), indent=indent, ensure_ascii=ascii_).encode()
    parser = ExtentParser(Trickle(text, size))
    assert tuples(concatenate(list(parser))) == extents_of(text)
    assert parser.format == (shape if len(extents) or shape in {"lister", "report"} else "empty")
    assert parser.count == len(extents)
    assert (parser.capacity, parser.type) == ((1000, 2) if shape == "lister" else (None, None))


@pytest.mark.parametrize("separator", ["\n", "", " \r\n\t"], ids=["lines", "concatenated", "spaces"])
@given(extents=extent_sets())
def test_objects_one_after_another(separator, extents):
    items = tuples(extents)
    lines = separator.join(json.dumps({"offset": o, "length": n, "kind": Kind(k).label}) for o, n, k in items)
    if items:
        assert parse(lines)[0] == items
        records = separator.join(json.dumps(lister([item])[0]) for item in items)
        assert parse(records)[0] == [(o, n, 0) for o, n, _ in items]


@pytest.mark.parametrize("end", ["", "\n", '\n{"offset":9,"length":1}', '\n{"offset":9,"length":1,"class":"size"}\n'])
def test_lines_of_differences_without_their_report_are_no_list(end):
    """Their verify was stopped: there may be more differences."""
    with pytest.raises(InvalidInput, match="the report that ends the lines of verify is missing"):
        parse('{"offset":5,"length":1,"class":"data"}' + end)
    assert parse('[{"offset":5,"length":1,"class":"data"}]')[0] == [(5, 1, 16)]
    assert parse('{"offset":5,"length":1}')[0] == [(5, 1, 0)]


def test_lines_of_differences_end_with_their_report():
    report = '{"schema_version":1,"command":"verify","identical":false,"complete":true,"difference_count":%d}'
    found, parser = parse('{"offset":5,"length":1,"class":"size"}\n' + report % 1 + "\n")
    assert (found, parser.format) == ([(5, 1, 20)], "blockdiff")
    assert parse(report % 0)[0] == []
    with pytest.raises(InvalidInput, match="expected the end of the file"):
        parse(report % 0 + '{"offset":5,"length":1}')


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ('{"schema_version":1,"command":"extents stat","lists":[]}', "another command"),
        ('{"schema_version":1,"command":"copy","complete":true,"difference_count":0}', "another command"),
        ('{"schema_version":1,"command":"audit","complete":true,"difference_count":0}', "another command"),
        ('{"schema_version":1,"command":"audit","complete":true,"differences":[]}', "another command"),
        ('{"schema_version":1,"command":"verify"}', "says nothing of differences"),
        ('{"schema_version":1,"command":"verify","complete":true}', "says nothing of differences"),
        ('{"schema_version":1,"command":"verify","difference_count":0}', "says nothing of differences"),
        ('{"command":"verify","differences":[],"unreadable_bytes":512}', "512 bytes that could not be read"),
    ],
)
def test_other_reports_are_no_empty_list(report, why):
    """Whoever copies what such a list names would copy nothing."""
    with pytest.raises(InvalidInput, match=why):
        parse(report)


RBD = """[{"offset":8192,"length":4096,"exists":"true"},{"offset":8388608,"length":4194304,"exists":"false"}]"""
NBDINFO = """[
{ "offset": 0, "length": 65536, "type": 0, "description": "data" },
{ "offset": 65536, "length": 65536, "type": 3, "description": "hole,zero" }
]
"""
DIRTY = """[
{ "offset": 0, "length": 65536, "type": 0, "description": "clean" },
{ "offset": 65536, "length": 65536, "type": 1, "description": "dirty" }]"""
QEMU_QCOW2 = """[{ "start": 0, "length": 10, "depth": 0, "present": false, "zero": true, "data": false},
{ "start": 10, "length": 10, "depth": 0, "present": true, "zero": true, "data": false, "compressed": false},
{ "start": 20, "length": 10, "depth": 1, "present": true, "zero": false, "data": true, "compressed": true},
{ "start": 30, "length": 10, "depth": 0, "present": true, "zero": false, "data": true, "offset": 327680}]
"""
QEMU_RAW = """[{ "start": 0, "length": 10, "depth": 0, "present": true, "zero": true, "data": false, "offset": 0},
{ "start": 10, "length": 10, "depth": 0, "present": true, "zero": false, "data": true, "offset": 10}]"""
GO_LISTER = (
    '[{"block_metadata_type":1,"volume_capacity_bytes":100000,'
    '"block_metadata":[{"size_bytes":1000},{"byte_offset":5000,"size_bytes":1000}]}]'
)


@pytest.mark.parametrize(
    ("text", "name", "extents"),
    [
        (RBD, "rbd", [(8192, 4096, 0), (8388608, 4194304, 1)]),
        (RBD.replace('"true"', "true").replace('"false"', "false"), "rbd", [(8192, 4096, 0), (8388608, 4194304, 1)]),
        (NBDINFO, "nbd", [(0, 65536, 0), (65536, 65536, 2)]),
        (DIRTY, "nbd", [(0, 65536, 2), (65536, 65536, 0)]),
        (QEMU_QCOW2, "qemu", [(0, 10, 2), (10, 10, 1), (20, 10, 0), (30, 10, 0)]),
        (QEMU_RAW, "qemu", [(0, 10, 2), (10, 10, 0)]),
        (GO_LISTER, "lister", [(0, 1000, 0), (5000, 1000, 0)]),
        ("[]", "empty", []),
        (" [ ] \n", "empty", []),
        (r'{"\u006fffset":1,"length":2,"caf\u00e9 \ud83d\ude00":"\n"}', "blockdiff", [(1, 2, 0)]),
    ],
)
def test_what_the_tools_print(text, name, extents):
    found, parser = parse(text)
    assert (found, parser.format) == (extents, name)


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed (apt install qemu-utils)")
def test_the_real_qemu_img(tmp_path):
    # qemu's coroutines hang under a sanitizer that is preloaded into us
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}

    def qemu(tool, *args):
        return subprocess.run([tool, *args], check=True, capture_output=True, cwd=tmp_path, env=env).stdout

    raw = tmp_path / "a.raw"
    with raw.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(65536)
        file.write(b"x" * 65536)
    assert parse(qemu("qemu-img", "map", "--output", "json", "-f", "raw", "a.raw"))[0] == [
        (0, 65536, 2),
        (65536, 65536, 0),
        (131072, (1 << 20) - 131072, 2),
    ]
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "b.qcow2", "1M")
    qemu("qemu-io", "-f", "qcow2", "-c", "write 0 128k", "b.qcow2")
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", "b.qcow2", "-F", "qcow2", "c.qcow2")
    qemu("qemu-io", "-f", "qcow2", "-c", "write -z 64k 64k", "c.qcow2")
    # the zeroes of the overlay hide data of its backing file: they are a change
    assert parse(qemu("qemu-img", "map", "--output", "json", "c.qcow2"))[0] == [
        (0, 65536, 0),
        (65536, 65536, 1),
        (131072, (1 << 20) - 131072, 2),
    ]


ENTRY = '{"offset":%s,"length":%s}'
RECORD = '{"block_metadata_type":%s,"volume_capacity_bytes":%s,"block_metadata":[{"byte_offset":%s,"size_bytes":%s}]}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "1:1: the file is empty"),
        (b" \n ", "2:2: the file is empty"),
        (b"\xef\xbb\xbf[]", "byte order mark"),
        (b"\x7fELF", "found the byte 0x7f"),
        (b"\x1f\x8b\x08", "found the byte 0x1f"),
        (b"Record#  VolCap", "found 'R', expected an array, an object or XML; accepted are"),
        (b"null", "found 'n'"),
        (b"[1]", "1:2: found '1', expected an object"),
        (b"[[]]", "1:2: found '['"),
        (b"[{}]", "no extent and no record"),
        (b"{}", "no extent and no record"),
        (b'{"foo": 1}', "no extent and no record"),
        (b'[{"byte_offset":0,"size_bytes":1}]', "no extent and no record"),
        (b'[{"block_metadata_type":2,"volume_capacity_bytes":5}]', "no extent and no record"),
        (b"[] []", "expected the end of the file"),
        (b"[,]", "found ','"),
        (b"[", "1:2: the file ends too early"),
        ((ENTRY % (0, 1) + "\n{").encode(), "2:2: the file ends too early: expected a key"),
        (f"[{ENTRY % (0, 1)}".encode(), "ends too early: expected a comma or the end of the array"),
        (f"[{ENTRY % (0, 1)},]".encode(), "found ']', expected an object"),
        (b'[{"offset":0,"length":1,}]', "found '}', expected a key"),
        (b"[{'offset':0}]", 'found "\'", expected a key'),
        (b'[{"offset" 0}]', "expected a colon"),
        (b'[{"offset":}]', "expected a JSON value"),
        (b'[{"offset":01,"length":1}]', "a number begins with 0"),
        (b'[{"offset":+1,"length":1}]', "found '+'"),
        (b'[{"offset":.5,"length":1}]', "found '.'"),
        (b'[{"offset":1.,"length":1}]', "expected a digit"),
        (b'[{"offset":NaN,"length":1}]', "found 'N'"),
        (b'[{"offset":nan,"length":1}]', "found 'a'"),
        (b'[{"offset":Infinity,"length":1}]', "found 'I'"),
        (b'[{"offset":0,"length":1,"x":-Infinity}]', "expected a digit"),
        (b'[{"offset":0,"length":1,"x":tru}]', "expected a JSON value"),
        (b'[{"offset":0,"offset":0,"length":1}]', 'the key "offset" appears twice'),
        (b'[{"offset":0,"length":1,"x":"\xff"}]', "found the byte 0xff, expected UTF-8"),
        (b'[{"offset":0,"length":1,"x":"\xed\xa0\x80"}]', "expected UTF-8"),
        (b'[{"offset":0,"length":1,"x":"\xc0\xaf"}]', "expected UTF-8"),
        (b'[{"offset":0,"length":1,"x":"a\nb"}]', "found the byte 0x0a, expected the rest of a string"),
        (b'[{"offset":0,"length":1,"x":"\\q"}]', "expected an escape"),
        (b'[{"offset":0,"length":1,"x":"\\u12g4"}]', "expected a hexadecimal digit"),
        (b'[{"offset":0,"length":1,"x":[1,{"a":[}]}]', "found '}'"),
        (b'[{"offset":0,"length":1,"x":[1 2]}]', "expected a comma or the end of the array"),
        (b'[{"offset":0,"length":1,"x":{"a" 1}}]', "expected a colon"),
        (b'[{"offset":0,"length":1,"x":{1:1}}]', "expected a key"),
        ((ENTRY % (1.5, 1)).encode(), '1:11: extent 0: "offset" is a number with a fraction'),
        ((ENTRY % ("1e3", 1)).encode(), "is a number with a fraction or an exponent"),
        ((ENTRY % (-1, 1)).encode(), '"offset" is a negative number'),
        ((ENTRY % (2**63, 1)).encode(), "past 2^63 - 1"),
        ((ENTRY % (10**30, 1)).encode(), "past 2^63 - 1"),
        ((ENTRY % ('"0"', 1)).encode(), "\"offset\" is '0'"),
        ((ENTRY % ("null", 1)).encode(), '"offset" is null'),
        ((ENTRY % ("[]", 1)).encode(), '"offset" is an array'),
        ((ENTRY % (TOP, 1)).encode(), "ends past 2^63 - 1"),
        ((ENTRY % (0, 0)).encode(), "is empty"),
        (b'{"offset":0,"length":1,"class":"odd"}', "\"class\" is 'odd', expected data, zero"),
        (b'{"offset":0,"length":1,"exists":"maybe"}', "\"exists\" is 'maybe'"),
        (b'{"offset":0,"length":1,"type":1}', 'no "description"'),
        (b'{"offset":0,"length":1,"type":1,"description":"odd"}', "\"description\" is 'odd'"),
        (b'{"offset":0,"length":1,"type":"data"}', "\"type\" is 'data'"),
        (b'{"start":0,"length":1,"data":1}', '"data" is a number'),
        (b'{"start":0,"length":1}', 'no "data"'),
        (b'{"start":0,"data":true}', 'no "length"'),
        ((ENTRY % (0, 1) + RBD).encode(), "found '['"),
        (
            (ENTRY % (0, 1) + '{"offset":5,"length":1,"exists":true}').encode(),
            "format rbd in a list of the format blockdiff",
        ),
        ((ENTRY % (0, 1) + RECORD % (2, 9, 5, 1)).encode(), "format lister in a list of the format blockdiff"),
        ((ENTRY % (0, 1) + '{"differences":[]}').encode(), "a report beside other entries"),
        (b'[{"differences":[]}]', "a report beside other entries"),
        (b'{"differences":null}', '"differences" is null'),
        (b'{"differences":[1]}', "found '1', expected an extent"),
        (b'{"differences":[{"offset":1}]}', 'no "length"'),
        (b'{"block_metadata":[],"differences":[]}', "in one object"),
        (b'[{"block_metadata":{}}]', '"block_metadata" is an object'),
        (b'[{"block_metadata":[{"byte_offset":1}]}]', 'no "size_bytes"'),
        ((RECORD % (2, 5, 0, 6)).encode(), "ends past the capacity 5"),
        (b'{"block_metadata":[{"size_bytes":6}],"volume_capacity_bytes":5}', "expected at least 6"),
        ((RECORD % (2, 9, 0, 6) + RECORD % (2, 10, 6, 1)).encode(), "expected 9 as in the records before"),
        ((RECORD % (2, 9, 0, 6) + RECORD % (1, 9, 6, 1)).encode(), "expected 2 as in the records before"),
        ((RECORD % (3, 9, 0, 6)).encode(), '"block_metadata_type" is a number, expected 0, 1'),
    ],
)
def test_bad_lists(text, message):
    with pytest.raises(InvalidInput, match=r"^list\.json:\d+:\d+: ") as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("second", [(0, 4), (3, 4), (4, 1)], ids=["unsorted", "overlapping", "same"])
def test_order(second):
    with pytest.raises(OutOfOrder, match=r"^list.json:3:\d+: extent 1 .* must be ascending") as caught:
        parse(f"[\n{ENTRY % (4, 4)},\n{ENTRY % second}]")
    assert caught.value.index == 1
    assert caught.value.exit_code == 2


def test_order_across_records():
    with pytest.raises(OutOfOrder, match="begins before 6"):
        parse(RECORD % (2, 9, 0, 6) + RECORD % (2, 9, 5, 1))


def test_the_device_is_the_limit():
    assert parse(ENTRY % (0, 5), limit=5)[0] == [(0, 5, 0)]
    with pytest.raises(InvalidInput, match="ends past the end of the device, 4"):
        parse(ENTRY % (0, 5), limit=4)


def test_deep_nesting():
    deep = b'[{"offset":0,"length":1,"x":%s%s}]'
    assert parse(deep % (b"[" * 512, b"]" * 512))[0] == [(0, 1, 0)]
    for opening, closing in [(b"[", b"]"), (b'{"a":', b"1}")]:
        with pytest.raises(InvalidInput, match="more than 512"):
            parse(deep % (opening * 1_000_000, closing))
    with pytest.raises(InvalidInput, match=r"found '\['"):
        parse(b"[" * 1_000_000)


def test_files_that_are_not_for_bytes():
    with pytest.raises(InvalidInput, match="gave str, not bytes"):
        list(ExtentParser(io.StringIO("[]")))


def test_an_error_ends_the_iteration():
    parser = ExtentParser(io.BytesIO(b"[{"))
    with pytest.raises(InvalidInput):
        next(parser)
    assert list(parser) == []


def test_batches_are_bounded():
    text = b"".join(b'{"offset":%d,"length":1}' % (i * 2) for i in range(150_000))
    sizes = [len(batch) for batch in ExtentParser(io.BytesIO(text))]
    assert sizes == [65536, 65536, 150_000 - 2 * 65536]


# ---- broken files: never a crash, and nothing accepted that json.loads refuses ----

SAMPLES = [RBD, NBDINFO, DIRTY, QEMU_QCOW2, GO_LISTER, json.dumps(SHAPES["report"]([(0, 5, 0), (9, 1, 0)]))]
TOKENS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"0",
    b"-",
    b".",
    b"e",
    b"null",
    b"true",
    b"\\",
    b"\xff",
    b"\x00",
    b" ",
    b"\n",
]


def mutated(rng, text):
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                del data[at : at + rng.randint(1, 8)]
            case 1:
                data[at:at] = rng.choice(TOKENS)
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                other = rng.randrange(len(data) + 1)
                data[at:at] = data[other : other + rng.randint(1, 30)]
            case _:
                del data[at:]
    return bytes(data)


def fuzz(seed, rounds):
    rng = random.Random(seed)
    accepted = 0
    for _ in range(rounds):
        text = mutated(rng, rng.choice(SAMPLES))
        try:
            extents = tuples(concatenate(list(ExtentParser(Trickle(text, rng.choice([1, 7, 10_000]))))))
        except InvalidInput:
            continue
        accepted += 1
        for value in values_of(text):
            if '"start"' not in json.dumps(value):
                entries = [value] if isinstance(value, dict) else value
                found = [e for entry in entries for e in of_entry(entry)] if "command" not in value else None
                # the ranges only: a mutated key may turn one shape into another
                assert found is None or {e[:2] for e in found} <= {e[:2] for e in extents}, text
        assert Extents(extents).n == len(extents)
    return accepted


def values_of(text):
    """The JSON values of a file; raises ValueError if json refuses it."""
    decoder, values, text = json.JSONDecoder(), [], text.decode().strip(" \t\r\n")
    while text:
        value, end = decoder.raw_decode(text)
        values.append(value)
        text = text[end:].lstrip(" \t\r\n")
    return values


def test_fuzz():
    assert fuzz(1, 4000) > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_fuzz_long(seed):
    assert fuzz(seed, 40_000) > 500


@given(st.binary(max_size=60))
def test_junk(data):
    try:
        list(ExtentParser(io.BytesIO(data)))
    except InvalidInput:
        return
    values_of(data)


LONG = """
import resource
from blockdiff._fast import ExtentParser, Extents, Template, format_extents

EXTENTS, BATCH = 100_000_000, 5_000
block = Extents.from_map(bytes([1, 0]) * BATCH, 4096)
template = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")

def text():
    yield b'[{"block_metadata_type":2,"volume_capacity_bytes":0,"block_metadata":['
    for i in range(EXTENTS // BATCH):
        yield format_extents(block.shift(i * BATCH * 8192), template, first=i == 0)
    yield b"]}]"

class File:
    def __init__(self):
        self.chunks = text()
    def read(self, size):
        return next(self.chunks, b"")

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert sum(len(batch) for batch in ExtentParser(File())) == EXTENTS
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.unsanitized
def test_a_list_of_a_hundred_million_extents_in_constant_memory():
    run = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 12 * 1024  # KiB: a batch and a chunk, not 5 GB
