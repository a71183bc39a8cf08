"""Partition tables, as sfdisk makes them and says that they are; damaged ones; and rubbish."""

import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.triage.layout.partition import read_table

MIB = 1 << 20
SIZE = 64 * MIB
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
FUZZ = int(os.environ.get("BLOCKDIFF_TRIAGE_FUZZ", "1000"))


def sfdisk(*words, stdin=None):
    program = shutil.which("sfdisk", path=PATH)
    if program is None:
        pytest.skip("needs sfdisk: apt-get install fdisk")
    return subprocess.run([program, *map(str, words)], input=stdin, capture_output=True, text=True, check=True).stdout


def partitioned(path, script, *, size=SIZE):
    """An image with this table, and what sfdisk says of it: number -> (start, length)."""
    with path.open("wb") as file:
        file.truncate(size)
    sfdisk("-q", "--no-reread", "--no-tell-kernel", path, stdin=script)
    table = json.loads(sfdisk("--json", path))["partitiontable"]
    sector = table.get("sectorsize", 512)
    return {
        int(part["node"].removeprefix(str(path)).removeprefix("p")): (part["start"] * sector, part["size"] * sector)
        for part in table["partitions"]
    }


def reader(data):
    return lambda offset, length: bytes(data[offset : offset + length])


def read(data, **options):
    return read_table(reader(data), len(data), **options)


def spans(table):
    return {part.number: (part.start, part.length) for part in table.partitions}


GPT = 'label: gpt\nstart=2048,size=10M,name="root é"\nsize=5M,type=S\nsize=1M,type=U\n,\n'
TABLES = [
    pytest.param("gpt", GPT, id="gpt"),
    pytest.param("gpt", "label: gpt\ntable-length: 256\n,10M\n", id="gpt-256-entries"),
    pytest.param("gpt", "label: gpt\n7: start=2048,size=1M\n3: start=8192,size=1M\n", id="gpt-odd-numbers"),
    pytest.param("mbr", "label: dos\nsize=10M,bootable\nsize=5M,type=82\n", id="mbr"),
    pytest.param("mbr", "label: dos\nsize=10M\nsize=40M,type=5\nsize=5M\nsize=6M,type=b\nsize=7M\n", id="mbr-logical"),
    pytest.param("mbr", "label: dos\nsize=40M,type=f\nsize=10M\nsize=1M\nsize=1M\nsize=1M\n", id="mbr-many-logical"),
]


@pytest.mark.parametrize(("scheme", "script"), TABLES)
def test_tables_are_read_as_sfdisk_reads_them(tmp_path, scheme, script):
    known = partitioned(tmp_path / "disk", script)
    table = read((tmp_path / "disk").read_bytes())
    assert table.scheme == scheme
    assert table.notes == ()
    extended = {n for n in known if scheme == "mbr" and n <= 4 and n not in spans(table)}
    assert spans(table) == {n: span for n, span in known.items() if n not in extended}
    assert len(extended) <= 1


def test_names_types_and_places(tmp_path):
    partitioned(tmp_path / "disk", GPT)
    table = read((tmp_path / "disk").read_bytes())
    assert [(part.name, part.kind) for part in table.partitions[:3]] == [
        ("root é", "Linux file system"),
        ("", "Linux swap"),
        ("", "EFI system"),
    ]
    assert table.at(0) is None
    assert table.at(MIB).number == 1
    assert table.at(11 * MIB - 1).number == 1
    assert table.at(11 * MIB).number == 2


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt") / "disk"
    known = partitioned(path, GPT)
    return path.read_bytes(), known


def test_a_damaged_header_is_replaced_by_the_backup(gpt):
    data, known = gpt
    damaged = bytearray(data)
    damaged[512 + 40] ^= 1
    table = read(damaged)
    assert spans(table) == known
    assert "checksum" in table.notes[0]


def test_damaged_entries_too(gpt):
    data, known = gpt
    damaged = bytearray(data)
    damaged[1024 + 32] ^= 1
    table = read(damaged)
    assert spans(table) == known
    assert "entries" in table.notes[0]


def test_a_header_that_is_gone_too(gpt):
    data, known = gpt
    table = read(bytes(4096) + data[4096:])
    assert spans(table) == known


def test_a_damaged_backup_is_told(gpt):
    data, known = gpt
    damaged = bytearray(data)
    damaged[-512 + 20] ^= 1
    table = read(damaged)
    assert spans(table) == known
    assert "backup" in table.notes[0]


def test_two_damaged_ones_are_no_table(gpt):
    data, _ = gpt
    damaged = bytearray(data)
    damaged[512 + 40] ^= 1
    damaged[-512 + 40] ^= 1
    table = read(damaged)
    assert table.partitions == ()
    assert len(table.notes) >= 2


def test_sectors_of_4096_bytes():
    data = bytearray(SIZE)
    put_gpt(data, 4096, [(256, 1023)])
    assert spans(read(data)) == {1: (MIB, 3 * MIB)}
    assert read(data).sector == 4096


