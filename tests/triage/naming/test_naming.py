"""Files are named where the bytes of a file differ, and only there: real file systems, found by their content."""

import os
import random

import pytest

from blockdiff.engine.registry import open_device
from blockdiff.triage.area import Found
from blockdiff.triage.evidence import Evidence
from blockdiff.triage.layout.image import Layout
from blockdiff.triage.naming import tool
from blockdiff.triage.naming.run import BLOCKS_OF_ONE, Naming
from blockdiff.triage.reading import Reading
from tests.fixtures.filesystems import KINDS, MIB, ODD, copy_sparse, make_filesystem, pieces, run, tree, where

BLOCK = 4096


def owners(image, *ranges):
    """The owner of each range, and what was noted."""
    with open_device(f"file:{image}") as device:
        layout = Layout(Reading(device), "source")
        naming = Naming(layout)
        found = [Found(offset, length, Evidence("unknown"), offset) for offset, length in ranges]
        return naming.name(found), naming.notes


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """kind -> (image, files); made when they are first asked for."""
    place = tmp_path_factory.mktemp("files")
    made = {}

    def get(kind, start=0):
        if (kind, start) not in made:
            files = tree(place / f"tree-{kind}", odd=kind != "xfs")  # prototypes have no names with spaces
            image = place / f"{kind}-{start}"
            if start:
                with image.open("wb") as file:
                    file.truncate(400 * MIB)
                run("sfdisk", "-q", image, stdin=b"label: gpt\nstart=2048,size=64M\nstart=204800,name=data\n")
            made[kind, start] = make_filesystem(kind, image, place / f"tree-{kind}", start=start), files
        return made[kind, start]

    return get


