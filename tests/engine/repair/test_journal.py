"""The journal's file: what is refused and why, where it is made, what is known of its device."""

import errno
import json
import os
import struct
import subprocess

import pytest

import blockdiff
from blockdiff.engine.repair import identity, layout, place, storage
from blockdiff.engine.repair.journal import open_journal
from blockdiff.engine.repair.layout import NEW_ZERO, Entry, Slot
from blockdiff.engine.repair.storage import FileStorage
from blockdiff.engine.repair.undoing import show_journal
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput

SIZE = 100_000


@pytest.fixture
def files(tmp_path):
    (tmp_path / "s").write_bytes(b"s" * SIZE)
    (tmp_path / "d").write_bytes(b"d" * SIZE)
    blockdiff.repair(tmp_path / "s", tmp_path / "d", journal=tmp_path / "j")
    return tmp_path


def change(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_another_version(files):
    change(files / "j", 8, struct.pack("<I", 2))
    with pytest.raises(InvalidInput, match="of version 2: this blockdiff knows version 1"):
        blockdiff.undo(files / "j")


@pytest.mark.parametrize(
    ("at", "words"),
    [
        pytest.param(0, "no undo journal", id="magic"),
        pytest.param(40, "header does not match", id="header"),
        pytest.param(layout.FIRST + 3, "record at byte 24576", id="first record"),
        pytest.param(-1, "is missing or changed", id="last byte"),
    ],
)
def test_damage_is_told(files, at, words):
    at %= (files / "j").stat().st_size
    byte = (files / "j").read_bytes()[at]
    change(files / "j", at, bytes([byte ^ 4]))
    with pytest.raises(InvalidInput, match=words):
        blockdiff.undo(files / "j")
    with pytest.raises(InvalidInput, match=words):
        show_journal(files / "j")
    assert (files / "d").read_bytes() == b"s" * SIZE


@pytest.mark.parametrize("cut", [1, 100, 50_000, SIZE + 2000])
def test_a_journal_that_was_cut_is_refused(files, cut):
    size = (files / "j").stat().st_size
    os.truncate(files / "j", max(0, size - cut))
    with pytest.raises(InvalidInput, match=r"missing|ends before"):
        blockdiff.undo(files / "j")
    assert (files / "d").read_bytes() == b"s" * SIZE


def test_slots_survive_each_other():
    number = b"n" * 16
    slot = Slot(3, 2, 30000, layout.REPAIRED, 1)
    data = layout.encode_slot(number, slot)
    assert layout.decode_slot(number, data) == slot
    assert layout.decode_slot(b"m" * 16, data) is None
    assert layout.decode_slot(number, data[:-1]) is None
    assert max(slot, slot._replace(generation=4, frames=0)).generation == 4


@pytest.mark.parametrize(
    ("offset", "length", "flags"),
    [(1, 511, 0), (0, 100, 0), (512, 0, 0), (0, 512, 16), (SIZE - SIZE % 512, 512, 0), (1 << 40, 512, 0)],
)
def test_entries_that_cannot_be(offset, length, flags):
    entry = Entry(offset, length, flags, bytes(8 * layout.sectors(length)), bytes(length))
    body = memoryview(b"".join(bytes(part) for part in layout.encode_entries([entry])))
    with pytest.raises(InvalidInput, match="cannot be"):
        layout.decode_entries(body, 1, SIZE)


def test_entries_of_another_length():
    body = memoryview(b"".join(bytes(part) for part in layout.encode_entries([Entry(0, 512, 0, bytes(8), bytes(512))])))
    with pytest.raises(InvalidInput, match="longer than its frame"):
        layout.decode_entries(body, 1000, SIZE)
    with pytest.raises(InvalidInput, match="another length"):
        layout.decode_entries(memoryview(bytes(body) + b"x"), 1, SIZE)


def refuse(number):
    def fail(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return fail


def made_and_used(path):
    journal = open_journal(os.fspath(path), {"name": "d", "url": "d", "size": 512, "identity": {}})
    journal.begin({"source": "s"})
    journal.add([Entry(0, 512, layout.OLD_ZERO, bytes(8), b"")])
    assert journal.settle()
    about, ranges = show_journal(path)
    assert (about["state"], len(list(ranges))) == ("open", 1)


def test_file_systems_without_nameless_files(tmp_path, monkeypatch):
    plain = os.open

    def opened(path, flags, *more):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return plain(path, flags, *more)

    monkeypatch.setattr(storage.os, "open", opened)
    made_and_used(tmp_path / "j")


def test_file_systems_that_cannot_name_a_nameless_file(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.os, "link", refuse(errno.EXDEV))
    made_and_used(tmp_path / "j")
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_taken_meanwhile(tmp_path):
    made = FileStorage.create(os.fspath(tmp_path / "j"))
    (tmp_path / "j").write_text("mine")
    with pytest.raises(InvalidInput, match="never overwrites"):
        made.publish()
    made.close()
    with pytest.raises(InvalidInput, match="never overwrites"):
        FileStorage.create(os.fspath(tmp_path / "j"))
    assert (tmp_path / "j").read_text() == "mine"


def test_no_space_is_told_before_anything_is_written(tmp_path, monkeypatch):
    made = FileStorage.create(os.fspath(tmp_path / "j"))
    monkeypatch.setattr(storage._fast, "fallocate", refuse(errno.EOPNOTSUPP))
    made.reserve(0, 1 << 20)
    with pytest.raises(DeviceError, match="No space left"):
        made.reserve(0, 1 << 60)
    monkeypatch.setattr(storage._fast, "fallocate", refuse(errno.ENOSPC))
    with pytest.raises(DeviceError, match="No space left"):
        made.reserve(0, 1)
    made.close()


def test_a_flush_reaches_the_disk_and_so_does_the_name(tmp_path, monkeypatch):
    """In this order: what is written, then the name of it; the name at the latest before anything is overwritten."""
    asked = []
    for name in ("fdatasync", "fsync"):
        inner = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda fd, inner=inner: (asked.append(os.readlink(f"/proc/self/fd/{fd}")), inner(fd))
        )
    (tmp_path / "d").write_bytes(b"x" * 512)
    with blockdiff.open_device(tmp_path / "d") as device:
        made = open_journal(os.fspath(tmp_path / "j"), identity.describe(device))
    *content, directory = asked
    assert content
    assert all(name.startswith(f"{tmp_path}/") for name in content)
    assert directory == str(tmp_path)
    for step in (lambda: made.begin({}), lambda: made.add([Entry(0, 512, NEW_ZERO, b"", b"x" * 512)])):
        asked.clear()
        step()
        assert asked == [str(tmp_path / "j")] * 2
    made.settle()


def test_directories_of_journals(tmp_path, monkeypatch):
    monkeypatch.delenv("BLOCKDIFF_JOURNALS", raising=False)
    monkeypatch.setattr(place.os, "geteuid", lambda: 0)
    assert place.journal_directory() == "/var/lib/blockdiff/journals"
    monkeypatch.setattr(place.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert place.journal_directory() == "/state/blockdiff/journals"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/a")
    assert place.journal_directory() == "/home/a/.local/state/blockdiff/journals"
    monkeypatch.setenv("BLOCKDIFF_JOURNALS", str(tmp_path / "new" / "j"))
    (tmp_path / "a b.img").write_bytes(b"x" * 512)
    with blockdiff.open_device(tmp_path / "a b.img") as device:
        names = {place.default_journal(device) for _ in range(5)}
    assert len(names) == 5
    assert all(os.path.basename(name).startswith("a-b.img-2") for name in names)
    assert (tmp_path / "new" / "j").stat().st_mode & 0o777 == 0o700
    synced = []
    monkeypatch.setattr(place.os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setenv("BLOCKDIFF_JOURNALS", str(tmp_path / "new" / "k" / "l"))
    with blockdiff.open_device(tmp_path / "a b.img") as device:
        place.default_journal(device)
    assert synced == [str(tmp_path / "new"), str(tmp_path / "new" / "k")]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BLOCKDIFF_JOURNALS", str(tmp_path / "file" / "j"))
    with pytest.raises(DeviceError, match="make a journal in"):
        place.check_place(None, device, {})


def test_a_journal_is_of_its_device_after_a_restart(files):
    """The number of a file system may be another one then; the inode is not."""
    described = identity.describe(blockdiff.open_device(files / "d"))
    assert described["identity"] == {"kind": "file", "inode": str((files / "d").stat().st_ino)}
    assert described["name"] == str(files / "d")
    assert not identity.differences(described, described)
    assert "its size was" in identity.differences(described, {**described, "size": 1})[0]
    other = {**described, "identity": {"kind": "block", "wwid": "1"}}
    assert identity.differences(described, other) == ["its kind was file and is block"]


def test_a_block_device_is_known_by_more_than_its_name(make_loop):
    device = make_loop(1 << 20)
    with blockdiff.open_device(device.path) as opened:
        facts = identity.describe(opened)["identity"]
    assert facts == {"kind": "block", "loop-backing_file": str(device.backing)}


def test_undo_of_two_processes(files):
    held = FileStorage.open(os.fspath(files / "j"), writable=True)
    with pytest.raises(DeviceBusy, match="in use by another"):
        blockdiff.undo(files / "j")
    held.close()
    assert blockdiff.undo(files / "j").restored_bytes == SIZE


def test_journal_that_cannot_be_marked_stops_before_writing(files):
    os.chmod(files / "j", 0o400)
    if os.geteuid() == 0:
        subprocess.run(["chattr", "+i", files / "j"], check=True)
    try:
        with pytest.raises(DeviceError, match="open the journal"):
            blockdiff.undo(files / "j")
        assert show_journal(files / "j")[0]["state"] == "repaired"
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", files / "j"], check=True)
    assert (files / "d").read_bytes() == b"s" * SIZE


def test_header_text_is_json(files):
    data = (files / "j").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    assert set(json.loads(data[32 : 32 + length])) == {"device", "created"}
