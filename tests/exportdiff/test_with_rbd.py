"""Against the real `rbd`: what it writes we read, what we write it reads, and both do the same to images."""

import json
import random
import subprocess

import pytest

import blockdiff as api
from tests import oracle
from tests.fixtures.cli import COMMAND, blockdiff, found
from tests.fixtures.exportdiff import applied, parse
from tests.fixtures.rbd import scribble
from tests.fixtures.schemas import obeys

pytestmark = pytest.mark.slow

MIB = 1 << 20
SIZES = [6 * MIB, 6 * MIB, 4 * MIB + 512 * 7, 9 * MIB]  # after each snapshot: written, written, cut, grown


@pytest.fixture
def history(ceph):
    """An image with four snapshots, between which it was written, cut and grown; its spec, and the bytes of each."""
    spec = ceph.image("i", SIZES[0], random.Random(0).randbytes(MIB), order=20)
    for number, size in enumerate(SIZES):
        ceph.resize(spec, size)
        scribble(ceph, spec, size, number)
        ceph.snapshot(spec, f"s{number}")
    return spec, [ceph.content(f"{spec}@s{number}") for number in range(len(SIZES))]


def exported(ceph, spec, since=None):
    """What rbd export-diff writes."""
    return ceph.run("rbd", "export-diff", *(["--from-snap", since] if since else []), spec, "-").stdout


