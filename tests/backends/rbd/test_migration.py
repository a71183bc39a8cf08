"""Images that `rbd migration` moves: until that is executed, their objects are still those of another image."""

import pytest

from tests.fixtures.cli import blockdiff, report
from tests.fixtures.rbd import MIB, diff, sound

SIZE = 16 * MIB


@pytest.fixture
def moving(ceph):
    """The spec of an image with two snapshots that is being moved."""
    spec = ceph.image("old", SIZE, b"a" * (8 * MIB), order=20)
    ceph.snapshot(spec, "s1")
    ceph.write(spec, 3 * MIB, b"b" * 4096)
    ceph.write(spec, 10 * MIB, b"c" * MIB)
    ceph.snapshot(spec, "s2")
    new = ceph.spec("new")
    ceph.rbd("migration", "prepare", spec, new)
    yield new
    ceph.rbd("migration", "abort", "--no-progress", new, check=False)


def test_changes_are_found_by_reading(ceph, moving):
    """librbd's own diff lists nothing at all here."""
    a, b = (ceph.content(f"{moving}@{snap}") for snap in ("s1", "s2"))
    told = diff(ceph.url(moving, "s1"), ceph.url(moving, "s2"))
    assert told.method == "content"
    assert "being migrated" in told.said
    assert told.extents == [(3 * MIB, 4096, "data"), (10 * MIB, MIB, "data")]
    sound(told.extents, a, b)


@pytest.mark.parametrize("method", ["fast-diff", "byte"])
def test_a_method_of_metadata_is_refused(ceph, moving, method):
    urls = ceph.url(moving, "s1"), ceph.url(moving, "s2")
    assert "being migrated" in blockdiff("diff", *urls, "--method", method, expect=4).stderr


def test_verify_reads_what_was_not_moved_yet(ceph, moving, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(ceph.content(f"{moving}@s2"))
    assert report("verify", ceph.url(moving, "s2"), copy, expect=0)["identical"]
    assert not report("verify", ceph.url(moving, "s1"), copy, expect=1)["identical"]


def test_nothing_is_replicated_by_such_a_list(ceph, moving):
    replica = ceph.url(ceph.spec("replica"))
    blockdiff("copy", "--from-snap", "last", ceph.url(moving, "s1"), replica, expect=0)
    done = blockdiff("copy", "--from-snap", "last", ceph.url(moving, "s2"), replica, expect=4)
    assert "being migrated" in done.stderr
