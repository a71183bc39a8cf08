"""Read-only means read-only: whoever has the image keeps its lock, and sees nothing of us."""

import contextlib
import threading

import pytest

from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.rbd import MIB, allocated, diff

pytestmark = pytest.mark.slow

SIZE = 8 * MIB
READER = {"mon": "profile rbd", "osd": "profile rbd-read-only"}


@pytest.fixture
def image(ceph):
    spec = ceph.image("a", SIZE, b"a" * (5 * MIB))
    ceph.snapshot(spec, "s1")
    ceph.write(spec, MIB, b"b" * 4096)
    ceph.snapshot(spec, "s2")
    return spec


@pytest.fixture
def mounted(ceph, image):
    """Somebody has the image open, holds its exclusive lock and writes to it."""
    stop = threading.Event()

    def write(held):
        count = 0
        while not stop.wait(0.01):
            held.write(bytes([count % 251]) * 512, 7 * MIB)
            count += 1

    with contextlib.ExitStack() as stack:
        held = stack.enter_context(ceph.open_image(image, read_only=False))
        held.write(b"first", 7 * MIB)
        assert held.is_exclusive_lock_owner()
        writer = threading.Thread(target=write, args=(held,))
        writer.start()
        stack.callback(writer.join)
        stack.callback(stop.set)
        yield held


@contextlib.contextmanager
def undisturbed(ceph, spec, held):
    """Before, meanwhile and after: one lock and one watcher, those of the holder."""
    before = ceph.watchers(spec), ceph.lockers(spec)
    assert (len(before[0]), len(before[1])) == (1, 1)
    yield lambda: (ceph.watchers(spec), ceph.lockers(spec)) == before
    assert (ceph.watchers(spec), ceph.lockers(spec)) == before
    assert held.is_exclusive_lock_owner()


def test_every_reading_command_leaves_the_lock(ceph, image, mounted, tmp_path):
    copy = tmp_path / "copy.img"
    with undisturbed(ceph, image, mounted):
        blockdiff("verify", ceph.url(image, "s1"), ceph.url(image, "s2"), expect=1)
        blockdiff("copy", ceph.url(image, "s1"), copy, expect=0)
        blockdiff("verify", ceph.url(image), copy, expect=1)
        blockdiff("diff", ceph.url(image, "s1"), ceph.url(image, "s2"), expect=0)
        blockdiff("diff", ceph.url(image, "s1"), ceph.url(image), expect=0)
        blockdiff("diff", "--method", "content", ceph.url(image, "s1"), ceph.url(image), expect=0)
        blockdiff("map", ceph.url(image), expect=0)


@pytest.mark.parametrize("snapshot", ["s1", None], ids=["snapshot", "head"])
def test_nobody_sees_us_while_we_read(ceph, image, mounted, snapshot, tmp_path):
    copy = tmp_path / "copy.img"
    with undisturbed(ceph, image, mounted) as same:
        options = ("--rate", "2M", "--progress", "json")
        process = start("copy", ceph.url(image, snapshot), copy, *options)
        assert process.stderr.readline()
        assert process.poll() is None
        assert same()
        code, _, err = finish(process)
        assert code == 0, err


def test_nothing_changes_on_the_image(ceph, image):
    def state():
        return (ceph.rbd("info", image), ceph.rbd("snap", "ls", "--all", image), ceph.rados("-p", ceph.pool, "ls"))

    before = state()
    blockdiff("verify", ceph.url(image, "s1"), ceph.url(image), expect=1)
    blockdiff("diff", ceph.url(image, "s1"), ceph.url(image), expect=0)
    blockdiff("map", ceph.url(image), expect=0)
    assert state() == before


@pytest.mark.parametrize("mon", ["profile rbd", "profile rbd-read-only", "allow r"])
def test_a_user_who_may_only_read_suffices(ceph, image, tmp_path, mon):
    keyring = ceph.user("reader", {"mon": mon, "osd": f"profile rbd-read-only pool={ceph.pool}"})
    who = {"id": "reader", "keyring": keyring}
    assert diff(ceph.url(image, "s1", **who), ceph.url(image, "s2", **who)).extents == [(MIB, 4096, "data")]
    assert allocated(ceph.url(image, **who)).extents
    blockdiff("verify", ceph.url(image, "s1", **who), ceph.url(image, "s2", **who), expect=1)
    copy = tmp_path / "copy.img"
    blockdiff("copy", ceph.url(image, "s2", **who), copy, expect=0)
    blockdiff("verify", ceph.url(image, "s2", **who), copy, expect=0)


def test_such_a_user_cannot_write(ceph, image, tmp_path):
    keyring = ceph.user("reader", {"mon": "profile rbd", "osd": f"profile rbd-read-only pool={ceph.pool}"})
    content = ceph.content(image)
    source = tmp_path / "source.img"
    source.write_bytes(bytes(SIZE))
    done = blockdiff("copy", source, ceph.url(image, id="reader", keyring=keyring))
    assert done.returncode in {3, 5}
    assert "does not allow" in done.stderr
    assert ceph.content(image) == content


class TestTargets:
    def source(self, tmp_path):
        path = tmp_path / "source.img"
        path.write_bytes(b"new" * MIB + bytes(SIZE - 3 * MIB))
        return path

    def test_an_image_that_somebody_holds_is_refused(self, ceph, image, mounted, tmp_path):
        with undisturbed(ceph, image, mounted):
            refused = blockdiff("copy", self.source(tmp_path), ceph.url(image), expect=2)
            assert "in use" in refused.stderr
            (_, client), *_ = ceph.watchers(image)
            assert f"client.{client}" in refused.stderr
        assert ceph.read(image, 0, 1) == b"a"

    def test_an_image_with_an_advisory_lock_is_refused(self, ceph, image, tmp_path):
        ceph.rbd("feature", "disable", image, ["fast-diff", "object-map", "exclusive-lock"][0])
        ceph.rbd("lock", "add", image, "mine")
        refused = blockdiff("copy", self.source(tmp_path), ceph.url(image), expect=2)
        assert "mine" in refused.stderr or "lock" in refused.stderr
        assert ceph.read(image, 0, 1) == b"a"

    def test_an_image_that_nobody_holds_is_left_without_a_lock(self, ceph, image, tmp_path):
        path = self.source(tmp_path)
        blockdiff("copy", path, ceph.url(image), expect=0)
        assert ceph.content(image) == path.read_bytes()
        assert (ceph.watchers(image), ceph.lockers(image)) == (set(), set())
