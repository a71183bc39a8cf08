"""``blockdiff extents``: what is read and written is judged by the standard library, and by the tools themselves."""

import json
import os
import stat

import pytest

from blockdiff._fast import Extents, Template, format_extents
from tests.cli.test_resources import peak
from tests.fixtures.cli import COMMAND, blockdiff, within
from tests.fixtures.nbd import run
from tests.fixtures.rbd import rbd_diff
from tests.fixtures.schemas import obeys
from tests.native import listoracle

K = 4096
SIZE = 32 * K
CHANGED = [(0, K, 0), (2 * K, K, 1), (8 * K, 2 * K, 0)]
HOLES = [(K, K, 2), (3 * K, 5 * K, 2), (10 * K, 22 * K, 2)]
ALL = sorted(CHANGED + HOLES)
FORMATS = ("json", "jsonl", "rbd", "qemu", "nbd", "ovirt", "thin-delta")
MAPS = ("qemu", "nbd", "ovirt")


def ours(items=ALL):
    return [{"offset": o, "length": n, "kind": ("data", "zero", "hole")[k]} for o, n, k in items]


def lister(items=CHANGED, capacity=SIZE):
    return [
        {
            "volume_capacity_bytes": capacity,
            "block_metadata": [{"byte_offset": o, "size_bytes": n} for o, n, _ in items],
        }
    ]


def nbd(items=ALL, words=("data", "zero", "hole,zero")):
    return [{"offset": o, "length": n, "type": 0, "description": words[k]} for o, n, k in items]


def ovirt(items=ALL):
    return [{"start": o, "length": n, "zero": k > 0, "hole": k > 1} for o, n, k in items]


def ovirt_dirty(items=ALL):
    return [{"start": o, "length": n, "dirty": k < 2, "zero": k == 1} for o, n, k in items]


def qemu(items=ALL):
    return [{"start": o, "length": n, "zero": k > 0, "data": k < 1, "present": k < 2} for o, n, k in items]


def thin(items=ALL):
    rows = "".join(
        f'<{("left_only", "different", "same")[k]} begin="{o // K}" length="{n // K}"/>' for o, n, k in items
    )
    return f'<superblock data_block_size="8"><diff left="1" right="2">{rows}</diff></superblock>'


CHANGES = {"nbd-dirty": nbd(words=("dirty", "dirty", "clean")), "ovirt-dirty": ovirt_dirty(), "thin-delta": thin()}
ALLOCATED = {"qemu": qemu(), "nbd": nbd(), "ovirt": ovirt()}
SILENT = {
    "lister": lister(),
    "ours": ours(),
    "rbd": [{"offset": o, "length": n, "exists": k == 0} for o, n, k in CHANGED],
}


def text_of(value):
    return value if isinstance(value, str) else json.dumps(value)


def kinds(extents, *, zeroes=True):
    """Byte ranges and whether they are a part of the set, joined; zeroes apart if they can be told."""
    found = []
    for o, n, k in extents:
        k = k if zeroes or k == 2 else 0  # noqa: PLW2901
        if found and found[-1][0] + found[-1][1] == o and found[-1][2] == k:
            found[-1] = (found[-1][0], found[-1][1] + n, k)
        else:
            found.append((o, n, k))
    return found


def convert(value, output, *options, expect=0, operation="convert"):
    return within("extents", operation, "-o", output, *options, "-", stdin=text_of(value), expect=expect)


def asked(name, output):
    """The options without which a conversion is refused."""
    options = []
    if name in SILENT and output in (*MAPS, "thin-delta"):
        options = ["--as", "allocation" if output == "qemu" else "changes"]
    elif name in CHANGES and output == "qemu":
        options = ["--as", "allocation"]
    elif name in ALLOCATED and output == "thin-delta":
        options = ["--as", "changes"]
    if output == "thin-delta" and name != "thin-delta":
        options += ["--block-size", str(K)]
    if output in MAPS and name in ("ours", "rbd", "thin-delta"):
        options += ["--capacity", str(SIZE)]
    return options


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("name", [*CHANGES, *ALLOCATED, *SILENT])
def test_every_format_from_every_format(name, output):
    value = {**CHANGES, **ALLOCATED, **SILENT}[name]
    options = asked(name, output)
    for number, option in enumerate(options):
        if option.startswith("--"):
            without = options[:number] + options[number + 2 :]
            refused = convert(value, output, *without, expect=2)
            assert option in refused.stderr, "an option that is needed is named"
            assert listoracle_refuses(refused.stdout)
    done = convert(value, output, *options, expect=0)
    found = listoracle.read(done.stdout.encode())
    assert listoracle.sane(found)
    zeroes = output in ("rbd", "qemu", "ovirt") or (output == "nbd" and name in ALLOCATED)
    zeroes = zeroes and name not in ("lister", "nbd-dirty", "thin-delta")
    assert kinds(found, zeroes=zeroes) == kinds(ALL if output in MAPS else CHANGED, zeroes=zeroes)


