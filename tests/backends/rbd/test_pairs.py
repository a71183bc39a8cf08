"""Pairs of snapshots on two real clusters: planned, replicated, verified; judged by rbd's own lists and exports."""

import datetime as dt
import json
import os
import random

import pytest

from tests.fixtures.cli import blockdiff
from tests.fixtures.rbd import LIMIT, MIB, scribble
from tests.fixtures.schemas import obeys

TAGS = [f"auto-v2-hourly-20260101{hour:02}00-4" for hour in range(3)]
DISKS = ("one-7-4-0", "one-7-4-1")
SIZE = 8 * MIB


def pool(ceph, **query):
    return ceph.url(f"{ceph.pool}/", **query)


def plan(*words, expect=0):
    done = blockdiff("pairs", *words, "-o", "json", expect=expect, timeout=LIMIT)
    return obeys(json.loads(done.stdout), "pairs")


def over(command, made, tmp_path, *options, expect):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(made))
    done = blockdiff(command, "--pairs", path, "-o", "json", *options, expect=expect, timeout=LIMIT)
    return obeys(json.loads(done.stdout), "pairsreport")


def made_disks(ceph, tags=TAGS, disks=DISKS):
    """Images of one machine with random writes between their snapshots."""
    for disk in disks:
        spec = ceph.image(disk, SIZE)
        for number, tag in enumerate(tags):
            scribble(ceph, spec, SIZE, f"{disk}{number}")
            ceph.snapshot(spec, tag)


def piped(ceph, ceph_b, disk, tags=TAGS):
    """As scripts do it: export-diff on one cluster, import-diff on the other."""
    spec, other = ceph.spec(disk), ceph_b.image(disk, SIZE)
    for base, tag in zip([None, *tags], tags, strict=False):
        since = ("--from-snap", base) if base else ()
        sent = ceph.run("rbd", "export-diff", "--no-progress", *since, f"{spec}@{tag}", "-").stdout
        ceph_b.run("rbd", "import-diff", "--no-progress", "-", other, stdin=sent)


def exported(ceph, spec):
    return ceph.run("rbd", "export", "--no-progress", spec, "-").stdout


def test_what_is_listed_is_what_rbd_lists(ceph):
    made_disks(ceph)
    found = plan(pool(ceph))
    for disk in DISKS:
        ours = [pair["source"] for pair in found["pairs"] if pair["volume"] == disk]
        theirs = ceph.rbd_json("snap", "ls", ceph.spec(disk))
        assert [(one["name"], int(one["id"]), one["size"]) for one in ours] == [
            (one["name"], one["id"], one["size"]) for one in theirs
        ]
        # rbd prints the time of its own zone, which is that of the tests
        for one, other in zip(ours, theirs, strict=True):
            local = dt.datetime.fromisoformat(one["created"]).astimezone()
            assert local.strftime("%a %b %e %H:%M:%S %Y") == other["timestamp"]


def test_a_machine_that_was_replicated_by_rbd(ceph, ceph_b, tmp_path):
    made_disks(ceph)
    for disk in DISKS:
        piped(ceph, ceph_b, disk)
    found = plan(pool(ceph), pool(ceph_b))
    assert [(pair["volume"], pair["source"]["name"], pair["by"]) for pair in found["pairs"]] == [
        (disk, tag, "instant") for tag in TAGS for disk in DISKS
    ]
    report = over("verify", found, tmp_path, expect=0)
    assert report["identical"] is True
    # one disk's last snapshot is not what it was
    spec = ceph_b.spec(DISKS[1])
    ceph_b.remove_snapshot(f"{spec}@{TAGS[2]}")
    ceph_b.write(spec, 3 * MIB, b"harm")
    ceph_b.snapshot(spec, TAGS[2])
    assert exported(ceph, f"{ceph.spec(DISKS[1])}@{TAGS[2]}") != exported(ceph_b, f"{spec}@{TAGS[2]}")
    # the plan names the snapshot that was there: another of its name is not taken for it
    report = over("verify", found, tmp_path, expect=3)
    assert [group["verdict"] for group in report["groups"]] == ["identical", "identical", "failed"]
    (failed,) = [pair for pair in report["pairs"] if pair["verdict"] == "failed"]
    assert failed["error"]["error"] == "SnapshotReplaced"
    report = over("verify", plan(pool(ceph), pool(ceph_b)), tmp_path, expect=1)
    assert [group["verdict"] for group in report["groups"]] == ["identical", "identical", "different"]
    (other,) = [pair for pair in report["pairs"] if pair["verdict"] == "different"]
    assert (other["volume"], other["differences"][0]["offset"]) == (DISKS[1], 3 * MIB)


