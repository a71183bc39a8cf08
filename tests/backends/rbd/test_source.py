"""RbdSource: records of images for Python programs, opened here or by the distribution's bindings."""

import pytest

from blockdiff._fast import Extents
from blockdiff.backends.rbd import RbdSource
from blockdiff.backends.rbd.changes import Question
from blockdiff.errors import DeviceError, InvalidInput, SnapshotNotFound
from blockdiff.snapshot import Snapshot, SnapshotPair
from tests.fixtures.ceph_modules import rados_module, rbd_module
from tests.fixtures.rbd import MIB, rbd_diff, scribble

SIZE = 16 * MIB


def pair(base, target):
    return SnapshotPair(None if base is None else Snapshot("i", base), Snapshot("i", target))


def listed(records):
    extents = Extents(extent for record in records for extent in record.extents)
    return [(e.offset, e.length, "zero" if int(e.kind) else "data") for e in extents.coalesce()]


@pytest.fixture
def spec(ceph):
    spec = ceph.image("i", SIZE, order=18)
    for number in range(3):
        scribble(ceph, spec, SIZE, number)
        ceph.snapshot(spec, f"s{number}")
    return spec


def test_by_url(ceph, spec):
    with RbdSource.open(ceph.url(spec)) as source:
        for base, target in ((None, "s0"), ("s0", "s2"), ("s1", "s2")):
            assert listed(source.records(pair(base, target))) == rbd_diff(ceph, f"{spec}@{target}", base)
        with pytest.raises(SnapshotNotFound):
            list(source.records(pair("s0", "s9")))


def test_an_image_of_the_caller(ceph, spec):
    with ceph.open_image(spec) as image:
        source = RbdSource.from_image(image)
        assert listed(source.records(pair("s0", "s2"))) == rbd_diff(ceph, f"{spec}@s2", "s0")


@pytest.mark.parametrize("target", ["s2", ""])
def test_a_snapshot_that_is_removed_meanwhile(ceph, spec, monkeypatch, target):
    ask = Question.bytes_of

    def removed_first(self, ranges):
        ceph.remove_snapshot(f"{spec}@s0")
        return ask(self, ranges)

    monkeypatch.setattr(Question, "bytes_of", removed_first)
    with RbdSource.open(ceph.url(spec)) as source, pytest.raises(DeviceError, match="removed meanwhile"):
        list(source.records(pair("s0", target)))


def test_the_same_through_a_pool_of_the_caller(ceph, spec, monkeypatch):
    ask = Question.bytes_of

    def removed_first(self, ranges):
        ceph.remove_snapshot(f"{spec}@s0")
        return ask(self, ranges)

    monkeypatch.setattr(Question, "bytes_of", removed_first)
    pool, name = spec.split("/")
    rbd_module()  # where from_ioctx finds it
    with (
        rados_module().Rados(conffile=str(ceph.conf), rados_id="admin") as connection,
        connection.open_ioctx(pool) as ioctx,
        RbdSource.from_ioctx(ioctx, name) as source,
        pytest.raises(DeviceError, match="removed meanwhile"),
    ):
        list(source.records(pair("s0", "s2")))


def test_two_questions_at_once_are_refused(ceph, spec):
    """Both would be asked of one image, which is at one snapshot."""
    with RbdSource.open(ceph.url(spec)) as source:
        first = source.records(pair("s1", "s2"), limit=1)
        next(first)
        assert list(source.records(pair("s0", "s1")))
        with pytest.raises(InvalidInput, match="asked something else"):
            list(first)
