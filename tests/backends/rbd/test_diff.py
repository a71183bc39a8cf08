"""`diff` and `map` of images against `rbd diff` and against the content."""

import pytest

from tests.fixtures.cli import blockdiff
from tests.fixtures.rbd import MIB, Listing, allocated, diff, rbd_diff, scribble, sound

SIZE = 24 * MIB
LAYOUTS = {
    "plain": {},
    "small-objects": {"order": 16},
    "striped": {"stripe_unit": 65536, "stripe_count": 4},
    "no-object-map": {"features": ("layering",)},
}


def history(ceph, seed=0, **layout):
    """An image with three snapshots."""
    spec = ceph.image("i", SIZE, **layout)
    for number, name in enumerate(("s1", "s2", "s3")):
        scribble(ceph, spec, SIZE, seed + number)
        ceph.snapshot(spec, name)
    return spec


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("method", ["auto", "byte"])
def test_lists_what_rbd_diff_lists(ceph, layout, method):
    spec = history(ceph, **layout)
    contents = {name: ceph.content(f"{spec}@{name}") for name in ("s1", "s2", "s3")}
    for base, target in (("s1", "s2"), ("s2", "s3"), ("s1", "s3")):
        told = diff(ceph.url(spec, base), ceph.url(spec, target), "--method", method)
        assert told.extents == rbd_diff(ceph, f"{spec}@{target}", base)
        sound(told.extents, contents[base], contents[target])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_content_agrees_and_is_exact(ceph, layout):
    spec = history(ceph, **layout)
    a, b = (ceph.content(f"{spec}@{name}") for name in ("s1", "s3"))
    told = diff(ceph.url(spec, "s1"), ceph.url(spec, "s3"), "--method", "content", "--granularity", "512")
    assert told.method == "content"
    sound(told.extents, a, b)
    for offset, length, _ in told.extents:
        for at in range(offset, offset + length, 512):
            assert a[at : at + 512] != b[at : at + 512]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_map_lists_what_rbd_diff_lists_from_nothing(ceph, layout):
    spec = history(ceph, **layout)
    for name in ("s1", "s3"):
        told = allocated(ceph.url(spec, name))
        assert Listing([e[:2] for e in told.extents], "").extents == [e[:2] for e in rbd_diff(ceph, f"{spec}@{name}")]
        sound(told.extents, bytes(SIZE), ceph.content(f"{spec}@{name}"))


def test_the_method_is_told(ceph):
    spec = history(ceph)
    urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
    assert diff(*urls).method == "fast-diff"
    assert diff(*urls, "--method", "byte").method == "byte"
    assert diff(*urls, "--method", "content").method == "content"


def test_without_fast_diff_the_reason_is_told(ceph):
    spec = history(ceph, features=("layering", "exclusive-lock"))
    urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
    told = diff(*urls)
    assert told.method == "byte"
    assert "fast-diff" in told.said
    refused = blockdiff("diff", *urls, "--require", "fast-diff", expect=4)
    assert "fast-diff" in refused.stderr


def test_an_invalid_object_map_is_told(ceph):
    spec = ceph.image("i", SIZE, features=("layering", "exclusive-lock"))
    scribble(ceph, spec, SIZE, 1)
    ceph.snapshot(spec, "s1")
    scribble(ceph, spec, SIZE, 2)
    ceph.snapshot(spec, "s2")
    ceph.rbd("feature", "enable", spec, "object-map", "fast-diff")
    assert "object map invalid" in ceph.rbd_json("info", spec)["flags"]
    urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
    told = diff(*urls)
    assert told.extents == rbd_diff(ceph, f"{spec}@s2", "s1")
    assert told.method == "byte"
    assert "object-map rebuild" in told.said
    blockdiff("diff", *urls, "--require", "fast-diff", expect=4)


def test_the_same_snapshot_has_no_changes(ceph):
    spec = history(ceph)
    done = blockdiff("diff", ceph.url(spec, "s1"), ceph.url(spec, "s1"), "-o", "rbd")
    assert (done.returncode, done.stdout.strip()) == (0, "[]") or done.returncode == 2