def listoracle_refuses(text):
    """Nothing was written, or nothing that is read as a whole list."""
    try:
        return listoracle.read(text.encode()) == []
    except Exception:  # noqa: BLE001 - any
        return True


@pytest.mark.parametrize("name", [*CHANGES, *ALLOCATED])
@pytest.mark.parametrize("output", MAPS)
def test_conversions_and_back(name, output):
    value = {**CHANGES, **ALLOCATED}[name]
    words = ["--capacity", SIZE, "--as", "changes" if name in CHANGES and output != "qemu" else "allocation"]
    there = convert(value, output, *words)
    back = convert(there.stdout, "json", "--kinds", "--capacity", SIZE)
    plain = [
        (e["byte_offset"], e["size_bytes"], e["kind"]) for r in json.loads(back.stdout) for e in r["block_metadata"]
    ]
    wanted = [(o, n) for o, n, k in ALL if k < 2 or (name in ALLOCATED or output == "qemu")]
    assert [(o, n) for o, n, _ in plain] == wanted


def test_zero_never_becomes_a_hole_or_data_a_zero():
    for name in (*CHANGES, *ALLOCATED, *SILENT):
        value = {**CHANGES, **ALLOCATED, **SILENT}[name]
        for output in FORMATS:
            found = listoracle.read(convert(value, output, *asked(name, output)).stdout.encode())
            said = {at: k for o, n, k in found for at in range(o, o + n, K)}
            for o, n, k in CHANGED:
                for at in range(o, o + n, K):
                    assert said[at] == 0 or (said[at] == 1 and k == 1), (name, output)


# ---- the algebra as a command ----


