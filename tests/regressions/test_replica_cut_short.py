"""`copy --from-snap` onto a replica whose head was cut since its base made it longer again, with zeroes for data."""

import random

import pytest

from tests.fixtures.cli import blockdiff

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture
def pair(ceph):
    """The image and its replica, which have s1 in common; the image has s2 too, and the replica's head was cut."""
    image, replica = ceph.image("a", SIZE, random.Random(1).randbytes(SIZE), order=20), ceph.spec("b")
    ceph.snapshot(image, "s1")
    blockdiff("copy", "--from-snap", "last", ceph.url(image, "s1"), ceph.url(replica), expect=0)
    ceph.write(image, 0, b"!" * 4096)
    ceph.snapshot(image, "s2")
    ceph.resize(replica, 3 * MIB + 512)
    return image, replica


def test_it_is_refused(ceph, pair):
    image, replica = pair
    done = blockdiff("copy", "--from-snap", "last", ceph.url(image, "s2"), ceph.url(replica), expect=2)
    assert f"({SIZE - 3 * MIB - 512:,} bytes)" in done.stderr
    assert ceph.on(replica, ("size",)) == 3 * MIB + 512


def test_what_was_cut_off_is_sent_again_with_force(ceph, pair):
    image, replica = pair
    blockdiff("copy", "--from-snap", "last", "--force", ceph.url(image, "s2"), ceph.url(replica), expect=0)
    assert ceph.content(f"{replica}@s2") == ceph.content(f"{image}@s2")
