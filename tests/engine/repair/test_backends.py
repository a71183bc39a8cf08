"""Repair and undo on real block devices, RBD images, NBD servers, full disks and disks that cannot be read."""

import errno
import os
import random
import shutil
import subprocess

import pytest
from fixtures.crashing import CrashingDevice, CrashingStorage, Disk, Power

import blockdiff
from blockdiff import Extents
from blockdiff.engine.repair import session
from blockdiff.engine.repair.identity import describe
from blockdiff.engine.repair.journal import Journal
from blockdiff.engine.repair.place import hold
from blockdiff.engine.repair.repair import Repair
from blockdiff.engine.repair.undo import Undo
from blockdiff.errors import ContentsDoNotMatch, DeviceBusy, DeviceError, InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind
from blockdiff.testing.faults import Fault, FaultDevice
from tests.fixtures.storage import attach, detach, need_root, unmount

MIB = 1 << 20


def contents(size, seed=3):
    rng = random.Random(seed)
    old = bytearray(rng.randbytes(size))
    old[size // 2 : size // 2 + 65536] = bytes(65536)
    new = bytearray(old)
    new[4096:4100] = b"abcd"
    new[size // 4 : size // 4 + 100_000] = bytes(100_000)
    new[size // 2 + 8192 : size // 2 + 9000] = b"x" * 808
    new[-1] ^= 7
    return bytes(new), bytes(old)


@pytest.fixture
def source(tmp_path):
    def make(data):
        path = tmp_path / "source"
        path.write_bytes(data)
        return path

    return make


def repaired_and_undone(source, target, read, new, old, journal):
    report = blockdiff.repair(source, target, journal=journal)
    assert report.identical
    assert read() == new
    assert blockdiff.verify(source, target).identical
    done = blockdiff.undo(journal)
    assert done.restored_bytes > 0
    assert done.state == "undone"
    assert read() == old
    with pytest.raises(InvalidInput, match="undone already"):
        blockdiff.undo(journal)


@pytest.mark.slow
def test_block_device(loop_device, source, tmp_path):
    new, old = contents(16 * MIB)
    loop_device.path.write_bytes(old)
    repaired_and_undone(source(new), loop_device.path, loop_device.path.read_bytes, new, old, tmp_path / "j")


def test_block_device_that_is_in_use_or_holds_the_journal(make_loop, source, tmp_path):
    disk, place = make_loop(64 * MIB), tmp_path / "mnt"
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", disk.path], check=True)
    other = source(bytes(64 * MIB))
    subprocess.run(["mount", disk.path, place], check=True)
    try:
        with pytest.raises(DeviceBusy, match="is mounted on"):
            blockdiff.repair(other, disk.path, journal=tmp_path / "j")
        with pytest.raises(DeviceBusy, match=r"in use .*repair from a snapshot"):
            blockdiff.repair(disk.path, other, journal=tmp_path / "j")
        with pytest.raises(InvalidInput, match=r"is on .* itself"):
            blockdiff.repair(other, disk.path, journal=place / "j", force=True)
        with pytest.raises(InvalidInput, match=r"is on .* itself"):
            blockdiff.repair(other, disk.backing, journal=place / "j", force=True)
        (place / "j").touch()
        (tmp_path / "link").symlink_to(place / "j")
        with pytest.raises(InvalidInput, match=r"is on .* itself"):
            blockdiff.repair(other, disk.path, journal=tmp_path / "link", force=True)
    finally:
        unmount(place)
    assert not (tmp_path / "j").exists()


def test_undo_with_a_journal_on_the_device_itself_is_refused(make_loop, source, tmp_path):
    disk, place = make_loop(8 * MIB), tmp_path / "mnt"
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", disk.path], check=True)
    new = bytearray(disk.path.read_bytes())
    new[-1] ^= 1
    blockdiff.repair(source(new), disk.path, journal=tmp_path / "j")
    subprocess.run(["mount", disk.path, place], check=True)
    try:
        shutil.copy(tmp_path / "j", place)
        with pytest.raises(InvalidInput, match=r"is on .* itself"):
            blockdiff.undo(place / "j", force=True)
        with pytest.raises(DeviceBusy, match="is mounted on"):
            blockdiff.undo(tmp_path / "j")
    finally:
        unmount(place)
    blockdiff.undo(tmp_path / "j", force=True)
    assert disk.path.read_bytes()[-1] == new[-1] ^ 1


def test_loop_device_of_the_source_is_refused(make_loop, tmp_path):
    disk = make_loop(MIB)
    with pytest.raises(DeviceBusy):
        blockdiff.repair(disk.backing, disk.path, journal=tmp_path / "j")


def test_loop_device_of_the_file_of_a_source_is_refused(tmp_path):
    need_root("losetup", "qemu-img")
    image = tmp_path / "s.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    before = image.read_bytes()
    disk = attach(image)
    try:
        with pytest.raises(DeviceBusy, match="is made of it"):
            blockdiff.repair(image, disk, journal=tmp_path / "j", size="min")
    finally:
        detach(disk)
    assert image.read_bytes() == before


@pytest.mark.slow
def test_rbd_image(ceph, source, tmp_path):
    new, old = contents(9 * MIB)
    image = ceph.image("target", 9 * MIB, old)
    url = ceph.url(image)
    repaired_and_undone(source(new), url, lambda: ceph.content(image), new, old, tmp_path / "j")
    ceph.snapshot(image, "s")
    with pytest.raises(InvalidInput, match="is a snapshot"):
        blockdiff.repair(source(new), ceph.url(image, "s"), journal=tmp_path / "k")
    other = ceph.image("other", 9 * MIB, old)
    blockdiff.repair(source(new), url, journal=tmp_path / "k")
    with pytest.raises(InvalidInput, match="is another device"):
        blockdiff.undo(tmp_path / "k", ceph.url(other))
    assert ceph.content(other) == old


@pytest.mark.slow
def test_nbd_server_that_takes_one_client(nbd, source, tmp_path):
    from tests.fixtures.cli import blockdiff as run

    new, old = contents(9 * MIB)
    path, disk = source(new), tmp_path / "disk"
    disk.write_bytes(old)
    server = nbd.qemu_nbd(disk, read_only=False, shared=1)
    run("verify", "--repair", "--journal", "j", path, server.uri(), expect=0, cwd=tmp_path)
    assert disk.read_bytes() == new
    run("undo", "j", expect=0, cwd=tmp_path)
    server.stop()
    assert disk.read_bytes() == old
    read_only = nbd.qemu_nbd(disk)
    with pytest.raises(UnsupportedOperation, match="reading only"):
        blockdiff.repair(path, read_only.uri(), journal=tmp_path / "k")


@pytest.mark.slow
def test_full_disk_stops_before_anything_is_written(tmpfs_dir, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", small], check=True)
    try:
        new, old = os.urandom(4 * MIB), os.urandom(4 * MIB)
        (tmp_path / "s").write_bytes(new)
        (tmp_path / "d").write_bytes(old)
        with pytest.raises(DeviceError) as error:
            blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=small / "j")
        assert error.value.errno == errno.ENOSPC
        assert (tmp_path / "d").read_bytes() == old
        assert not (small / "j").exists()
    finally:
        unmount(small)


def small_world(**faults):
    """(source, target device, its bytes, storage) in memory."""
    new, old = os.urandom(16 * 4096), os.urandom(16 * 4096)
    power = Power()
    return CrashingDevice(Disk(new, power, "source"), "source"), CrashingDevice(Disk(old, power, "target")), old


ALL = [Extents([(0, 16 * 4096, Kind.DIFF_DATA)])]


class Full(CrashingStorage):
    """A disk that is full after so many bytes, and does not say so before."""

    def write(self, data, offset):
        if offset + len(data) > 60_000:
            raise DeviceError(url=self.name, action="write the journal", offset=offset, errno=errno.ENOSPC)
        super().write(data, offset)


def test_journal_that_cannot_be_written(monkeypatch):
    from blockdiff.engine.repair import pieces

    monkeypatch.setattr(pieces, "BATCH_BYTES", 8192)
    source, target, old = small_world()
    storage = Full(Disk(b"", target.disk.power, "journal"))
    with pytest.raises(DeviceError, match="write the journal") as error:
        Repair(source, target, ALL).run(Journal.create(storage, describe(target)))
    assert error.value.exit_code == 3
    assert target.disk.data != old
    Undo(Journal.open(storage), target).run()
    assert target.disk.data == old


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_target_that_cannot_be_written(code):
    source, target, old = small_world()
    storage = CrashingStorage(Disk(b"", Power(), "journal"))
    bad = FaultDevice(target, faults=[Fault(5 * 4096, 6 * 4096, "write", code)])
    with pytest.raises(DeviceError, match="cannot write"):
        Repair(source, bad, ALL).run(Journal.create(storage, describe(target)))
    Undo(Journal.open(storage), target).run()
    assert target.disk.data == old


def test_undo_that_cannot_write_is_not_marked_as_done():
    source, target, old = small_world()
    storage = CrashingStorage(Disk(b"", Power(), "journal"))
    Repair(source, target, ALL).run(Journal.create(storage, describe(target)))
    bad = FaultDevice(target, faults=[Fault(5 * 4096, 6 * 4096, "write", errno.EIO)])
    with pytest.raises(DeviceError):
        Undo(Journal.open(storage), bad).run()
    assert Journal.open(storage).contents.state == "undoing"
    Undo(Journal.open(storage), target).run()
    assert target.disk.data == old


def test_target_that_does_not_keep_what_is_restored():
    class Forgetful(CrashingDevice):
        def pwrite(self, data, offset):
            pass

    source, target, _ = small_world()
    storage = CrashingStorage(Disk(b"", Power(), "journal"))
    Repair(source, target, ALL).run(Journal.create(storage, describe(target)))
    with pytest.raises(ContentsDoNotMatch, match="not to be trusted"):
        Undo(Journal.open(storage), Forgetful(target.disk)).run()
    assert Journal.open(storage).contents.state == "undoing"


def test_target_that_cannot_be_read_is_not_written():
    source, target, old = small_world()
    storage = CrashingStorage(Disk(b"", Power(), "journal"))
    target.bad = [(8192, 12288)]
    with pytest.raises(DeviceError, match="cannot read"):
        Repair(source, target, ALL).run(Journal.create(storage, describe(target)))
    assert target.disk.data == old


@pytest.fixture
def bad_target(tmp_path):
    """(source, target that cannot be read in places, its device)."""
    new, old = contents(2 * MIB)
    (tmp_path / "s").write_bytes(new)
    target = CrashingDevice(Disk(old, Power(), "target"), "bad")
    target.bad = [(40960, 49152), (MIB, MIB + 4096)]
    return tmp_path / "s", target, new, old


def test_unreadable_ranges_are_left_alone_unless_asked_for(bad_target, tmp_path):
    path, target, new, old = bad_target
    options = blockdiff.ReadOptions(keep_going=True)
    report = blockdiff.repair(path, target, journal=tmp_path / "j", options=options)
    assert not report.identical
    assert report.unreadable_bytes == 8192 + 4096
    assert target.bad
    report = blockdiff.repair(path, target, journal=tmp_path / "j", unreadable=True)
    assert report.identical
    assert not len(report.unreadable)
    assert report.extra["repair"]["without_undo_bytes"] == 8192 + 4096
    assert target.disk.data == new
    done = blockdiff.undo(tmp_path / "j", target)
    assert done.lost_bytes == 8192 + 4096
    wanted = bytearray(old)
    for start, end in ((40960, 49152), (MIB, MIB + 4096)):
        wanted[start:end] = new[start:end]
    assert target.disk.data == wanted


def test_only_whole_blocks_are_written_blindly():
    """What stands beside unreadable bytes in a block would be lost with them."""
    device = CrashingDevice(Disk(bytes(8192 + 100), Power(), "target"), block_size=4096)
    for ranges, written in (
        ([(0, 4096)], 4096),
        ([(4096, 4196)], 4196),
        ([(8192, 100)], 100),
        ([(0, 4000)], 0),
        ([(512, 3584)], 0),
        ([(4096, 4100)], 0),
    ):
        assert Repair(device, device, [], unreadable=Extents(ranges)).unreadable.total() == written


def test_what_can_be_read_again_is_journalled(bad_target, tmp_path, monkeypatch):
    path, target, new, old = bad_target
    inner = session.Repair.run

    def run(self, *arguments, **options):
        target.bad = []
        inner(self, *arguments, **options)

    monkeypatch.setattr(session.Repair, "run", run)
    report = blockdiff.repair(path, target, journal=tmp_path / "j", unreadable=True)
    assert (report.identical, report.extra["repair"]["without_undo_bytes"]) == (True, 0)
    assert target.disk.data == new
    blockdiff.undo(tmp_path / "j", target)
    assert target.disk.data == old


def test_journal_without_anything_in_it_is_not_kept(tmp_path, monkeypatch):
    new, old = contents(2 * MIB)
    for name, data in (("s", new), ("d", old)):
        (tmp_path / name).write_bytes(data)
    inner = session.Repair.run

    def run(self, *arguments, **options):
        (tmp_path / "d").write_bytes(new)
        inner(self, *arguments, **options)

    monkeypatch.setattr(session.Repair, "run", run)
    report = blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    assert report.identical
    assert report.extra["repair"]["journal"] is None
    assert not (tmp_path / "j").exists()


def test_undo_flushes_what_an_undo_before_it_has_written():
    source, target, old = small_world()
    storage = CrashingStorage(Disk(b"", Power(), "journal"))
    Repair(source, target, ALL).run(Journal.create(storage, describe(target)))
    target.disk.put(old, 0)
    Undo(Journal.open(storage), target).run()
    assert target.disk.safe == old


def test_unreadable_source_is_never_written(tmp_path):
    new, old = contents(2 * MIB)
    source = CrashingDevice(Disk(new, Power(), "source"), "source")
    source.bad = [(40960, 49152)]
    (tmp_path / "d").write_bytes(old)
    report = blockdiff.repair(source, tmp_path / "d", journal=tmp_path / "j", unreadable=True)
    assert not report.identical
    assert report.unreadable_bytes == 8192
    assert (tmp_path / "d").read_bytes()[40960:49152] == old[40960:49152]


@pytest.mark.parametrize(("changed", "words"), [("s", "repair from"), ("d", "repair")])
def test_what_changes_meanwhile_is_refused(tmp_path, monkeypatch, changed, words):
    new, old = contents(2 * MIB)
    for name, data in (("s", new), ("d", old)):
        (tmp_path / name).write_bytes(data)
    inner = session.Repair.plan

    def plan(self):
        with open(tmp_path / changed, "r+b") as file:
            file.write(b"changed")
        return inner(self)

    monkeypatch.setattr(session.Repair, "plan", plan)
    with pytest.raises(DeviceError, match=rf"cannot {words} /.*nothing was written"):
        blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    assert (tmp_path / "d").read_bytes()[7:] == old[7:]
    assert not (tmp_path / "j").exists()


def test_two_at_once(tmp_path):
    new, old = contents(MIB)
    for name, data in (("s", new), ("d", old)):
        (tmp_path / name).write_bytes(data)
    blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    with blockdiff.open_device(tmp_path / "d", writable=True) as device:
        hold(device)
        with pytest.raises(DeviceBusy, match="another repair or undo is at work on it"):
            blockdiff.undo(tmp_path / "j")
        with pytest.raises(DeviceBusy, match="another repair or undo is at work on it"):
            blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "other")
        assert (tmp_path / "d").read_bytes() == new
        blockdiff.undo(tmp_path / "j", force=True)
    assert (tmp_path / "d").read_bytes() == old


def test_open_devices_that_are_one_are_refused(make_loop, tmp_path):
    disk = make_loop(MIB)
    with (
        blockdiff.open_device(disk.backing) as one,
        blockdiff.open_device(disk.path, writable=True) as other,
        pytest.raises(DeviceBusy, match="storage in common"),
    ):
        blockdiff.repair(one, other, journal=tmp_path / "j")


def test_journal_that_goes_on_with_another_source(tmp_path):
    """The first repair's old bytes come back, whatever the second one overwrote."""
    new, old = contents(MIB)
    (tmp_path / "d").write_bytes(old)
    (tmp_path / "s").write_bytes(new)
    blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    other = bytearray(new)
    other[2048:6000] = b"y" * 3952
    other[-100:] = bytes(100)
    (tmp_path / "s").write_bytes(other)
    blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    assert (tmp_path / "d").read_bytes() == other
    assert blockdiff.undo(tmp_path / "j").restored_bytes > 0
    assert (tmp_path / "d").read_bytes() == old


def test_source_that_changes_during_the_repair_is_never_called_identical(tmp_path, monkeypatch):
    new, old = contents(2 * MIB)
    for name, data in (("s", new), ("d", old)):
        (tmp_path / name).write_bytes(data)
    inner = session.Repair.run

    def run(self, *arguments, **options):
        inner(self, *arguments, **options)
        with open(tmp_path / "s", "r+b") as file:
            file.write(b"changed")

    monkeypatch.setattr(session.Repair, "run", run)
    report = blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    assert not report.identical
    assert any("of several moments" in text for text in report.warnings)


def test_plan_and_undo_plan_of_the_api(tmp_path):
    new, old = contents(MIB)
    for name, data in (("s", new), ("d", old)):
        (tmp_path / name).write_bytes(data)
    report = blockdiff.repair(tmp_path / "s", tmp_path / "d", plan=True, journal=tmp_path / "j")
    assert report.extra["repair"]["ranges"] == 4
    assert not (tmp_path / "j").exists()
    blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j", extents=Extents([(0, 8192)]))
    done = blockdiff.undo(tmp_path / "j", plan=True)
    assert (done.differing_bytes, done.restored_bytes, done.state) == (4096, 0, "repaired")
    assert blockdiff.undo(tmp_path / "j").restored_bytes == 4096
    assert (tmp_path / "d").read_bytes() == old
