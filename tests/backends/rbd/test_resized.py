"""Images that were resized between snapshots, and the case in which librbd's whole-object diff misses changes."""

import pytest

from tests.fixtures.cli import blockdiff, report
from tests.fixtures.rbd import MIB, diff, rbd_diff, sound

pytestmark = pytest.mark.slow

METHODS = ["auto", "byte", "content"]


def shrunk_between(ceph, low, *, data=(28, 4)):
    """Data, s1; grown, s2; shrunk to ``low``, s3; grown again, s4: no object map remembers what went."""
    spec = ceph.image("rsz", 32 * MIB)
    ceph.write(spec, data[0] * MIB, b"d" * data[1] * MIB)
    for name, size in (("s1", 48 * MIB), ("s2", low), ("s3", 32 * MIB), ("s4", None)):
        ceph.snapshot(spec, name)
        if size is not None:
            ceph.resize(spec, size)
    return spec


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("low", "data", "lost"),
    [
        pytest.param(16 * MIB, (28, 4), [(28 * MIB, 4 * MIB, "zero")], id="aligned"),
        pytest.param(17409 * 1024, (16, 16), [(17409 * 1024, 32 * MIB - 17409 * 1024, "zero")], id="unaligned"),
    ],
)
def test_a_smaller_snapshot_between_hides_nothing(ceph, low, data, lost, method):
    spec = shrunk_between(ceph, low, data=data)
    told = diff(ceph.url(spec, "s1"), ceph.url(spec, "s4"), "--method", method, "--granularity", "512")
    assert told.extents == lost == rbd_diff(ceph, f"{spec}@s4", "s1")
    assert rbd_diff(ceph, f"{spec}@s4", "s1", "--whole-object") != lost, "librbd was mended: say so in the docs"
    sound(told.extents, ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s4"))


def test_why_the_filter_was_not_used_is_told(ceph):
    spec = shrunk_between(ceph, 16 * MIB)
    urls = ceph.url(spec, "s1"), ceph.url(spec, "s4")
    told = diff(*urls)
    assert told.method == "byte"
    assert "s3" in told.said
    assert "smaller" in told.said
    refused = blockdiff("diff", *urls, "--require", "fast-diff", expect=4)
    assert "s3" in refused.stderr
    assert diff(ceph.url(spec, "s3"), ceph.url(spec, "s4")).method == "fast-diff"


def test_the_smaller_snapshot_was_removed_since(ceph):
    spec = shrunk_between(ceph, 16 * MIB)
    ceph.remove_snapshot(f"{spec}@s3")
    told = diff(ceph.url(spec, "s1"), ceph.url(spec, "s4"))
    sound(told.extents, ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s4"))


def test_the_image_itself_was_smaller_between(ceph):
    spec = ceph.image("rsz", 32 * MIB, b"d" * (32 * MIB))
    ceph.snapshot(spec, "s1")
    ceph.resize(spec, 9 * MIB)
    ceph.resize(spec, 32 * MIB)
    ceph.snapshot(spec, "s2")
    told = diff(ceph.url(spec, "s1"), ceph.url(spec, "s2"))
    sound(told.extents, ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s2"))


@pytest.mark.parametrize("method", ["auto", "fast-diff", *METHODS[1:]])
def test_grown_and_shrunk(ceph, method):
    spec = ceph.image("rsz", 8 * MIB + 512, b"d" * (8 * MIB + 512))
    ceph.snapshot(spec, "s1")
    ceph.resize(spec, 16 * MIB)
    ceph.write(spec, 13 * MIB, b"new" * 1000)
    ceph.snapshot(spec, "s2")
    ceph.resize(spec, 5 * MIB)
    ceph.snapshot(spec, "s3")
    contents = {name: ceph.content(f"{spec}@{name}") for name in ("s1", "s2", "s3")}
    for base, target in (("s1", "s2"), ("s2", "s3"), ("s1", "s3")):
        told = diff(ceph.url(spec, base), ceph.url(spec, target), "--method", method)
        a, b = contents[base], contents[target]
        sound(told.extents, a + bytes(max(0, len(b) - len(a))), b)
        assert all(at + size <= len(b) for at, size, _ in told.extents)


def test_sizes_that_differ_are_a_difference(ceph):
    spec = ceph.image("rsz", 8 * MIB, b"d" * MIB)
    ceph.snapshot(spec, "s1")
    ceph.resize(spec, 12 * MIB)
    ceph.snapshot(spec, "s2")
    found = report("verify", ceph.url(spec, "s1"), ceph.url(spec, "s2"), expect=1)
    assert found["differences"] == [{"offset": 8 * MIB, "length": 4 * MIB, "class": "size"}]
