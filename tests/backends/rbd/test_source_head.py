"""RbdSource of a URL, with the head as the target, before and after a snapshot was asked for."""

from blockdiff import Snapshot, SnapshotPair
from blockdiff.backends.rbd.source import RbdSource
from tests.fixtures.rbd import MIB


def extents(source, base, target):
    pair = SnapshotPair(Snapshot("i", base) if base else None, Snapshot("i", target))
    return [tuple(extent)[:2] for record in source.records(pair) for extent in record.extents]


def test_the_head_is_a_target(ceph):
    spec = ceph.image("i", 16 * MIB, b"a" * MIB)
    ceph.snapshot(spec, "s1")
    ceph.write(spec, 5 * MIB, b"b" * 4096)
    with RbdSource.open(ceph.url(spec)) as source:
        for _ in range(2):
            assert extents(source, "s1", "") == [(4 * MIB, MIB + 4096)]
            assert extents(source, None, "") == [(0, MIB), (4 * MIB, MIB + 4096)]
            assert extents(source, None, "s1") == [(0, MIB)]
