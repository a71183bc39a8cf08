"""Images and snapshots that are removed or cut after they were opened: librbd then reads zeroes, without an error."""

import pytest

import blockdiff
from blockdiff.engine.registry import open_device
from blockdiff.errors import DeviceError, SizeChanged, SnapshotNotFound
from tests.fixtures.images import write_image
from tests.fixtures.rbd import MIB

SIZE = 8 * MIB
GONE = (DeviceError, SnapshotNotFound)


@pytest.fixture
def image(ceph):
    """Data at s1 and s2; the head is zeroes."""
    spec = ceph.image("a", SIZE, b"d" * SIZE)
    ceph.snapshot(spec, "s1")
    ceph.write(spec, 5 * MIB, b"e" * 4096)
    ceph.snapshot(spec, "s2")
    ceph.write(spec, 0, bytes(SIZE))
    return spec


@pytest.fixture
def opened(ceph):
    """Opens an image and closes it with the test."""
    devices = []

    def make(*where):
        devices.append(open_device(ceph.url(*where)))
        return devices[-1]

    yield make
    for device in devices:
        device.close()


def never_the_same(a, b, **options):
    with pytest.raises(GONE):
        blockdiff.verify(a, b, **options)


@pytest.mark.parametrize("method", ["auto", "content", "osd-checksum"])
def test_a_snapshot_that_was_removed_is_not_verified(ceph, image, opened, method):
    other = ceph.image("zeroes", SIZE)
    device, zeroes = opened(image, "s1"), opened(other)
    ceph.remove_snapshot(f"{image}@s1")
    never_the_same(device, zeroes, method=method)
    never_the_same(zeroes, device, method=method)


@pytest.mark.parametrize("method", ["auto", "content", "osd-checksum"])
def test_an_image_that_was_removed_is_not_verified(ceph, opened, method):
    spec, other = ceph.image("a", SIZE, b"d" * SIZE), ceph.image("zeroes", SIZE)
    device, zeroes = opened(spec), opened(other)
    ceph.remove(spec)
    never_the_same(device, zeroes, method=method)


@pytest.mark.parametrize("size", [SIZE // 2, 2 * SIZE], ids=["cut", "grown"])
@pytest.mark.parametrize("method", ["auto", "content"])
def test_an_image_of_another_size_is_not_verified(ceph, opened, method, size, tmp_path):
    spec = ceph.image("a", SIZE, b"d" * SIZE)
    device = opened(spec)
    ceph.resize(spec, size)
    same = write_image(tmp_path / "same", b"d" * SIZE if size > SIZE else b"d" * size + bytes(SIZE - size))
    with pytest.raises(SizeChanged):
        blockdiff.verify(device, same, method=method)


@pytest.mark.parametrize("gone", ["s1", "s2"])
@pytest.mark.parametrize("method", ["auto", "fast-diff", "byte", "content"])
def test_no_list_of_changes_without_its_snapshots(ceph, image, opened, method, gone):
    base, target = opened(image, "s1"), opened(image, "s2")
    ceph.remove_snapshot(f"{image}@{gone}")
    with pytest.raises(GONE):
        list(blockdiff.diff(base, target, method=method))


@pytest.mark.parametrize("method", ["auto", "byte"])
def test_another_snapshot_of_the_same_name_is_another(ceph, image, opened, method):
    base, target = opened(image, "s1"), opened(image, "s2")
    ceph.remove_snapshot(f"{image}@s1")
    ceph.snapshot(image, "s1")
    with pytest.raises(GONE):
        list(blockdiff.diff(base, target, method=method))


def test_no_map_of_what_was_removed(ceph, image, opened):
    device = opened(image, "s1")
    ceph.remove_snapshot(f"{image}@s1")
    with pytest.raises(GONE):
        list(blockdiff.map(device))


def test_no_copy_of_what_was_removed(ceph, image, opened, tmp_path):
    device = opened(image, "s1")
    ceph.remove_snapshot(f"{image}@s1")
    with pytest.raises(GONE):
        blockdiff.copy(device, tmp_path / "copy")


def test_no_audit_of_what_was_removed(ceph, image, opened):
    base, target = opened(image, "s1"), opened(image, "s2")
    ceph.remove_snapshot(f"{image}@s2")
    with pytest.raises(GONE):
        blockdiff.audit(base, target, blockdiff.Extents([(0, SIZE)]))


def test_renaming_an_image_disturbs_nobody(ceph, image, opened):
    device, same = opened(image, "s1"), ceph.image("same", SIZE, b"d" * SIZE)
    ceph.rbd("rename", image, ceph.spec("renamed"))
    assert blockdiff.verify(device, opened(same)).identical
