"""An image that was rolled back: its object map calls clean what is not, and librbd's whole-object diff believes it."""

import pytest

from tests.fixtures.cli import report
from tests.fixtures.rbd import MIB, allocated, diff, rbd_diff, sound

pytestmark = pytest.mark.slow

SIZE = 16 * MIB


@pytest.fixture
def rolled_back(ceph):
    """Written, s0, s1; written again, s2; rolled back to s1, where nothing had changed since s0; s3."""
    spec = ceph.image("i", SIZE, b"a" * MIB, order=20)
    ceph.snapshot(spec, "s0")
    ceph.snapshot(spec, "s1")
    ceph.write(spec, 0, b"b" * MIB)
    ceph.write(spec, 7 * MIB, b"gone" * 1000)
    ceph.snapshot(spec, "s2")
    ceph.on(spec, ("rollback_to_snap", "s1"))
    ceph.snapshot(spec, "s3")
    return spec


@pytest.mark.parametrize("method", ["auto", "fast-diff", "byte", "content"])
def test_what_a_rollback_brought_back_is_listed(ceph, rolled_back, method):
    urls = ceph.url(rolled_back, "s2"), ceph.url(rolled_back, "s3")
    told = diff(*urls, "--method", method)
    sound(told.extents, ceph.content(f"{rolled_back}@s2"), ceph.content(f"{rolled_back}@s3"))
    if method != "content":
        assert told.extents == rbd_diff(ceph, f"{rolled_back}@s3", "s2")
    whole = rbd_diff(ceph, f"{rolled_back}@s3", "s2", "--whole-object")
    assert (0, MIB, "data") not in whole, "librbd was mended: say so in the docs"


def test_with_a_removed_snapshot(ceph, rolled_back):
    """Only the two that are compared are left, so nothing in the image tells of a rollback."""
    for name in ("s0", "s1"):
        ceph.remove_snapshot(f"{rolled_back}@{name}")
    told = diff(ceph.url(rolled_back, "s2"), ceph.url(rolled_back, "s3"))
    assert told.method == "fast-diff"
    sound(told.extents, ceph.content(f"{rolled_back}@s2"), ceph.content(f"{rolled_back}@s3"))


def test_the_head(ceph, rolled_back):
    ceph.on(rolled_back, ("rollback_to_snap", "s2"))
    ceph.on(rolled_back, ("rollback_to_snap", "s0"))
    for base in ("s0", "s1", "s2", "s3"):
        told = diff(ceph.url(rolled_back, base), ceph.url(rolled_back))
        sound(told.extents, ceph.content(f"{rolled_back}@{base}"), ceph.content(rolled_back))
    sound(allocated(ceph.url(rolled_back)).extents, bytes(SIZE), ceph.content(rolled_back))


def test_a_replica_of_it(ceph, rolled_back):
    """What the rollback brought back is sent too."""
    ceph.image("replica", SIZE)
    for name in ("s2", "s3"):
        urls = ceph.url(rolled_back, name), ceph.url(ceph.spec("replica"))
        report("copy", "--from-snap", "last", "--verify", *urls, expect=0)
        assert ceph.content(ceph.spec("replica", name)) == ceph.content(f"{rolled_back}@{name}")