def test_the_wrong_order_is_refused_or_read(ceph):
    spec = history(ceph)
    urls = ceph.url(spec, "s3"), ceph.url(spec, "s1")
    done = blockdiff("diff", *urls, "--method", "byte", expect=2)
    assert "s3" in done.stderr
    assert "s1" in done.stderr
    told = diff(*urls, "--method", "content")
    sound(told.extents, ceph.content(f"{spec}@s3"), ceph.content(f"{spec}@s1"))


@pytest.mark.parametrize("method", ["auto", "fast-diff", "byte", "content"])
@pytest.mark.parametrize(("offset", "length"), [(0, 1), (4097, 9 * MIB + 13), (4 * MIB - 1, 2), (SIZE - 700, 700)])
def test_a_range_is_clipped(ceph, method, offset, length):
    spec = ceph.image("i", SIZE, b"a" * (9 * MIB))
    ceph.snapshot(spec, "s1")
    ceph.write(spec, 0, b"b" * (9 * MIB))
    ceph.write(spec, SIZE - 1024, b"c" * 1024)
    ceph.snapshot(spec, "s2")
    urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
    told = diff(*urls, "--method", method, "--offset", offset, "--length", length)
    a, b = ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s2")
    end = offset + length
    assert all(offset <= at < at + size <= end for at, size, _ in told.extents)
    sound(told.extents, bytes(offset) + a[offset:end], bytes(offset) + b[offset:end])


def test_a_range_outside_the_image_is_refused(ceph):
    spec = history(ceph)
    urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
    blockdiff("diff", *urls, "--offset", SIZE + 512, expect=2)


def test_removed_objects_are_zeroes(ceph):
    spec = ceph.image("i", SIZE, b"x" * SIZE)
    ceph.snapshot(spec, "s1")
    ceph.discard(spec, 4 * MIB, 8 * MIB)
    ceph.discard(spec, 20 * MIB + 65536, 65536)
    ceph.write(spec, 16 * MIB, bytes(4096))
    ceph.snapshot(spec, "s2")
    told = diff(ceph.url(spec, "s1"), ceph.url(spec, "s2"))
    assert told.extents == rbd_diff(ceph, f"{spec}@s2", "s1")
    assert (4 * MIB, 8 * MIB, "zero") in told.extents
    sound(told.extents, ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s2"))
    exact = diff(ceph.url(spec, "s1"), ceph.url(spec, "s2"), "--method", "content")
    assert (16 * MIB, 4096, "zero") in exact.extents


def test_the_image_as_it_is_now(ceph):
    spec = history(ceph)
    scribble(ceph, spec, SIZE, 9)
    told = diff(ceph.url(spec, "s2"), ceph.url(spec))
    assert told.extents == rbd_diff(ceph, spec, "s2")
    assert "in use" not in told.said
    sound(told.extents, ceph.content(f"{spec}@s2"), ceph.content(spec))
    with ceph.open_image(spec, read_only=False) as image:
        image.write(b"x", 0)
        said = diff(ceph.url(spec, "s2"), ceph.url(spec)).said
        assert "in use" in said
        assert "a snapshot" in said


def test_images_that_have_nothing_in_common_are_compared_by_content(ceph):
    a, b = ceph.image("a", SIZE, b"a" * MIB), ceph.image("b", SIZE, b"a" * 4096 + b"b" * 4096)
    urls = ceph.url(ceph.snapshot(a, "s")), ceph.url(ceph.snapshot(b, "s"))
    told = diff(*urls)
    assert told.method == "content"
    assert told.extents == [(4096, 4096, "data"), (8192, MIB - 8192, "zero")]
    blockdiff("diff", *urls, "--require", "fast-diff", expect=4)


def test_erasure_coded_data(ceph_ec):
    spec = history(ceph_ec)
    told = diff(ceph_ec.url(spec, "s1"), ceph_ec.url(spec, "s3"))
    assert told.method == "fast-diff"
    assert told.extents == rbd_diff(ceph_ec, f"{spec}@s3", "s1")
    sound(told.extents, ceph_ec.content(f"{spec}@s1"), ceph_ec.content(f"{spec}@s3"))
