"""`verify --triage` as users run it."""

import json
import random
import re

import pytest

from tests.fixtures.cli import blockdiff, within
from tests.fixtures.filesystems import make_filesystem, run, tree, where
from tests.fixtures.nbd import run as run_nbd
from tests.fixtures.schemas import obeys

BLOCK = 4096
RNG = random.Random(17)
OLD = RNG.randbytes(64 * BLOCK + 777)
NEW = bytearray(OLD)
for _number in (2, 5, 9):
    NEW[_number * BLOCK : (_number + 1) * BLOCK] = RNG.randbytes(BLOCK)
TARGET = bytearray(NEW)
TARGET[2 * BLOCK : 3 * BLOCK] = OLD[2 * BLOCK : 3 * BLOCK]
TARGET[5 * BLOCK + 1024 : 6 * BLOCK] = OLD[5 * BLOCK + 1024 : 6 * BLOCK]
TARGET[20 * BLOCK + 7] ^= 0x10
TARGET[30 * BLOCK : 31 * BLOCK] = NEW[31 * BLOCK + 512 : 32 * BLOCK + 512]
TARGET[40 * BLOCK : 42 * BLOCK] = bytes(2 * BLOCK)
TARGET[-5:] = b"noise"
KNOWN = [
    (2 * BLOCK, BLOCK, "stale"),
    (5 * BLOCK, BLOCK, "torn"),
    (20 * BLOCK, BLOCK, "bit-flip"),
    (30 * BLOCK, BLOCK, "shifted"),
    (40 * BLOCK, 2 * BLOCK, "dst-zero"),
    (64 * BLOCK, 777, "unknown"),
]


@pytest.fixture
def three(tmp_path):
    for name, data in (("old", OLD), ("new", NEW), ("target", TARGET)):
        (tmp_path / name).write_bytes(data)
    return tmp_path / "new", tmp_path / "target", tmp_path / "old"


def triage(*words, expect=1):
    report = obeys(json.loads(within("verify", *words, "--triage", "-o", "json", expect=expect).stdout), "report")
    return report, report["triage"]


def said(value):
    return [(one["offset"], one["length"], one["finding"]) for one in value["findings"]]


def test_each_class_with_its_evidence(three):
    new, target, old = three
    report, value = triage(new, target, "--history", old)
    assert said(value) == KNOWN
    stale, torn, flip, shifted, *_ = value["findings"]
    assert stale["history"] == [str(old)]
    assert stale["whole_block"] is True
    assert (torn["arrived_offset"], torn["arrived_length"], torn["rest"]) == (5 * BLOCK, 1024, "history")
    place = 20 * BLOCK + 7
    assert (flip["byte_offset"], flip["bit"]) == (place, 4)
    assert (flip["source_byte"], flip["target_byte"]) == (NEW[place], TARGET[place])
    assert (shifted["shift"], shifted["source_offset"]) == (BLOCK + 512, 31 * BLOCK + 512)
    assert value["summary"]["dst-zero"] == {"findings": 1, "bytes": 2 * BLOCK}
    assert value["ranges"] == report["difference_count"]


def test_without_a_history_nothing_is_stale(three):
    _, value = triage(*three[:2])
    assert [one[2] for one in said(value)] == ["unknown", "unknown", *(one[2] for one in KNOWN[2:])]


def test_people_read_it_in_lines(three):
    new, target, old = three
    text = within("verify", new, target, "--triage", "--history", old, expect=1).stdout
    assert re.search(rf"^ +8192 +4096  stale: as in {re.escape(str(old))}$", text, re.MULTILINE)
    assert "bit-flip: bit 4 of byte 81927" in text
    assert "shifted: the source has these bytes at 127488 (+4608, +9 sectors)" in text
    assert "triage of 6 ranges" in text


def test_identical_ones_have_no_findings(three):
    _, value = triage(three[0], three[0].parent / "old", "--length", "4K", expect=0)
    assert value["findings"] == []


def test_the_limit(three):
    _, value = triage(*three[:2], "--triage-limit", 2)
    assert len(value["findings"]) == 2
    assert value["not_triaged_ranges"] == 4
    assert value["limit"] == 2


def test_a_side_is_no_history_of_itself(three):
    new, target, _ = three
    for side in (new, target):
        done = within("verify", new, target, "--triage", "--history", side, expect=2)
        assert "one and the same" in done.stderr