@pytest.mark.parametrize("start", [0, 100 * MIB], ids=["whole", "partition"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_block_of_each_file_is_its_own(images, kind, start):
    image, files = images(kind, start)
    asked = [(path, where(image, content, at)) for path, content in files.items() for at in (0, 4096)]
    named, notes = owners(image, *[(offset, BLOCK) for _, offset in sorted(asked, key=lambda item: item[1])])
    assert notes == []
    got = {one.found.offset: one for one in named}
    for path, offset in asked:
        assert [os.fsencode(name) for name in got[offset].owner.files] == [path]
        assert got[offset].owner.use == ()
        assert got[offset].place.file_system.kind == kind
        assert (got[offset].place.partition is not None) == bool(start)
    if start:
        assert {one.place.partition.name for one in named} == {"data"}


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_and_free_space_have_no_file(images, kind):
    image, _ = images(kind)
    first = {"ext4": 0, "xfs": 0, "btrfs": 65536}[kind]
    size = image.stat().st_size
    named, notes = owners(image, (first, BLOCK), (size - 5 * MIB, BLOCK))
    assert notes == []
    assert [one.owner.files for one in named] == [(), ()]
    assert "metadata" in named[0].owner.use[0]
    assert named[1].owner.use == ("free",)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_long_range_some_blocks_are_asked_about(images, kind):
    image, files = images(kind)
    offset = where(image, files[b"/plain.bin"])
    named, _ = owners(image, (offset, 70 * BLOCK))
    assert named[0].owner.files == ("/plain.bin",)
    assert (named[0].owner.blocks, named[0].owner.of) == (BLOCKS_OF_ONE, 70)


def test_a_name_may_be_anything_and_is_shown_harmless(images):
    image, files = images("ext4")
    named, _ = owners(image, (where(image, files[b"/deep/" + ODD]), BLOCK))
    words = named[0].words([])
    assert "\n" not in words
    assert "odd\\nname" in words


def test_a_name_cannot_pass_for_an_answer_about_another_file(tmp_path):
    """A directory's name may end a line and begin one that says what another inode is called."""
    rng = random.Random(9)
    tree = tmp_path / "tree"
    deep = tree / "0"
    for inode in range(50, 90):  # its own directories take the numbers before
        deep = deep / f"d\n{inode}\t"
    deep.mkdir(parents=True)
    files = {deep / "forged": rng.randbytes(8 * BLOCK)}
    for name in "abcdefgh":  # some of them are listed behind it
        (tree / name).mkdir()
        files[tree / name / "victim"] = rng.randbytes(8 * BLOCK)
    for path, content in files.items():
        path.write_bytes(content)
    image = make_filesystem("ext4", tmp_path / "image", tree)
    at = {where(image, content): f"/{path.relative_to(tree)}" for path, content in files.items()}
    named, _ = owners(image, *((offset, BLOCK) for offset in sorted(at)))
    for one in named:
        assert one.owner.files in ((at[one.found.offset],), ()), at[one.found.offset]
    assert sum(one.owner.files != () for one in named) >= 8


def test_a_missing_program_is_told_with_its_package(images, monkeypatch):
    image, files = images("ext4")
    monkeypatch.setattr(tool, "_PATH", "/nonexistent")
    named, notes = owners(image, (where(image, files[b"/plain.bin"]), BLOCK))
    assert named[0].owner is None
    assert "debugfs is not installed (package e2fsprogs)" in notes[0]


@pytest.mark.parametrize("silent", ["", "exec >&-; "])
def test_a_program_that_takes_too_long_is_ended(images, monkeypatch, tmp_path, silent):
    image, files = images("ext4")
    fake = tmp_path / "debugfs"
    fake.write_text(f"#!/bin/sh\n{silent}exec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setattr(tool, "_PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(tool.run_tool, "__kwdefaults__", {"seconds": 0.3})
    named, notes = owners(image, (where(image, files[b"/plain.bin"]), BLOCK))
    assert named[0].owner is None
    assert "too long" in notes[0]


@pytest.mark.parametrize("script", ["exit 3", "yes", "kill -9 $$", "cat >/dev/null; echo rubbish"])
def test_a_program_that_does_something_else_is_no_harm(images, monkeypatch, tmp_path, script):
    image, files = images("ext4")
    fake = tmp_path / "debugfs"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(tool, "_PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(tool, "OUTPUT", 1 << 20)
    named, _ = owners(image, (where(image, files[b"/plain.bin"]), BLOCK))
    assert named[0].owner is None or named[0].owner.files == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_destroyed_metadata_names_nothing_false(images, kind, tmp_path):
    """The superblock is whole, all else is rubbish in places: it ends, and what is named is a real path."""
    image, files = images(kind)
    offset = where(image, files[b"/plain.bin"])
    rng = random.Random(5)
    keep = {"ext4": 4096, "xfs": 4096, "btrfs": 70_000}[kind]
    for _ in range(4):
        broken = tmp_path / "broken"
        copy_sparse(image, broken)
        blocks = [at + i for at, data in pieces(broken) for i in range(0, len(data), BLOCK) if at + i >= keep]
        with broken.open("r+b") as file:
            for at in rng.sample(blocks, min(100, len(blocks) // 3)):
                file.seek(at)
                file.write(rng.randbytes(64))
        named, _ = owners(broken, (offset, BLOCK))
        owner = named[0].owner
        assert owner is None or set(owner.files) <= {"/plain.bin", *(os.fsdecode(path) for path in files)}


@pytest.mark.slow
def test_a_device_without_a_descriptor_is_named_by_what_is_in_it(images):
    from blockdiff.testing import MemoryDevice

    image, files = images("btrfs")
    device = MemoryDevice(image.read_bytes())
    naming = Naming(Layout(Reading(device), "source"))
    offset = where(image, files[b"/plain.bin"])
    named = naming.name([Found(offset, BLOCK, Evidence("unknown"), offset)])
    assert named[0].owner.files == ("/plain.bin",)
    image, files = images("ext4")
    naming = Naming(Layout(Reading(MemoryDevice(image.read_bytes())), "source"))
    offset = where(image, files[b"/plain.bin"])
    named = naming.name([Found(offset, BLOCK, Evidence("unknown"), offset)])
    assert named[0].owner is None
    assert "neither a file nor a block device" in naming.notes[0]


def test_a_name_with_a_question_mark_is_a_name(images, tmp_path):
    image, files = images("ext4")
    odd = tmp_path / "what?offset=7"
    copy_sparse(image, odd)
    named, notes = owners(odd, (where(image, files[b"/plain.bin"]), BLOCK))
    assert named[0].owner.files == ("/plain.bin",)
    assert notes == []