def test_an_image_that_was_made_again_is_not_what_the_plan_names(ceph, tmp_path):
    spec = ceph.image("disk", MIB)
    ceph.snapshot(spec, "s1")
    found = plan(ceph.url(spec))
    ceph.remove_snapshot(f"{spec}@s1")
    ceph.remove(spec)
    ceph.snapshot(ceph.image("disk", MIB), "s1")
    report = over("diff", found, tmp_path, expect=3)
    assert report["pairs"][0]["error"]["error"] == "SnapshotReplaced"


@pytest.mark.slow
def test_copying_what_the_plan_says(ceph, ceph_b, tmp_path):
    """Each pair of a plan for copies, one after the other; then everything is proved."""
    made_disks(ceph)
    piped(ceph, ceph_b, DISKS[0], TAGS[:1])
    found = plan(pool(ceph), pool(ceph_b), "--for", "copy")
    assert [
        (pair["volume"], pair["base"] and pair["base"]["name"], pair["source"]["name"]) for pair in found["pairs"]
    ] == [
        (DISKS[1], None, TAGS[0]),
        (DISKS[0], TAGS[0], TAGS[1]),
        (DISKS[1], TAGS[0], TAGS[1]),
        (DISKS[0], TAGS[1], TAGS[2]),
        (DISKS[1], TAGS[1], TAGS[2]),
    ]
    for pair in found["pairs"]:
        base = pair["base"]["name"] if pair["base"] else "last"
        blockdiff("copy", "--from-snap", base, pair["source"]["url"], pair["target_url"], expect=0, timeout=LIMIT)
    assert plan(pool(ceph), pool(ceph_b), "--for", "copy")["pairs"] == []
    made = plan(pool(ceph), pool(ceph_b))
    assert len(made["pairs"]) == 6
    assert over("verify", made, tmp_path, expect=0)["identical"]
    for disk in DISKS:
        for tag in TAGS:
            assert exported(ceph, ceph.spec(disk, tag)) == exported(ceph_b, ceph_b.spec(disk, tag))


@pytest.mark.slow
def test_a_disk_that_lacks_a_tag(ceph, ceph_b, tmp_path):
    made_disks(ceph, TAGS[:2])
    piped(ceph, ceph_b, DISKS[0], TAGS[:2])
    piped(ceph, ceph_b, DISKS[1], TAGS[:1])
    found = plan(pool(ceph), pool(ceph_b))
    report = over("verify", found, tmp_path, expect=1)
    assert [group["verdict"] for group in report["groups"]] == ["identical", "incomplete"]
    said = blockdiff("pairs", pool(ceph), pool(ceph_b), expect=0).stdout
    assert f"incomplete: vm 4@{TAGS[1]}: {DISKS[1]}: it is not on the target" in said


def test_two_images_by_name(ceph, ceph_b, tmp_path):
    """Called otherwise there, with snapshots whose names prove nothing."""
    spec, other = ceph.image("here", SIZE), ceph_b.image("there", SIZE)
    for number, name in enumerate(("s1", "s2")):
        data = random.Random(number).randbytes(5000)
        for cluster, image in ((ceph, spec), (ceph_b, other)):
            cluster.write(image, number * MIB, data)
            cluster.snapshot(image, name)
    ours, theirs = ceph.url(spec), ceph_b.url(other)
    found = plan(ours, theirs)
    assert (found["pairs"], [item["source"]["name"] for item in found["unproven"]]) == ([], ["s1", "s2"])
    assert over("verify", plan(ours, theirs, "--match", "name"), tmp_path, expect=0)["identical"]


