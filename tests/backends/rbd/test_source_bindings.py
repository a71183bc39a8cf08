"""Records of an image by RbdSource, also of one opened with the distribution's bindings, which are the oracle."""

import contextlib

import pytest

from blockdiff.backends.rbd.source import RbdSource
from blockdiff.engine.source import ordered
from blockdiff.errors import BlockdiffError, InvalidInput, SnapshotNotFound
from blockdiff.extent import Kind
from blockdiff.snapshot import Snapshot, SnapshotPair
from tests.fixtures.ceph_client import split
from tests.fixtures.ceph_modules import rados_module, rbd_module
from tests.fixtures.rbd import MIB, extents_of, scribble, sound

SIZE = 16 * MIB


@pytest.fixture
def image(ceph):
    spec = ceph.image("a", SIZE, b"d" * (3 * MIB))
    for number in (1, 2, 3):
        ceph.snapshot(spec, f"s{number}")
        scribble(ceph, spec, SIZE, number)
    return spec


@contextlib.contextmanager
def by_url(ceph, spec):
    with RbdSource.open(ceph.url(spec)) as source:
        yield source


@contextlib.contextmanager
def by_image(ceph, spec):
    with ceph.open_image(spec) as image:
        yield RbdSource.from_image(image)
        assert image.size() == SIZE, "it is the caller's, and stays open"


@contextlib.contextmanager
def by_ioctx(ceph, spec):
    rbd_module()
    (pool, _), name, _ = split(spec)
    with (
        rados_module().Rados(conffile=str(ceph.conf), rados_id="admin") as connection,
        connection.open_ioctx(pool) as ioctx,
        RbdSource.from_ioctx(ioctx, name) as source,
    ):
        yield source


@pytest.fixture(params=[by_url, by_image, by_ioctx], ids=["url", "image", "ioctx"])
def opened(request, ceph):
    return lambda spec: request.param(ceph, spec)


def pair(base, target):
    return SnapshotPair(Snapshot("a", base) if base else None, Snapshot("a", target))


def listed(source, base, target, **options):
    """The extents of a guarded stream of records."""
    records = list(ordered(source.records(pair(base, target), **options)))
    assert {record.capacity for record in records} == {SIZE}
    pieces = [(e.offset, e.length, Kind(e.kind)) for record in records for e in record.extents]
    return extents_of({"offset": at, "length": n, "exists": kind != Kind.ZERO} for at, n, kind in pieces)


def by_python_rbd(ceph, spec, base, target):
    found = []

    def add(offset, length, exists):
        found.append({"offset": offset, "length": length, "exists": exists})

    with ceph.open_image(spec, target) as image:
        image.diff_iterate(0, SIZE, base, add)
    return extents_of(found)


@pytest.mark.parametrize(("base", "target"), [("s1", "s2"), ("s1", "s3"), ("s2", "s3")])
def test_lists_what_python_rbd_lists(ceph, image, opened, base, target):
    with opened(image) as source:
        extents = listed(source, base, target)
        assert source.method == "fast-diff"
    assert extents == by_python_rbd(ceph, image, base, target)
    sound(extents, ceph.content(f"{image}@{base}"), ceph.content(f"{image}@{target}"))


def test_what_is_allocated(ceph, image, opened):
    with opened(image) as source:
        extents = listed(source, None, "s2")
    assert [e[:2] for e in extents] == [e[:2] for e in by_python_rbd(ceph, image, None, "s2")]
    sound(extents, bytes(SIZE), ceph.content(f"{image}@s2"))


def test_in_pieces(ceph, image, opened):
    with opened(image) as source:
        whole = listed(source, "s1", "s3")
        records = list(source.records(pair("s1", "s3"), limit=2))
        assert all(len(record.extents) <= 2 for record in records)
        assert listed(source, "s1", "s3", limit=2) == whole
        middle = whole[len(whole) // 2]
        rest = listed(source, "s1", "s3", start=middle[0] + 1)
        assert rest[-1] == whole[-1]
        assert all(offset + length > middle[0] + 1 for offset, length, _ in rest)
        assert sum(n for _, n, _ in rest) >= sum(n for at, n, _ in whole if at > middle[0])


def test_a_smaller_snapshot_between(ceph, opened):
    spec = ceph.image("a", SIZE)
    ceph.write(spec, 14 * MIB, b"d" * (2 * MIB))
    ceph.snapshot(spec, "s1")
    ceph.resize(spec, 8 * MIB)
    ceph.snapshot(spec, "s2")
    ceph.resize(spec, SIZE)
    ceph.snapshot(spec, "s3")
    with opened(spec) as source:
        extents = listed(source, "s1", "s3")
        assert source.method == "byte"
        assert "s2" in source.fallback
    sound(extents, ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s3"))


def test_snapshots_and_what_is_wrong_with_them(ceph, image, opened):
    with opened(image) as source:
        assert [snap.name for snap in source.snapshots()] == ["s1", "s2", "s3"]
        with pytest.raises(SnapshotNotFound, match="nosnap"):
            listed(source, "s1", "nosnap")
        with pytest.raises(SnapshotNotFound, match="nosnap"):
            listed(source, "nosnap", "s1")
        with pytest.raises(InvalidInput):
            listed(source, "s3", "s1")


@pytest.mark.parametrize("gone", ["s1", "s2"])
@pytest.mark.parametrize("by", [by_url, by_ioctx], ids=["url", "ioctx"])
def test_a_snapshot_that_vanishes_on_the_way(ceph, image, by, gone):
    with by(ceph, image) as source:
        records = source.records(pair("s1", "s2"), limit=1)
        next(records)
        ceph.remove_snapshot(f"{image}@{gone}")
        with pytest.raises(BlockdiffError):
            list(records)


@pytest.mark.parametrize("by", [by_url, by_ioctx], ids=["url", "ioctx"])
def test_an_image_that_vanishes_on_the_way(ceph, by):
    spec = ceph.image("a", SIZE, b"d" * (9 * MIB))
    with by(ceph, spec) as source:
        records = source.records(pair(None, ""), limit=1)
        next(records)
        ceph.remove(spec)
        with pytest.raises(BlockdiffError):
            list(records)


def test_the_caller_goes_on_with_the_image(ceph, image):
    with ceph.open_image(image, "s1") as held:
        listed(RbdSource.from_image(held), "s2", "s3")
        held.set_snap("s1")
        assert held.read(0, 4) == b"dddd"
