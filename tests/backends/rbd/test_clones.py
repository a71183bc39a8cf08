"""Clones with and without a parent, and the snapshots that are not the user's."""

import pytest

from tests.fixtures.cli import report
from tests.fixtures.rbd import MIB, allocated, diff, rbd_diff, scribble, sound

SIZE = 16 * MIB


@pytest.fixture
def clone(ceph):
    parent = ceph.image("parent", SIZE, b"p" * (9 * MIB))
    spec = ceph.clone(ceph.snapshot(parent, "base"), "clone")
    ceph.snapshot(spec, "s0")
    ceph.write(spec, 5 * MIB + 4096, b"c" * 70_000)
    ceph.discard(spec, 0, 4 * MIB)
    ceph.snapshot(spec, "s1")
    return spec


def test_map_of_a_clone_shows_what_the_parent_has(ceph, clone):
    told = allocated(ceph.url(clone, "s0"))
    assert told.extents == [(0, 9 * MIB, "data")]
    assert told.extents == rbd_diff(ceph, f"{clone}@s0")
    sound(allocated(ceph.url(clone, "s1")).extents, bytes(SIZE), ceph.content(f"{clone}@s1"))


@pytest.mark.parametrize("method", ["auto", "fast-diff", "byte", "content"])
def test_diff_of_a_clone(ceph, clone, method):
    told = diff(ceph.url(clone, "s0"), ceph.url(clone, "s1"), "--method", method)
    sound(told.extents, ceph.content(f"{clone}@s0"), ceph.content(f"{clone}@s1"))
    if method != "content":
        assert told.extents == rbd_diff(ceph, f"{clone}@s1", "s0")
        assert (0, 4 * MIB, "zero") in told.extents


def test_a_clone_is_its_parent_until_it_is_written(ceph, clone):
    parent = ceph.url(ceph.spec("parent"), "base")
    assert report("verify", parent, ceph.url(clone, "s0"), expect=0)["complete"]
    found = report("verify", parent, ceph.url(clone, "s1"), expect=1)["differences"]
    assert found == [
        {"offset": 0, "length": 4 * MIB, "class": "dst-zero"},
        {"offset": 5 * MIB + 4096, "length": 73_728, "class": "data"},
    ]


def test_a_flattened_clone_is_the_same(ceph, clone):
    before = ceph.content(clone)
    ceph.on(clone, ("flatten",))
    ceph.snapshot(clone, "s2")
    assert ceph.content(f"{clone}@s2") == before
    told = diff(ceph.url(clone, "s1"), ceph.url(clone, "s2"))
    sound(told.extents, before, before)
    assert report("verify", ceph.url(clone, "s1"), ceph.url(clone, "s2"), expect=0)["identical"]
    scribble(ceph, clone, SIZE, 5)
    ceph.snapshot(clone, "s3")
    told = diff(ceph.url(clone, "s1"), ceph.url(clone, "s3"))
    sound(told.extents, before, ceph.content(f"{clone}@s3"))


def test_a_clone_that_is_longer_than_its_parent(ceph, clone):
    ceph.resize(clone, SIZE + 5 * MIB + 512)
    ceph.write(clone, SIZE + 4 * MIB, b"beyond")
    ceph.snapshot(clone, "s2")
    content = ceph.content(f"{clone}@s2")
    sound(allocated(ceph.url(clone, "s2")).extents, bytes(len(content)), content)
    sound(diff(ceph.url(clone, "s1"), ceph.url(clone, "s2")).extents, ceph.content(f"{clone}@s1"), content)


def test_a_clone_that_was_cut_and_grown_again_shows_no_parent_there(ceph, clone):
    ceph.resize(clone, 6 * MIB)
    ceph.resize(clone, SIZE)
    ceph.snapshot(clone, "s2")
    content = ceph.content(f"{clone}@s2")
    assert not any(content[6 * MIB :])
    sound(allocated(ceph.url(clone, "s2")).extents, bytes(SIZE), content)
    told = diff(ceph.url(clone, "s1"), ceph.url(clone, "s2"))
    sound(told.extents, ceph.content(f"{clone}@s1"), content)
    found = report("verify", ceph.url(ceph.spec("parent"), "base"), ceph.url(clone, "s2"), expect=1)
    assert {"offset": 6 * MIB, "length": 3 * MIB, "class": "dst-zero"} in found["differences"]


def test_mirror_and_group_snapshots_do_not_disturb(ceph):
    spec = ceph.image("i", SIZE, b"a" * (6 * MIB))
    ceph.snapshot(spec, "s1")
    ceph.rbd("group", "create", f"{ceph.pool}/g")
    ceph.rbd("group", "image", "add", f"{ceph.pool}/g", spec)
    ceph.write(spec, 5 * MIB, b"b" * 4096)
    ceph.rbd("group", "snap", "create", f"{ceph.pool}/g@gs")
    ceph.rbd("mirror", "pool", "enable", ceph.pool, "image")
    ceph.rbd("mirror", "image", "enable", spec, "snapshot")
    ceph.write(spec, 9 * MIB, b"c" * 4096)
    ceph.snapshot(spec, "s2")
    assert len(ceph.rbd_json("snap", "ls", "--all", spec)) == 4
    told = diff(ceph.url(spec, "s1"), ceph.url(spec, "s2"))
    assert told.extents == rbd_diff(ceph, f"{spec}@s2", "s1")
    sound(told.extents, ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s2"))
