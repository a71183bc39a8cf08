"""`copy --from-snap` between two real clusters: what is sent, what is refused, and what a kill leaves behind."""

import json
import random
import signal
import time

import pytest

from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.rbd import LIMIT, MIB, scribble

pytestmark = pytest.mark.slow

SIZE = 24 * MIB + 512


@pytest.fixture
def pair(ceph, ceph_b):
    """An image with the snapshots s1 and s2 on one cluster, and the URL of a replica to be on the other."""
    spec = ceph.image("a", SIZE)
    ceph.write(spec, 0, random.Random(3).randbytes(8 * MIB))
    ceph.snapshot(spec, "s1")
    scribble(ceph, spec, SIZE, 4)
    ceph.snapshot(spec, "s2")
    return spec, ceph_b.spec("replica")


def replicate(source, target, *options, base="last", expect=0):
    return blockdiff("copy", "--from-snap", base, *options, source, target, expect=expect, timeout=LIMIT)


def replicated(source, target, *options, **named):
    return json.loads(replicate(source, target, "-o", "json", *options, **named).stdout)


def names(cluster, spec):
    return [snap["name"] for snap in cluster.rbd_json("snap", "ls", spec)]


def test_snapshot_after_snapshot(ceph, ceph_b, pair):
    spec, replica = pair
    first = replicated(ceph.url(spec, "s1"), ceph_b.url(replica), "--verify")
    assert (first["from_snapshot"], first["to_snapshot"], first["verified"]) == (None, "s1", True)
    second = replicated(ceph.url(spec, "s2"), ceph_b.url(replica), "--verify")
    assert (second["from_snapshot"], second["verified"], second["identical"]) == ("s1", True, True)
    assert 0 < second["copied_bytes"] + second["zeroed_bytes"] < SIZE
    assert names(ceph_b, replica) == ["s1", "s2"]
    for snap in ("s1", "s2"):
        assert ceph_b.content(f"{replica}@{snap}") == ceph.content(f"{spec}@{snap}")
    assert "blockdiff" not in ceph_b.rbd("image-meta", "ls", replica), "the note of an unfinished run stays"


@pytest.mark.parametrize("size", [pytest.param(8 * MIB + 1024, id="shrunk"), pytest.param(40 * MIB + 512, id="grown")])
def test_resized(ceph, ceph_b, pair, size):
    spec, replica = pair
    replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
    ceph.resize(spec, size)
    scribble(ceph, spec, size, 5)
    ceph.snapshot(spec, "s3")
    replicate(ceph.url(spec, "s3"), ceph_b.url(replica), "--verify")
    assert ceph_b.content(f"{replica}@s3") == ceph.content(f"{spec}@s3")


def test_cut_and_grown_again(ceph, ceph_b, pair):
    """What was cut off in between is zeroes now, and librbd's whole-object diff does not tell."""
    spec, replica = pair
    replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
    for number, size in enumerate((4 * MIB, SIZE), start=3):
        ceph.resize(spec, size)
        ceph.snapshot(spec, f"s{number}")
    replicate(ceph.url(spec, "s4"), ceph_b.url(replica), "--verify")
    assert ceph_b.content(f"{replica}@s4") == ceph.content(f"{spec}@s4")


def test_an_older_base_by_name(ceph, ceph_b, pair):
    spec, replica = pair
    for snap in ("s1", "s2"):
        replicate(ceph.url(spec, snap), ceph_b.url(replica))
    scribble(ceph, spec, SIZE, 6)
    ceph.snapshot(spec, "s3")
    said = replicate(ceph.url(spec, "s3"), ceph_b.url(replica), base="s1", expect=2).stderr
    assert "written to since" in said  # the replica's head is s2
    ceph_b.rbd("snap", "rollback", f"{replica}@s1", "--no-progress")
    assert replicated(ceph.url(spec, "s3"), ceph_b.url(replica), "--verify", base="s1")["from_snapshot"] == "s1"


def test_what_is_there_already_is_proved(ceph, ceph_b, pair):
    spec, replica = pair
    replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
    assert "--verify" in replicate(ceph.url(spec, "s1"), ceph_b.url(replica), expect=2).stderr
    assert replicated(ceph.url(spec, "s1"), ceph_b.url(replica), "--verify")["copied_bytes"] == 0


