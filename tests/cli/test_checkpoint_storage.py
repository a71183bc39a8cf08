"""--checkpoint on real storage: NBD servers, RBD images, loop devices, and kills at many moments."""

import contextlib
import itertools
import json
import random
import time

import pytest

from tests.fixtures.checkpoints import essence
from tests.fixtures.cli import blockdiff, start, within
from tests.fixtures.images import write_image
from tests.fixtures.storage import need_root, run

MIB = 1 << 20
SIZE = 24 * MIB


def contents(seed, size=SIZE):
    rng = random.Random(seed)
    a = bytearray(rng.randbytes(4 * MIB) * (size // (4 * MIB)))
    a[5 * MIB : 7 * MIB] = bytes(2 * MIB)
    b = bytearray(a)
    for at in range(0, size, 1_300_007):
        b[at : at + 70_000] = rng.randbytes(len(b[at : at + 70_000]))
    b[4 * MIB - 4096 : 4 * MIB + 4096] = rng.randbytes(8192)
    return bytes(a), bytes(b)


def once(*words, code):
    return json.loads(blockdiff(*words, "-o", "json", expect=code, timeout=120).stdout)


def killed_again_and_again(words, ck, *, seed, most=3, rate="24M"):
    """Kills the command, each time some moments after it came further, then lets it end; its report, and the kills."""
    rng, last, kills = random.Random(seed), -1, 0
    words = [*words, "--checkpoint", ck, "-o", "json"]
    while kills < most:
        process = start(*words, "--checkpoint-every", "0", "--rate", rate)
        while process.poll() is None and came_to(ck) <= last:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        if process.poll() is not None:
            return json.loads(process.communicate()[0]), kills
        process.kill()
        process.communicate()
        last, kills = came_to(ck), kills + 1
    return json.loads(blockdiff(*words, timeout=120).stdout), kills


def came_to(ck):
    """Where a checkpoint is, as a number that grows from stage to stage; -1 where there is none."""
    try:
        state = json.loads(ck.read_bytes().splitlines()[1])
    except (OSError, IndexError):
        return -1
    return state["reached"] + (1 << 40 if state["stage"] == "verify" else 0)


def unended(ck):
    """As a run leaves it that is killed when all was read, before it says so."""
    from msgspec.structs import replace

    from blockdiff.engine.checkpoint.form import decode, encode

    ck.write_bytes(encode(replace(decode(ck.read_bytes(), "ck"), ended=False)))


def settled_in_order(value):
    """No part of the volume was settled by two runs: what one did, no other did again."""
    parts = value["checkpoint"]["parts"]
    for one, other in itertools.pairwise(parts):
        if one["stage"] == other["stage"]:
            assert other["offset"] == one["offset"] + one["length"]


def warned(value, *urls):
    """The warnings that name devices of which nobody can tell."""
    found = [text for text in value["warnings"] if "cannot be told" in text]
    assert len(found) == len(urls), value["warnings"]
    assert all(any(text.startswith(url) for text in found) for url in urls)


@pytest.mark.slow
def test_files_killed_at_many_moments(tmp_path):
    a, b = contents(1)
    pair = write_image(tmp_path / "a", a, [(5 * MIB, 7 * MIB)]), write_image(tmp_path / "b", b)
    whole = once("verify", *pair, code=1)
    value, kills = killed_again_and_again(["verify", *pair], tmp_path / "ck", seed=1)
    assert essence(value) == essence(whole)
    assert kills > 1
    settled_in_order(value)


@pytest.mark.slow
def test_a_copy_killed_at_many_moments(tmp_path):
    a, b = contents(2)
    source, target = write_image(tmp_path / "a", a, [(5 * MIB, 7 * MIB)]), write_image(tmp_path / "b", b)
    value, kills = killed_again_and_again(["copy", "--changed", "--verify", source, target], tmp_path / "ck", seed=2)
    assert kills > 1
    assert value["verified"] is True
    assert target.read_bytes() == a
    settled_in_order(value)


@pytest.mark.slow
def test_nbd(tmp_path, nbd):
    a, b = contents(3)
    source, target = write_image(tmp_path / "a", a), write_image(tmp_path / "b", b)
    url = nbd.qemu_nbd(target).uri()
    whole = once("verify", source, url, code=1)
    value, kills = killed_again_and_again(["verify", source, url], tmp_path / "ck", seed=3)
    assert essence(value) == essence(whole)
    assert kills > 0
    settled_in_order(value)
    warned(value, "nbd+unix:")
    assert value["checkpoint"]["unchanged_by"] == {"source": "size, mtime and ctime", "target": "nothing"}
    other = nbd.qemu_nbd(target).uri()
    within("verify", source, url, "--checkpoint", tmp_path / "kept", "--keep-checkpoint", expect=1)
    done = within("verify", source, other, "--checkpoint", tmp_path / "kept", expect=2)
    assert "is the checkpoint of another target" in done.stderr


@pytest.mark.slow
def test_copy_to_nbd(tmp_path, nbd):
    a, b = contents(4)
    source, target = write_image(tmp_path / "a", a), write_image(tmp_path / "b", b)
    url = nbd.qemu_nbd(target, read_only=False).uri()
    value, _ = killed_again_and_again(["copy", "--verify", source, url], tmp_path / "ck", seed=4)
    assert value["verified"] is True
    assert target.read_bytes() == a


@pytest.mark.slow
@pytest.mark.parametrize("method", ["content", "osd-checksum"])
def test_rbd(tmp_path, ceph, method):
    a, b = contents(5)
    one, other = ceph.image("a", SIZE, a), ceph.image("b", SIZE, b)
    snapshot = ceph.snapshot(one, "s")
    words = ["verify", "--method", method, ceph.url(snapshot), ceph.url(other)]
    whole = once(*words, code=1)
    value, kills = killed_again_and_again(words, tmp_path / "ck", seed=5)
    facts = ("checksum_objects", "checksum_operations", "checksummed_bytes", "fallback_bytes", "fallback_reasons")
    for report in (value, whole):
        for name in facts:
            report.pop(name, None)
    assert essence(value) == essence(whole)
    assert kills > 0
    settled_in_order(value)
    warned(value, ceph.url(other).partition("?")[0])
    assert value["checkpoint"]["unchanged_by"] == {"source": "being a snapshot", "target": "nothing"}


@pytest.mark.slow
def test_a_snapshot_of_the_same_name_is_another(tmp_path, ceph):
    data = contents(6, 8 * MIB)[0]
    one, other = ceph.image("a", 8 * MIB, data), write_image(tmp_path / "b", data)
    snapshot = ceph.snapshot(one, "s")
    words = ["verify", ceph.url(snapshot), other, "--checkpoint", tmp_path / "ck"]
    blockdiff(*words, "--keep-checkpoint", expect=0)
    ceph.remove_snapshot(snapshot)
    ceph.on(one, ("write", b"x" * 4096, 0))
    ceph.snapshot(one, "s")
    done = blockdiff(*words, expect=2)
    assert "is the checkpoint of another source" in done.stderr


def test_block_devices_by_their_count_of_writes(tmp_path, make_loop):
    data = contents(7, 8 * MIB)[0]
    loop = make_loop(8 * MIB)
    loop.path.write_bytes(data)
    image = write_image(tmp_path / "image", data)
    words = ["verify", image, loop.path, "--checkpoint", tmp_path / "ck", "--keep-checkpoint"]
    within(*words, expect=0)
    assert "is not known for sure" in within(*words, expect=2).stderr
    unended(tmp_path / "ck")
    assert "as they were read in 2 runs since" in within(*words, expect=0).stdout
    unended(tmp_path / "ck")
    value = json.loads(within(*words, "-o", "json", expect=0).stdout)
    assert value["checkpoint"]["parts"][2]["bytes_read"] == 0
    assert value["checkpoint"]["unchanged_by"]["target"] == "the kernel's count of writes to it"
    assert any("is told by the kernel's count of writes to it only" in text for text in value["warnings"])
    with open(loop.path, "r+b", buffering=0) as file:  # it waits in the page cache, and is no write of the device yet
        file.seek(MIB)
        file.write(b"changed!" * 64)
    done = within(*words, expect=2)
    assert "was written to since" in done.stderr
    assert "count of writes" in done.stderr


def test_who_writes_to_the_file_of_a_loop_device_is_seen(tmp_path, make_loop):
    data = contents(7, 8 * MIB)[0]
    loop = make_loop(8 * MIB)
    loop.path.write_bytes(data)
    words = ["verify", write_image(tmp_path / "image", data), loop.path, "--checkpoint", tmp_path / "ck"]
    within(*words, "--keep-checkpoint", expect=0)
    unended(tmp_path / "ck")
    with open(loop.backing, "r+b") as file:
        file.write(b"changed!")
    done = within(*words, expect=2)
    assert "was written to since" in done.stderr
    assert "mtime of its file" in done.stderr


def test_a_loop_device_that_is_another_one(tmp_path, make_loop):
    data = contents(8, 8 * MIB)[0]
    loop = make_loop(8 * MIB)
    loop.path.write_bytes(data)
    image = write_image(tmp_path / "image", data)
    words = ["verify", image, loop.path, "--checkpoint", tmp_path / "ck", "--keep-checkpoint"]
    within(*words, expect=0)
    run("losetup", "-d", loop.path)
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            run("losetup", loop.path, loop.backing)
            break
        time.sleep(0.05)
    assert "is the checkpoint of another target" in within(*words, expect=2).stderr


@pytest.mark.root
@pytest.mark.slow
def test_a_disk_that_gets_full(tmp_path):
    """What cannot be saved is told, and the run ends well all the same."""
    need_root("mount")
    a, b = contents(9)
    pair = write_image(tmp_path / "a", a), write_image(tmp_path / "b", b)
    small = tmp_path / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=16k", "none", small)
    try:
        words = ["verify", *pair, "--checkpoint", small / "ck", "--checkpoint-every", "0", "-o", "json"]
        process = start(*words, "--rate", "40M")
        while not (small / "ck").exists():
            assert process.poll() is None
            time.sleep(0.002)
        with contextlib.suppress(OSError):
            (small / "filler").write_bytes(bytes(1 << 20))
        out, _ = process.communicate(timeout=60)
        value = json.loads(out)
        assert value["complete"]
        assert value["difference_count"] == once("verify", *pair, code=1)["difference_count"]
        assert any("could not be saved" in text for text in value["warnings"])
    finally:
        run("umount", small)