def run(*arguments, stdin=None, env=None, expect=0):
    done = subprocess.run([*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=120)
    assert done.returncode == expect, done.stderr
    return done.stdout


@pytest.fixture
def diffs(ceph, history, tmp_path):
    """Files of rbd export-diff: the first snapshot whole, and each step to the next."""
    spec, _ = history
    for number in range(len(SIZES)):
        stream = exported(ceph, f"{spec}@s{number}", f"s{number - 1}" if number else None)
        (tmp_path / f"d{number}").write_bytes(stream)
    return [tmp_path / f"d{number}" for number in range(len(SIZES))]


# ---- rbd writes, we read ----


def test_applying_what_rbd_exported(history, diffs, tmp_path):
    _, contents = history
    for number, name in enumerate(diffs):
        api.apply([name], tmp_path / "step", verify=True)
        assert (tmp_path / "step").read_bytes() == contents[number]
    api.apply(diffs, tmp_path / "at-once")
    assert (tmp_path / "at-once").read_bytes() == contents[-1]


def test_a_whole_export_with_all_its_snapshots(ceph, history, tmp_path):
    """Version 2, with a protected snapshot: its record says 8 bytes and has one."""
    spec, contents = history
    ceph.on(spec, ("protect_snap", "s1"), ("metadata_set", "key", "value"))
    try:
        scribble(ceph, spec, SIZES[-1], 9)
        stream = ceph.run("rbd", "export", "--export-format", "2", spec, "-").stdout
    finally:
        ceph.on(spec, ("unprotect_snap", "s1"))
    head = ceph.content(spec)
    assert head != contents[-1]
    report = run("apply", "-v", "-", tmp_path / "image", stdin=stream).decode()
    assert (tmp_path / "image").read_bytes() == head
    assert "nothing -> s0" in report
    assert "s3 -> head" in report
    (tmp_path / "v2").write_bytes(stream)
    blockdiff("verify", tmp_path / "v2", ceph.url(spec), expect=0)
    # a diff that follows begins with the last snapshot: what the export has of the head gives way
    ceph.snapshot(spec, "s4")
    (tmp_path / "d4").write_bytes(exported(ceph, f"{spec}@s4", "s3"))
    blockdiff("verify", tmp_path / "v2", tmp_path / "d4", ceph.url(spec, "s4"), expect=0)


def test_joining_as_rbd_joins(ceph, history, diffs, tmp_path):
    _, contents = history
    api.merge(diffs[1:3], tmp_path / "ours")
    ceph.run("rbd", "merge-diff", diffs[1], diffs[2], tmp_path / "theirs")
    for name in ("ours", "theirs"):
        assert applied(contents[0], parse((tmp_path / name).read_bytes())) == contents[2]
    api.merge(diffs, tmp_path / "all")
    assert applied(b"", parse((tmp_path / "all").read_bytes())) == contents[-1]


def test_a_striped_image(ceph, tmp_path):
    spec = ceph.image("striped", 4 * MIB, order=20, stripe_unit=65536, stripe_count=4)
    for number in range(3):
        scribble(ceph, spec, 4 * MIB, number)
        ceph.snapshot(spec, f"s{number}")
        (tmp_path / f"d{number}").write_bytes(exported(ceph, f"{spec}@s{number}", f"s{number - 1}" if number else None))
    api.apply([tmp_path / f"d{number}" for number in range(3)], tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == ceph.content(spec)


def test_an_empty_image(ceph, tmp_path):
    spec = ceph.image("empty", 0)
    ceph.snapshot(spec, "s")
    run("apply", "-", tmp_path / "image", stdin=exported(ceph, f"{spec}@s"))
    assert (tmp_path / "image").read_bytes() == b""


# ---- we write, rbd reads ----


def test_rbd_imports_what_diff_writes(ceph, history):
    """`blockdiff diff -o export-diff | rbd import-diff`, snapshot by snapshot, into another image."""
    spec, contents = history
    copy = ceph.image("copy", SIZES[0])
    full = run("map", "-o", "export-diff", ceph.url(spec, "s0"))
    ceph.run("rbd", "import-diff", "-", copy, stdin=full)
    for number in range(1, len(SIZES)):
        stream = run("diff", "-o", "export-diff", ceph.url(spec, f"s{number - 1}"), ceph.url(spec, f"s{number}"))
        assert parse(stream)[2:] == (f"s{number - 1}", f"s{number}")
        ceph.run("rbd", "import-diff", "-", copy, stdin=stream)
    for number, content in enumerate(contents):
        assert ceph.content(f"{copy}@s{number}") == content


def test_rbd_imports_the_changes_of_files(ceph, history, tmp_path):
    _spec, contents = history
    copy = ceph.image("copy", len(contents[0]), contents[0])
    ceph.snapshot(copy, "before")
    for name, content in (("old", contents[0]), ("new", contents[2])):
        (tmp_path / name).write_bytes(content)
    names = ["--from-name", "before", "--to-name", "after"]
    stream = run("diff", "-o", "export-diff", *names, tmp_path / "old", tmp_path / "new")
    ceph.run("rbd", "import-diff", "-", copy, stdin=stream)
    assert ceph.content(f"{copy}@after") == contents[2]


def test_rbd_imports_what_merge_writes(ceph, history, diffs, tmp_path):
    _, contents = history
    copy = ceph.image("copy", SIZES[0])
    api.merge(diffs, tmp_path / "all")
    ceph.run("rbd", "import-diff", tmp_path / "all", copy)
    assert ceph.content(f"{copy}@s3") == contents[-1]


def test_a_stream_that_broke_is_not_imported_as_whole(ceph, history):
    """Without its end rbd makes no snapshot of it."""
    spec, _ = history
    copy = ceph.image("copy", SIZES[0])
    full = run("map", "-o", "export-diff", ceph.url(spec, "s0"))
    assert ceph.run("rbd", "import-diff", "-", copy, stdin=full[:-1], check=False).returncode
    assert ceph.rbd_json("snap", "ls", copy) == []


# ---- applying to images ----


def test_applying_to_an_image_makes_its_snapshots(ceph, history, diffs):
    _, contents = history
    copy = ceph.image("copy", SIZES[0])
    blockdiff("apply", "--verify", *diffs, ceph.url(copy), expect=0, timeout=120)
    assert [snap["name"] for snap in ceph.rbd_json("snap", "ls", copy)] == ["s0", "s1", "s2", "s3"]
    for number, content in enumerate(contents):
        assert ceph.content(f"{copy}@s{number}") == content


def test_snapshots_guard_the_image(ceph, history, diffs):
    _, contents = history
    copy = ceph.image("copy", SIZES[0])
    assert "no snapshot 's0'" in blockdiff("apply", diffs[1], ceph.url(copy), expect=2, timeout=120).stderr
    blockdiff("apply", diffs[0], ceph.url(copy), expect=0, timeout=120)
    done = blockdiff("apply", *diffs, ceph.url(copy), expect=2, timeout=120)
    assert "has a snapshot 's0' already: this diff was applied" in done.stderr
    blockdiff("apply", *diffs[1:], ceph.url(copy), expect=0, timeout=120)
    assert ceph.content(f"{copy}@s3") == contents[3]


def test_a_pipe_from_rbd_to_an_image(ceph, ceph_b, history):
    """From one cluster to another."""
    spec, contents = history
    copy = ceph_b.image("copy", SIZES[0])
    for number in range(len(SIZES)):
        stream = exported(ceph, f"{spec}@s{number}", f"s{number - 1}" if number else None)
        run("apply", "-", ceph_b.url(copy), stdin=stream)
    assert ceph_b.content(f"{copy}@s3") == contents[3]


def test_an_image_that_is_not_at_the_base_is_told(ceph, history, diffs):
    """rbd import-diff does not look, and the snapshot that it makes is silently wrong."""
    copy = ceph.image("copy", SIZES[0])
    done = blockdiff("apply", diffs[0], ceph.url(copy), expect=0, timeout=120)
    assert "warning" not in done.stdout
    with api.open_device(ceph.url(copy), writable=True) as device:
        device.pwrite(b"x" * 5000, MIB)
        device.flush()
    done = blockdiff("apply", diffs[1], ceph.url(copy), expect=0, timeout=120)
    assert "was written to since its snapshot 's0'" in done.stdout
    done = blockdiff("apply", diffs[2], ceph.url(copy), expect=0, timeout=120)
    assert "warning" not in done.stdout


# ---- verifying without restoring ----


def test_a_chain_of_files_against_a_snapshot(ceph, history, diffs):
    spec, _ = history
    for number in range(len(SIZES)):
        blockdiff("verify", *diffs[: number + 1], ceph.url(spec, f"s{number}"), expect=0, timeout=120)
    done = blockdiff("verify", *diffs[:3], ceph.url(spec, "s1"), expect=1, timeout=120)
    assert "different" in done.stdout


def test_a_chain_is_verified_by_checksums(ceph, history, diffs):
    """The cluster sends digests, not data; what differs is read and named to the block."""
    spec, contents = history
    command = ["verify", "-o", "json", "--method", "osd-checksum", *diffs, ceph.url(spec, "s3")]
    value = obeys(json.loads(blockdiff(*command, expect=0, timeout=120).stdout), "report")
    assert value["checksummed_bytes"] > 0
    assert value["target"]["bytes_by_path"].get("buffered", 0) < 1 << 20
    assert value["source"]["bytes_by_path"]["buffered"] > 0
    with open(diffs[3], "r+b") as file:
        file.seek(-4000, 2)
        byte = file.read(1)
        file.seek(-4000, 2)
        file.write(bytes([byte[0] ^ 1]))
    changed = b""
    for name in diffs:
        changed = applied(changed, parse(name.read_bytes()))
    value = json.loads(blockdiff(*command, expect=1, timeout=120).stdout)
    assert found(value) == oracle.differences(changed, contents[3])
    value = json.loads(blockdiff(*command, "--method", "content", expect=1, timeout=120).stdout)
    assert found(value) == oracle.differences(changed, contents[3])


@pytest.mark.parametrize("seed", range(3))
def test_all_methods_find_the_same(ceph, history, diffs, seed):
    """Random damage to the image: both methods say the same as a naive comparison."""
    spec, contents = history
    scribble(ceph, spec, SIZES[-1], 100 + seed, count=4, longest=20_000)
    truth = oracle.differences(contents[3], ceph.content(spec))
    for method in ("content", "osd-checksum"):
        command = ["verify", "-o", "json", "--method", method, *diffs, ceph.url(spec)]
        assert found(json.loads(blockdiff(*command, expect=1, timeout=120).stdout)) == truth


def test_an_exported_image_and_a_chain(ceph, history, diffs, tmp_path):
    spec, _contents = history
    ceph.run("rbd", "export", f"{spec}@s0", tmp_path / "s0.img")
    blockdiff("verify", tmp_path / "s0.img", *diffs[1:], ceph.url(spec, "s3"), expect=0, timeout=120)
    # and over a snapshot on the cluster, which must be the right one
    blockdiff("verify", ceph.url(spec, "s0"), *diffs[1:], ceph.url(spec, "s3"), expect=0, timeout=120)
    done = blockdiff("verify", ceph.url(spec, "s1"), *diffs[1:], ceph.url(spec, "s3"), expect=2, timeout=120)
    assert "begins with snapshot 's0'" in done.stderr


def test_one_flipped_bit_in_a_file_is_found(ceph, history, diffs):
    spec, _ = history
    data = bytearray(diffs[1].read_bytes())
    at = len(data) - 5000
    data[at] ^= 1
    diffs[1].write_bytes(data)
    spec_of_it = parse(bytes(data))
    done = blockdiff("verify", *diffs[:2], ceph.url(spec, "s1"), expect=1, timeout=120)
    assert "bit-flip" in done.stdout
    assert spec_of_it.size == SIZES[1]


def test_a_truncated_file_is_refused(ceph, history, diffs):
    spec, _ = history
    with open(diffs[1], "r+b") as file:
        file.truncate(diffs[1].stat().st_size // 2)
    done = blockdiff("verify", *diffs[:2], ceph.url(spec, "s1"), expect=2, timeout=120)
    assert f"{diffs[1]}: byte" in done.stderr