def test_changes_of_an_image(ceph, tmp_path):
    made_disks(ceph, disks=DISKS[:1])
    found = plan(ceph.url(ceph.spec(DISKS[0])))
    assert [pair["base"] and pair["base"]["name"] for pair in found["pairs"]] == [None, *TAGS[:2]]
    report = over("diff", found, tmp_path, expect=0)
    for pair, base in zip(report["pairs"], [None, *TAGS], strict=False):
        # every byte that differs lies inside
        new = ceph.content(ceph.spec(DISKS[0], pair["tag"]))
        old = ceph.content(ceph.spec(DISKS[0], base)) if base else bytes(SIZE)
        kept = bytearray(old)
        for extent in pair["extents"]:
            end = extent["offset"] + extent["length"]
            kept[extent["offset"] : end] = new[extent["offset"] : end]
        assert bytes(kept) == new
        assert pair["method"] in {"fast-diff", "metadata"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("rbd:{pool}/none", "no image", id="image"),
        pytest.param("rbd:nowhere/", "no pool", id="pool"),
        pytest.param("rbd:nowhere", "neither an image of the default pool nor a pool", id="either"),
        pytest.param("rbd:{pool}/a@s1", "leave the @ out", id="snapshot"),
        pytest.param("rbd:{pool}/nowhere/", "no namespace", id="namespace"),
        pytest.param("rbd:/", "not of the form", id="slash"),
    ],
)
def test_what_is_not_there(ceph, url, said):
    done = blockdiff("pairs", f"{url.format(pool=ceph.pool)}?conf={ceph.conf}", timeout=LIMIT)
    assert done.returncode in {2, 3}
    assert said in done.stderr


def test_a_pool_without_a_slash_and_a_namespace(ceph):
    spec = ceph.image("disk", MIB)
    ceph.snapshot(spec, "s")
    ceph.snapshot(ceph.image("inside", MIB, namespace=ceph.namespace("ns").split("/")[1]), "s")
    assert [pair["volume"] for pair in plan(ceph.url(ceph.pool))["pairs"]] == ["disk"]
    (pair,) = plan(ceph.url(f"{ceph.pool}/ns/"))["pairs"]
    assert (pair["volume"], pair["source"]["volume"]) == ("inside", f"{ceph.pool}/ns/inside")
    assert pair["source"]["url"].startswith(f"rbd:{ceph.pool}/ns/inside@s?")


def test_an_image_with_the_name_of_a_pool_is_asked_about(ceph):
    """In the default pool of the configuration, which this pool is made for once."""
    ceph.image(ceph.pool, MIB)
    env = {**os.environ, "CEPH_ARGS": f"--rbd-default-pool={ceph.pool}"}
    said = blockdiff("pairs", f"rbd:{ceph.pool}?conf={ceph.conf}", expect=2, env=env).stderr
    assert f"rbd:{ceph.pool}/{ceph.pool}, or rbd:{ceph.pool}/" in said


def test_one_side_with_itself(ceph):
    ceph.snapshot(ceph.image("disk", MIB), "s")
    said = blockdiff("pairs", pool(ceph), pool(ceph), expect=2).stderr
    assert "one and the same" in said


def test_one_and_many(ceph, ceph_b):
    for cluster in (ceph, ceph_b):
        cluster.snapshot(cluster.image("disk", MIB), "s")
    said = blockdiff("pairs", pool(ceph), ceph_b.url(ceph_b.spec("disk")), expect=2).stderr
    assert "is one volume" in said


@pytest.mark.slow
def test_a_cluster_that_went_away(ceph, ceph_b, tmp_path):
    for cluster in (ceph, ceph_b):
        cluster.snapshot(cluster.image("disk", MIB), TAGS[0])
    found = plan(pool(ceph), pool(ceph_b))
    ceph_b.stop_mon()
    try:
        report = over("verify", found, tmp_path, expect=5)
    finally:
        ceph_b.start_mon()
    assert report["pairs"][0]["error"]["error"] == "RemoteError"