@pytest.fixture
def lists(tmp_path):
    """Three files of one volume."""
    for name, items in {
        "a.json": [(0, 4 * K, 0), (8 * K, K, 0)],
        "b.json": [(2 * K, 4 * K, 0)],
        "c.json": [(3 * K, K, 0), (31 * K, K, 0)],
    }.items():
        (tmp_path / name).write_text(json.dumps(lister(items)))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("union", "a.json"), [(0, 4 * K), (8 * K, K)]),
        (("union", "a.json", "b.json", "c.json"), [(0, 6 * K), (8 * K, K), (31 * K, K)]),
        (("intersect", "a.json", "b.json"), [(2 * K, 2 * K)]),
        (("intersect", "a.json", "b.json", "c.json"), [(3 * K, K)]),
        (("subtract", "a.json", "b.json", "c.json"), [(0, 2 * K), (8 * K, K)]),
        (("complement", "a.json"), [(4 * K, 4 * K), (9 * K, 23 * K)]),
        (("align", "--granularity", "16K", "a.json"), [(0, 4 * K), (8 * K, 4 * K)]),
        (("align", "--granularity", "1M", "c.json"), [(0, SIZE)]),
        (("convert", "c.json"), [(3 * K, K), (31 * K, K)]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
@pytest.mark.parametrize("output", ["json", "jsonl", "rbd"])
def test_operations(lists, words, wanted, output):
    done = within("extents", *words, "-o", output, cwd=lists, expect=0)
    assert [(o, n) for o, n, _ in listoracle.read(done.stdout.encode())] == wanted
    if output != "rbd":
        assert f'"volume_capacity_bytes":{SIZE}' in done.stdout


def test_rows_for_people(lists):
    done = within("extents", "union", "a.json", cwd=lists, expect=0)
    assert done.stdout.splitlines()[1:] == [f"{0:>16} {4 * K:>14}  data", f"{8 * K:>16} {K:>14}  data"]
    assert done.stderr == "2 extents, 20.0 KiB\n"
    assert within("extents", "union", "-q", "a.json", cwd=lists, expect=0).stderr == ""


def test_what_is_left_out_is_told():
    assert "left out: what did not change, 112.0 KiB" in convert(CHANGES["thin-delta"], "json").stderr
    assert "left out: holes, 112.0 KiB" in convert(qemu(), "json").stderr
    assert "left out" not in convert(qemu(), "ovirt").stderr


def test_nothing_is_a_list_too(tmp_path):
    (tmp_path / "empty").write_text("[]")
    for output in FORMATS:
        options = ["--as", "changes" if output != "qemu" else "allocation", "--capacity", "0", "--block-size", "4K"]
        done = within("extents", "convert", "-o", output, *options, "empty", cwd=tmp_path, expect=0)
        if output != "jsonl":
            assert listoracle.read(done.stdout.encode()) == []
    done = within("extents", "convert", "-o", "json", "--capacity", "1M", "empty", cwd=tmp_path, expect=0)
    assert json.loads(done.stdout) == [
        {"block_metadata_type": 2, "volume_capacity_bytes": 1 << 20, "block_metadata": []}
    ]
    done = within("extents", "complement", "-o", "rbd", "--capacity", "0", "empty", cwd=tmp_path, expect=0)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("intersect", "late.json", "short.json"), "short.json says nothing of the bytes from 100 on"),
        (("intersect", "short.json", "long.json"), "short.json says nothing of the bytes from 100 on"),
        (("intersect", "late.json", "hundred.json"), "ends at 170, past the volume's size, 100"),
        (("intersect", "hundred.json", "late.json"), "ends at 170, past the volume's size, 100"),
        (("subtract", "hundred.json", "late.json"), "ends at 170, past the volume's size, 100"),
    ],
)
def test_nothing_is_dropped_because_a_list_is_of_a_smaller_volume(tmp_path, words, message):
    """A change behind the end of a map would be gone, as if the map had said that nothing is there."""
    for name, content in {
        "late": [{"offset": 150, "length": 20, "exists": "true"}],
        "short": [{"start": 0, "length": 100, "zero": False, "data": True}],
        "long": [{"start": 0, "length": 200, "zero": False, "data": True}],
        "hundred": {"block_metadata": [{"byte_offset": 0, "size_bytes": 9}], "volume_capacity_bytes": 100},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    done = within("extents", *words, cwd=tmp_path, expect=2)
    assert message in done.stderr.replace("\n", " ")
    done = within("extents", "intersect", "--partial", "long.json", "late.json", "-o", "rbd", cwd=tmp_path, expect=0)
    assert json.loads(done.stdout) == [{"offset": 150, "length": 20, "exists": "true"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("union",), "Missing argument"),
        (("intersect", "a.json"), "needs 2 lists at least"),
        (("union", "-", "-"), "one list only"),
        (("convert", "--kinds", "a.json"), "--kinds goes with"),
        (("convert", "missing.json"), "cannot open missing.json"),
        (("convert", "-o", "nbd", "a.json"), "add --as changes or --as allocation"),
        (("convert", "-o", "qemu", "--as", "changes", "a.json"), "with --as allocation"),
        (("convert", "-o", "thin-delta", "--as", "changes", "a.json"), "--block-size"),
        (("convert", "-o", "thin-delta", "--as", "changes", "--block-size", "1000", "a.json"), "whole sectors"),
        (
            ("convert", "-o", "thin-delta", "--as", "changes", "--block-size", "16K", "a.json"),
            "not made of whole blocks",
        ),
        (("convert", "--capacity", "8K", "a.json"), "past the end of the device, 8192"),
        (("align", "--granularity", "0", "a.json"), "must be positive"),
        (("align", "a.json"), "--granularity"),
        (("union", "a.json", "bad.json"), "bad.json:1:"),
    ],
)
@pytest.mark.parametrize("output", ["human", "json"])
def test_what_is_refused(lists, words, message, output):
    (lists / "bad.json").write_text('[{"offset":0,"length":5,"exists":"true"},{"offset":1,"length":5,"exists":"true"}]')
    options = [] if "-o" in words else ["-o", output]
    if words[:2] == ("convert", "--kinds"):
        options = []
    done = within("extents", *words, *options, cwd=lists, expect=2, stdin="[]")
    assert message in done.stderr.replace("\n", " ")


def test_a_list_that_was_cut_is_no_list(tmp_path):
    """The fault is found when much of the list is written already."""
    rows = [{"offset": at * 8192, "length": 4096, "exists": "true"} for at in range(150_000)]
    rows.append({"offset": 0, "length": 1, "exists": "true"})
    (tmp_path / "bad.json").write_text(json.dumps(rows))
    (tmp_path / "out").write_text("what was there")
    for output in ("json", "jsonl", "rbd", "nbd", "ovirt", "thin-delta"):
        words = ["extents", "convert", "-o", output, "--as", "changes", "--capacity", "2G", "--block-size", "4K"]
        done = within(*words, "bad.json", cwd=tmp_path, expect=2)
        assert len(done.stdout) > 1_000_000
        within("extents", "stat", "-", stdin=done.stdout, expect=2)
        within(*words, "--out", "out", "bad.json", cwd=tmp_path, expect=2)
        assert (tmp_path / "out").read_text() == "what was there"
    assert {path.name for path in tmp_path.iterdir()} == {"bad.json", "out"}