def test_a_base_of_other_content_is_refused(ceph, ceph_b, pair):
    spec, replica = pair
    replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
    ceph_b.rbd("snap", "rm", f"{replica}@s1", "--no-progress")
    ceph_b.write(replica, 5 * MIB, b"another byte")
    ceph_b.snapshot(replica, "s1")
    before = ceph_b.content(replica)
    assert "other content" in replicate(ceph.url(spec, "s2"), ceph_b.url(replica), expect=2).stderr
    assert ceph_b.content(replica) == before
    assert names(ceph_b, replica) == ["s1"]
    # who trusts it all the same gets what the verify then denies
    said = replicate(ceph.url(spec, "s2"), ceph_b.url(replica), "--trust-base", "--verify", expect=3).stderr
    assert "do not use that snapshot" in said


def test_a_replica_that_was_written_to_is_refused(ceph, ceph_b, pair):
    spec, replica = pair
    replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
    ceph_b.write(replica, 20 * MIB, b"mine" * 1024)
    before = ceph_b.content(replica)
    assert "written to since" in replicate(ceph.url(spec, "s2"), ceph_b.url(replica), expect=2).stderr
    assert ceph_b.content(replica) == before
    replicate(ceph.url(spec, "s2"), ceph_b.url(replica), "--force", "--verify")


@pytest.mark.parametrize(
    ("source", "base", "said"),
    [
        pytest.param(None, "last", "is no snapshot", id="head"),
        pytest.param("s2", "s9", "no image", id="replica-missing"),
    ],
)
def test_refusals_make_nothing(ceph, ceph_b, pair, source, base, said):
    spec, replica = pair
    done = blockdiff("copy", "--from-snap", base, ceph.url(spec, source), ceph_b.url(replica))
    assert done.returncode in {2, 3}
    assert said in done.stderr
    assert not ceph_b.rbd_json("ls", ceph_b.pool)


def test_nothing_in_common(ceph, ceph_b, pair):
    spec, replica = pair
    other = ceph_b.image("replica", SIZE)
    ceph_b.write(other, 0, b"x" * 4096)
    assert "in common" in replicate(ceph.url(spec, "s1"), ceph_b.url(replica), expect=2).stderr
    assert "no snapshot 's7'" in replicate(ceph.url(spec, "s2"), ceph_b.url(replica), base="s7", expect=2).stderr


def test_files_have_no_snapshots(ceph, pair, tmp_path):
    target = tmp_path / "replica.img"
    assert "snapshots" in replicate(ceph.url(pair[0], "s1"), target, expect=4).stderr
    assert not target.exists()


@pytest.mark.parametrize("base", ["first", "next"])
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGKILL, id="killed", marks=pytest.mark.slow),  # its watch is kept for seconds
        pytest.param(signal.SIGINT, id="interrupted"),
    ],
)
def test_cut_short_and_taken_up(ceph, ceph_b, pair, base, how):
    spec, replica = pair
    snap = "s1"
    if base == "next":
        replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
        ceph.write(spec, 0, random.Random(7).randbytes(16 * MIB))
        ceph.snapshot(spec, "s3")
        snap = "s3"
    command = ("copy", "--from-snap", "last", "--trust-base", "--rate", "4M", "--progress", "json")
    process = start(*command, ceph.url(spec, snap), ceph_b.url(replica))
    while line := process.stderr.readline():
        if json.loads(line).get("bytes_done", 0) > MIB:
            break
    process.send_signal(how)
    if how == signal.SIGKILL:
        process.communicate()
    else:
        assert finish(process)[0] == 130
    assert snap not in names(ceph_b, replica)
    while ceph_b.watchers(replica):  # the cluster believes for half a minute that a killed client lives
        time.sleep(0.5)
    report = replicated(ceph.url(spec, snap), ceph_b.url(replica), "--verify")
    assert (report["resumed"], report["verified"]) == (True, True)
    assert ceph_b.content(f"{replica}@{snap}") == ceph.content(f"{spec}@{snap}")


def test_work_of_another_source_is_not_taken_up(ceph, ceph_b, pair):
    """A run from s3 was cut short; to go on with s2 would mix the two."""
    spec, replica = pair
    replicate(ceph.url(spec, "s1"), ceph_b.url(replica))
    ceph_b.rbd("image-meta", "set", replica, "blockdiff.replication", "from elsewhere")
    ceph_b.write(replica, MIB, b"half")
    assert "written to since" in replicate(ceph.url(spec, "s2"), ceph_b.url(replica), expect=2).stderr
