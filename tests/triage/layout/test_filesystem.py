"""File systems, recognised where real programs have made them."""

import os
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.triage.layout.filesystem import recognise

MIB = 1 << 20
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
FUZZ = int(os.environ.get("BLOCKDIFF_TRIAGE_FUZZ", "1000"))
UUID = "01234567-89ab-cdef-0123-456789abcdef"


def make(path, size, program, *words):
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"needs {program}")
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run([found, *words, path], check=True, capture_output=True)
    return path


def reading(path, start=0):
    def read(offset, length):
        with path.open("rb") as file:
            file.seek(offset - start)
            return file.read(length)

    return read


MADE = [
    pytest.param("ext4", 32 * MIB, ["mke2fs", "-q", "-t", "ext4", "-L", "data", "-U", UUID], 1024, id="ext4"),
    pytest.param(
        "ext4", 32 * MIB, ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "data", "-U", UUID], 4096, id="4k"
    ),
    pytest.param("ext3", 32 * MIB, ["mke2fs", "-q", "-t", "ext3", "-L", "data", "-U", UUID], 1024, id="ext3"),
    pytest.param("ext2", 32 * MIB, ["mke2fs", "-q", "-t", "ext2", "-L", "data", "-U", UUID], 1024, id="ext2"),
    pytest.param("xfs", 300 * MIB, ["mkfs.xfs", "-q", "-L", "data", "-m", f"uuid={UUID}"], 4096, id="xfs"),
    pytest.param("btrfs", 120 * MIB, ["mkfs.btrfs", "-q", "-L", "data", "-U", UUID], 4096, id="btrfs"),
]


@pytest.mark.parametrize(("kind", "size", "command", "block"), MADE)
def test_kind_size_block_label_and_id(tmp_path, kind, size, command, block):
    path = make(tmp_path / "image", size, *command)
    found = recognise(reading(path, MIB), MIB, size)
    assert found[:6] == (kind, MIB, size, block, "data", UUID)


@pytest.mark.parametrize("data", [b"", bytes(100), bytes(200_000), random.Random(1).randbytes(200_000)])
def test_nothing_is_seen_where_nothing_is(data):
    assert recognise(lambda offset, length: data[offset : offset + length], 0, len(data)) is None


def test_others_are_named():
    luks = b"LUKS\xba\xbe\0\x02" + bytes(8000)
    assert recognise(lambda offset, length: luks[offset : offset + length], 0, len(luks)).kind == "LUKS"


@given(st.binary(max_size=300), st.sampled_from([b"XFSB", b"\x53\xef", b"_BHRfS_M"]), st.integers(0, 70_000))
def test_any_bytes(noise, magic, at):
    data = bytearray(80_000)
    data[at : at + len(noise)] = noise
    place = {b"XFSB": 0, b"\x53\xef": 1080, b"_BHRfS_M": 65600}[magic]
    data[place : place + len(magic)] = magic
    found = recognise(lambda offset, length: bytes(data[offset : offset + length]), 0, len(data))
    assert found is None or (found.size > 0 and (found.block == 0 or 512 <= found.block <= 65536))


def test_mutated_superblocks_never_fail(tmp_path):
    """See docs/triage.md for the long run of this."""
    rng = random.Random(int(os.environ.get("BLOCKDIFF_TRIAGE_SEED", "1")))
    seeds = []
    for kind, size, command, _ in [case.values for case in MADE if case.id in ("ext4", "xfs", "btrfs")]:
        seeds.append((kind, reading(make(tmp_path / kind, size, *command))(0, 128 << 10), size))
    spots = {"ext4": (1024, 2048), "xfs": (0, 512), "btrfs": (65536, 65536 + 1200)}
    for number in range(FUZZ):
        kind, data, size = seeds[number % 3]
        changed = {rng.randrange(*spots[kind]): rng.randrange(256) for _ in range(rng.randrange(1, 12))}

        def read(offset, length, data=data, changed=changed):
            piece = bytearray(data[offset : offset + length])
            for at, value in changed.items():
                if offset <= at < offset + len(piece):
                    piece[at - offset] = value
            return bytes(piece)

        found = recognise(read, 0, size)
        assert found is None or (found.size > 0 and (found.block == 0 or 512 <= found.block <= 65536))