def test_a_file_is_there_when_it_is_whole(lists):
    os.umask(mask := os.umask(0))
    done = within("extents", "union", "-o", "json", "--out", "a.json", "a.json", "b.json", cwd=lists, expect=0)
    assert done.stdout == ""
    assert [(o, n) for o, n, _ in listoracle.read((lists / "a.json").read_bytes())] == [(0, 6 * K), (8 * K, K)]
    assert stat.S_IMODE((lists / "a.json").stat().st_mode) == 0o666 & ~mask
    assert sorted(path.name for path in lists.iterdir()) == ["a.json", "b.json", "c.json"]
    done = within("extents", "union", "--out", "no/such/place", "a.json", cwd=lists, expect=3)
    assert "cannot write no/such/place" in done.stderr


def test_output_that_nobody_takes(lists):
    with open("/dev/full", "wb") as full:
        done = blockdiff("extents", "union", "-o", "json", lists / "a.json", stdout=full, expect=3)
    assert "No space left" in done.stderr


def test_in_a_pipe(lists):
    text = (lists / "a.json").read_text()
    done = blockdiff("extents", "subtract", "-o", "jsonl", "-", lists / "b.json", stdin=text, expect=0)
    assert [(o, n) for o, n, _ in listoracle.read(done.stdout.encode())] == [(0, 2 * K), (8 * K, K)]


def test_the_thin_delta_that_may_be_wrong_is_told_of():
    text = thin().replace("<superblock", '<superblock version="2"')
    assert "before 1.0.6 can call blocks the same that changed" in convert(text, "json").stderr
    assert "1.0.6" not in convert(thin(), "json").stderr


def long_list(path, count):
    """Lines of differences, every second block."""
    with path.open("wb") as file:
        template = Template((b'{"offset":', b',"length":', b',"kind":"data"}\n'))
        for start in range(0, count, 50_000):
            numbers = range(start, min(count, start + 50_000))
            format_extents(Extents([(at * 8192, 4096) for at in numbers]), template, file.write)
    return path