@pytest.mark.parametrize("algorithm", ["xxh3-128", "blake3"])
def test_a_manifest_as_history(three, algorithm):
    new, target, old = three
    small, large = old.parent / "small.manifest", old.parent / "large.manifest"
    for manifest, size in ((small, "4K"), (large, "64K")):
        within("digest", old, "-o", manifest, "--block-size", size, "--algorithm", algorithm, expect=0)
    _, value = triage(new, target, "--history", small)
    assert [one[2] for one in said(value)][:3] == ["stale", "unknown", "bit-flip"]
    assert value["findings"][0]["history"] == [str(small)]
    _, value = triage(new, target, "--history", large)
    assert said(value)[0] == (2 * BLOCK, BLOCK, "unknown")  # other blocks of these 64 KiB are new
    target.write_bytes(OLD[: 16 * BLOCK] + TARGET[16 * BLOCK : 64 * BLOCK] + OLD[64 * BLOCK :])
    _, value = triage(new, target, "--history", large, "--history", old)
    stale = [one for one in value["findings"] if one["finding"] == "stale"]
    assert [(one["offset"], one["history"]) for one in stale] == [
        (2 * BLOCK, [str(large), str(old)]),
        (5 * BLOCK, [str(large), str(old)]),
        (9 * BLOCK, [str(large), str(old)]),
    ]


def test_a_damaged_manifest_proves_nothing_and_is_told(three):
    new, target, old = three
    manifest = old.parent / "manifest"
    within("digest", old, "-o", manifest, "--block-size", "4K", expect=0)
    data = bytearray(manifest.read_bytes())
    with manifest.open("r+b") as file:
        place = data.index(digest_of(OLD[2 * BLOCK : 3 * BLOCK]))
        file.seek(place)
        file.write(bytes([data[place] ^ 1]))
    _, value = triage(new, target, "--history", manifest)
    assert value["findings"][0]["finding"] == "unknown"
    assert any(str(manifest) in note for note in value["notes"])


def digest_of(data):
    import xxhash

    return xxhash.xxh3_128_digest(data)


@pytest.mark.parametrize("words", [["--history", "old"], ["--triage-limit", "3"]])
def test_its_options_go_with_it(three, words):
    assert "goes with --triage" in within("verify", *three[:2], *words, expect=2).stderr


def test_a_missing_history_ends_it_before_anything_is_read(three):
    blockdiff("verify", *three[:2], "--triage", "--history", three[0].parent / "no", expect=3)


def test_it_looks_at_what_recheck_has_left(three):
    new, target, old = three
    report, value = triage(new, target, "--history", old, "--recheck", 0)
    assert said(value) == KNOWN
    assert report["recheck"]["verdict"] == "confirmed"


def test_partition_and_file_are_named(tmp_path):
    files = tree(tmp_path / "tree")
    image, copy = tmp_path / "image", tmp_path / "copy"
    with image.open("wb") as file:
        file.truncate(100 << 20)
    run("sfdisk", "-q", image, stdin=b"label: gpt\nsize=20M\nsize=40M,name=root\n")
    make_filesystem("ext4", image, tmp_path / "tree", start=21 << 20)
    copy.write_bytes(image.read_bytes())
    offset = where(image, files[b"/deep/small.bin"])
    with copy.open("r+b") as file:
        file.seek(offset + 100)
        file.write(b"damaged")
        file.seek(16)
        file.write(b"boot code")
    _, value = triage(image, copy)
    boot, damaged = value["findings"]
    assert "partition" not in boot
    assert damaged["partition"] == 2
    assert damaged["file_system"] == "ext4"
    assert damaged["files"] == ["/deep/small.bin"]
    assert value["layout"]["partitions"][1]["file_system"]["type"] == "ext4"
    text = within("verify", image, copy, "--triage", expect=1).stdout
    assert "unknown (partition 2 'root', ext4: /deep/small.bin)" in text


@pytest.mark.slow
def test_on_an_nbd_server_and_a_qcow2_image(three, nbd, tmp_path):
    new, target, old = three
    for path in three:
        with path.open("r+b") as file:
            file.truncate(64 * BLOCK)
    run_nbd("qemu-img", "convert", "-f", "raw", "-O", "qcow2", old, tmp_path / "old.qcow2")
    _, value = triage(nbd.qemu_nbd(new).uri(), target, "--history", tmp_path / "old.qcow2")
    assert said(value) == KNOWN[:-1]
    assert value["findings"][0]["history"] == [f"qcow2:{tmp_path}/old.qcow2"]


@pytest.mark.slow
def test_snapshots_of_an_rbd_image_as_history(ceph, tmp_path):
    spec = ceph.image("disk", 64 * BLOCK, OLD[: 64 * BLOCK])
    monday = ceph.snapshot(spec, "monday")
    ceph.write(spec, 0, bytes(NEW[: 64 * BLOCK]))
    tuesday = ceph.snapshot(spec, "tuesday")
    (tmp_path / "target").write_bytes(TARGET[: 64 * BLOCK])
    _, value = triage(ceph.url(tuesday), tmp_path / "target", "--history", ceph.url(monday))
    assert said(value) == KNOWN[:-1]
    assert value["findings"][0]["history"] == [ceph.url(monday)]
    ceph.write(spec, 0, bytes(TARGET[: 64 * BLOCK]))
    _, value = triage(ceph.url(tuesday), ceph.url(spec), "--history", ceph.url(monday))
    assert said(value) == KNOWN[:-1]
