"""What a device is known by: kept over renaming, lost when it is made again."""

import os
import types

import pytest

from blockdiff.engine.ledger import identity
from blockdiff.engine.ledger.identity import birth, disk_name, is_lasting, volume_identity
from blockdiff.engine.registry import open_device
from tests.fixtures.inprocess import memory


def of(path):
    with open_device(path) as device:
        return volume_identity(device)


def test_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    before = of(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert of(tmp_path / "b") == before
    (tmp_path / "b").write_bytes(b"more")
    assert of(tmp_path / "b") == before
    os.link(tmp_path / "b", tmp_path / "c")
    (tmp_path / "b").unlink()
    assert of(tmp_path / "c") == before
    (tmp_path / "c").unlink()
    (tmp_path / "c").write_bytes(b"more")
    assert of(tmp_path / "c") != before
    assert is_lasting(before)


def test_without_a_time_of_birth(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.setattr(identity, "birth", lambda fd: "")
    status = (tmp_path / "a").stat()
    assert of(tmp_path / "a") == f"file/{status.st_dev}/{status.st_ino}"


def test_no_birth_of_nothing():
    assert birth(-1) == ""


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "_SYSFS", str(tmp_path))

    def make(number, **lines):
        place = tmp_path / f"{os.major(number)}:{os.minor(number)}"
        for name, text in lines.items():
            where = place / name.replace("__", "/")
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(text + "\n")

    return make


def test_disks(sysfs):
    sysfs(os.makedev(253, 0), dm__uuid="LVM-abc")
    sysfs(os.makedev(259, 0), wwid="eui.1")
    sysfs(os.makedev(8, 0), device__serial="  S 1 ")
    assert disk_name(os.makedev(253, 0)) == "dm/uuid/LVM-abc"
    assert disk_name(os.makedev(259, 0)) == "wwid/eui.1"
    assert disk_name(os.makedev(8, 0)) == "device/serial/S 1"
    assert disk_name(os.makedev(8, 16)) == ""


def test_a_disk_that_says_nothing(sysfs):
    device = types.SimpleNamespace(identity=("block", os.makedev(8, 16), 0), url="/dev/sdb", fileno=lambda: None)
    assert volume_identity(device) == f"block/{os.makedev(8, 16)}/0"
    assert not is_lasting(volume_identity(device))
    assert is_lasting("block/wwid/eui.1")


def test_none():
    assert volume_identity(memory(b"x")) == ""