@pytest.mark.unsanitized
@pytest.mark.parametrize(
    "words",
    [
        ("union",),
        pytest.param(("convert",), marks=pytest.mark.slow),
        pytest.param(("stat",), marks=pytest.mark.slow),
        pytest.param(("align", "--granularity", "64K"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_memory_does_not_grow_with_the_list(tmp_path, words):
    few, many = (
        peak(*COMMAND, "extents", *words, long_list(tmp_path / str(count), count)) for count in (70_000, 700_000)
    )
    assert few[0] == many[0] == 0
    assert many[1] - few[1] < 8 << 10, f"{few[1]} KiB of 70 000, {many[1]} KiB of 700 000"


# ---- stat ----


def test_stat(lists):
    (lists / "map.json").write_text(json.dumps(qemu()))
    done = within("extents", "stat", "-o", "json", "a.json", "map.json", cwd=lists, expect=0)
    first, second = obeys(json.loads(done.stdout), "extentstat")["lists"]
    assert (first["format"], first["context"], first["capacity"], first["share"]) == ("lister", None, SIZE, 5 / 32)
    assert (first["extents"], first["bytes"], first["smallest"], first["largest"]) == (2, 5 * K, K, 4 * K)
    assert first["lengths"] == [
        {"from": K, "to": 2 * K - 1, "extents": 1},
        {"from": 4 * K, "to": 8 * K - 1, "extents": 1},
    ]
    assert (second["context"], second["capacity"], second["granularity"]) == ("allocation", SIZE, K)
    assert second["kinds"] == [
        {"kind": "data", "extents": 2, "bytes": 3 * K},
        {"kind": "zero", "extents": 1, "bytes": K},
        {"kind": "hole", "extents": 3, "bytes": 28 * K},
    ]
    text = within("extents", "stat", "a.json", "map.json", cwd=lists, expect=0).stdout
    assert "2 extents, 20,480 bytes, 20.0 KiB (15.62% of 128.0 KiB)" in text
    assert "map.json: qemu, a list of what is allocated" in text


def test_stat_of_little(tmp_path):
    (tmp_path / "empty").write_text("[]")
    (tmp_path / "gap").write_text(json.dumps(qemu([(K, K, 0)])))
    (tmp_path / "clean").write_text(json.dumps(CHANGES["nbd-dirty"]))
    done = within("extents", "stat", "-o", "json", "empty", "gap", "clean", cwd=tmp_path, expect=0)
    empty, gap, clean = obeys(json.loads(done.stdout), "extentstat")["lists"]
    assert (empty["format"], empty["extents"], empty["capacity"], empty["granularity"]) == ("empty", 0, None, 0)
    assert (gap["gap"], gap["capacity"]) == (0, None)
    assert clean["kinds"][-1] == {"kind": "unchanged", "extents": 3, "bytes": 28 * K}
    assert "says nothing of the bytes from 0 on" in within("extents", "stat", "gap", cwd=tmp_path, expect=0).stdout


# ---- the tools themselves ----


def test_the_map_of_qemu_img(tmp_path):
    image = tmp_path / "disk.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "100M")
    run("qemu-io", "-f", "qcow2", image, stdin="write 1M 128k\nwrite -z 8M 1M\nwrite 99M 1M\nquit\n")
    theirs = run("qemu-img", "map", "--output", "json", image)
    wanted = kinds(listoracle.read(theirs.encode()))
    for output in MAPS:
        there = convert(theirs, output).stdout
        assert kinds(listoracle.read(there.encode())) == wanted
        assert kinds(listoracle.read(convert(there, "qemu").stdout.encode())) == wanted
    (record,) = json.loads(convert(theirs, "json", "--capacity", "100M").stdout)
    assert [(e["byte_offset"], e["size_bytes"]) for e in record["block_metadata"]] == [
        (o, n) for o, n, k in listoracle.read(theirs.encode()) if k < 2
    ]


def test_the_bitmap_that_nbdinfo_shows(nbd, tmp_path):
    image = tmp_path / "disk.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "10M")
    run("qemu-img", "bitmap", "--add", "-g", "65536", image, "b")
    run("qemu-io", "-f", "qcow2", image, stdin="write 0 64k\nwrite 1M 128k\nwrite 9M 1M\nquit\n")
    url = nbd.qemu_nbd(image, "-B", "b", image_format="qcow2").uri()
    theirs = run("nbdinfo", "--map=qemu:dirty-bitmap:b", "--json", url)
    shown = json.loads(theirs)
    dirty, clean = ([(e["offset"], e["length"]) for e in shown if e["type"] == type_] for type_ in (1, 0))
    done = within("extents", "complement", "-o", "rbd", "-", stdin=theirs, expect=0)
    assert [(e["offset"], e["length"]) for e in json.loads(done.stdout)] == clean
    assert [(e["start"], e["length"]) for e in json.loads(convert(theirs, "ovirt").stdout) if e["dirty"]] == dirty
    assert kinds(listoracle.read(convert(theirs, "nbd").stdout.encode())) == kinds(listoracle.read(theirs.encode()))
    allocated = run("nbdinfo", "--map", "--json", url)
    assert kinds(listoracle.read(convert(allocated, "nbd").stdout.encode())) == kinds(
        listoracle.read(allocated.encode())
    )


@pytest.mark.slow
def test_the_list_of_rbd(ceph, tmp_path):
    """What rbd says of an image is what the lists made of it say, and they copy what changed."""
    spec = ceph.image("a", 32 << 20, b"old" * 1000)
    ceph.snapshot(spec, "one")
    for at in (0, 9 << 20, (20 << 20) + 4096):
        ceph.write(spec, at, b"new" * 5000)
    ceph.snapshot(spec, "two")
    text = ceph.rbd("diff", "--from-snap", "one", "--format", "json", f"{spec}@two")
    text = text if isinstance(text, str) else text.decode()
    found = convert(text, "json", "--capacity", "32M").stdout
    (record,) = json.loads(found)
    covered = [(e["byte_offset"], e["size_bytes"]) for e in record["block_metadata"]]
    assert covered == [(o, n) for o, n, _ in sorted((e["offset"], e["length"], 0) for e in json.loads(text))]
    again = convert(found, "rbd").stdout
    assert [(e["offset"], e["length"]) for e in json.loads(again)] == covered
    assert [(o, n) for o, n, _ in rbd_diff(ceph, f"{spec}@two", "one")] == [
        (o, n) for o, n, _ in kinds([(o, n, 0) for o, n in covered])
    ]
    (tmp_path / "union.json").write_text(within("extents", "union", "-o", "jsonl", "-", stdin=found, expect=0).stdout)
    blockdiff("copy", "-q", ceph.url(f"{spec}@one"), tmp_path / "copy.img", expect=0)
    blockdiff(
        "copy", "-q", "--extents", tmp_path / "union.json", ceph.url(f"{spec}@two"), tmp_path / "copy.img", expect=0
    )
    blockdiff("verify", "-q", ceph.url(f"{spec}@two"), tmp_path / "copy.img", expect=0)