def put_gpt(data, sector, ranges):
    """A GPT by hand, as the specification says; no backup."""
    entries = b"".join(
        struct.pack("<16s16sQQQ72s", b"\xaf" * 16, b"\x01" * 16, first, last, 0, b"") for first, last in ranges
    ).ljust(128 * 128, b"\0")
    fields = [b"EFI PART", 0x10000, 92, 0, 0, 1, len(data) // sector - 1, 34, 1000, b"d" * 16, 2, 128, 128]
    header = struct.pack("<8s4I4Q16sQ3I", *fields, zlib.crc32(entries))
    header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    data[sector : sector + len(header)] = header
    data[2 * sector : 2 * sector + len(entries)] = entries


@pytest.mark.parametrize(
    "sector0",
    [
        pytest.param(bytes(512), id="zeroes"),
        pytest.param(random.Random(1).randbytes(510) + b"\x55\xaa", id="a-boot-sector-of-rubbish"),
        pytest.param(bytes(510) + b"\x55\xaa", id="no-entries"),
        pytest.param(b"\xeb\x58\x90mkfs.fat" + bytes(435) + b"Non-system disk".ljust(64) + b"\x55\xaa", id="fat"),
        pytest.param(b"short", id="short"),
    ],
)
def test_what_is_no_table_is_none(sector0):
    assert read(sector0 + bytes(MIB if len(sector0) == 512 else 0)) is None


def mbr(*entries):
    """A sector with a table: (type, first, count)."""
    packed = b"".join(struct.pack("<B3xB3xII", 0, *entry) for entry in entries)
    return bytes(446) + packed.ljust(64, b"\0") + b"\x55\xaa"


def test_partitions_that_overlap_are_no_table():
    assert read(mbr((0x83, 8, 100), (0x83, 50, 100)) + bytes(MIB)) is None


def test_a_chain_of_logical_ones_that_goes_back_is_left():
    data = bytearray(MIB)
    data[:512] = mbr((5, 8, 1000))
    data[8 * 512 : 9 * 512] = mbr((0x83, 1, 10), (5, 100, 50))
    data[108 * 512 : 109 * 512] = mbr((0x83, 1, 10), (5, 0, 50))
    table = read(data)
    assert spans(table) == {5: (9 * 512, 5120), 6: (109 * 512, 5120)}
    assert "left" in table.notes[0]


def test_a_protective_one_without_a_gpt_is_told():
    table = read(mbr((0xEE, 1, 2000)) + bytes(MIB))
    assert table.partitions == ()
    assert "GPT" in table.notes[0]


def test_a_partition_is_cut_at_the_end_of_the_device():
    assert spans(read(mbr((0x83, 1, 1 << 31)) + bytes(1024))) == {1: (512, 1024)}


def sane(table, size):
    for part in table.partitions if table else ():
        assert 0 < part.start < part.end <= size
        assert part.number >= 1


def test_mutated_tables_never_fail_and_never_leave_the_device(gpt, tmp_path):
    """Also with checksums that were made right again, so that the fields behind them are tried. See docs/triage.md."""
    partitioned(tmp_path / "disk", "label: dos\nsize=1M\nsize=6M,type=5\nsize=1M\nsize=1M\n", size=8 * MIB)
    seeds = [bytes(gpt[0][: 34 * 512]), (tmp_path / "disk").read_bytes()[: 8 * MIB]]
    rng = random.Random(int(os.environ.get("BLOCKDIFF_TRIAGE_SEED", "1")))
    places = [*range(440, 512), *range(512, 604), *range(1024, 1024 + 512)]
    extended = [i for i in range(512, 8 * MIB, 512) if seeds[1][i + 510 : i + 512] == b"\x55\xaa"]
    for number in range(FUZZ):
        base = seeds[number % 2]
        known = dict[int, int]()
        spots = places if number % 2 == 0 else [*range(446, 512), *(e + i for e in extended for i in range(446, 512))]
        for _ in range(rng.randrange(1, 9)):
            known[rng.choice(spots)] = rng.choice((0, 1, 5, 15, 0x7F, 0x80, 0xEE, 0xFF, rng.randrange(256)))
        size = rng.choice((len(base), SIZE, 512, 1 << 40))
        table = read_table(overlay(base, known, fix=number % 4 == 0), size)
        sane(table, size)


def overlay(base, changes, *, fix):
    """A reader of the bytes with changes; ``fix`` makes the checksums of a GPT right again."""
    head = bytearray(base[: 34 * 512])
    for at, value in changes.items():
        if at < len(head):
            head[at] = value
    if fix and len(head) >= 34 * 512:
        count, size = struct.unpack_from("<II", head, 592)
        if count * size <= len(head) - 1024:
            struct.pack_into("<I", head, 600, zlib.crc32(head[1024 : 1024 + count * size]))
        length = struct.unpack_from("<I", head, 524)[0]
        struct.pack_into("<I", head, 528, 0)
        struct.pack_into("<I", head, 528, zlib.crc32(head[512 : 512 + min(length, 512)]))

    def get(offset, length):
        data = bytearray(head[offset : offset + length] if offset < len(head) else base[offset : offset + length])
        if len(data) < length and offset < len(head):
            data += base[offset + len(data) : offset + length]
        for at, value in changes.items():
            if at >= len(head) and offset <= at < offset + len(data):
                data[at - offset] = value
        return bytes(data)

    return get


@given(st.binary(max_size=2048), st.integers(0, 1 << 62))
def test_any_bytes(data, size):
    sane(read_table(reader(data), size), max(size, 1))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 1 << 32), st.integers(0, 1 << 32)), max_size=4))
def test_any_entries(entries):
    clipped = [(kind, min(first, (1 << 32) - 1), min(count, (1 << 32) - 1)) for kind, first, count in entries]
    sane(read(mbr(*clipped) + bytes(9000)), 9512)


def test_overlapping_tables_are_told_apart_in_every_order():
    for first, second in itertools.permutations([(0x83, 8, 8), (0x83, 16, 8)]):
        assert len(read(mbr(first, second) + bytes(MIB)).partitions) == 2
