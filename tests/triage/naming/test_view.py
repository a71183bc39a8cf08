"""A partition as a file of its own: in each of the ways, without a trace, and refused where it would be too much."""

import os
import random

import pytest

from blockdiff.engine.registry import open_device
from blockdiff.triage.naming import view
from blockdiff.triage.naming.tool import ToolFailed
from blockdiff.triage.naming.view import partition_view
from tests.fixtures.filesystems import run
from tests.fixtures.storage import attach, detach, need_root

MIB = 1 << 20
DATA = random.Random(1).randbytes(3 * MIB + 512)


def check(path, start, length):
    with open_device(f"file:{path}") as device, partition_view(device, start, length) as fd:
        assert os.pread(fd, len(DATA) + 1, 0)[: len(DATA)] == DATA
        assert os.lseek(fd, 0, os.SEEK_END) == length
        kept = fd
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(kept)


def image(path):
    with path.open("wb") as file:
        file.seek(MIB)
        file.write(DATA)
        file.truncate(MIB + len(DATA))
    return path


def test_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(view, "_cloned", lambda *_: None)
    check(image(tmp_path / "disk"), MIB, len(DATA))
    assert os.listdir(tmp_path) == ["disk"]


@pytest.mark.parametrize("name", ["xfs", "btrfs"])
def test_a_clone_where_blocks_can_be_shared(mounts, name, monkeypatch):
    monkeypatch.setattr(view, "COPIED", 0)
    place = mounts.directory(name)
    check(image(place / "disk"), MIB, len(DATA))
    assert os.listdir(place) == ["disk"]


def test_too_much_to_copy_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(view, "_cloned", lambda *_: None)
    monkeypatch.setattr(view, "COPIED", MIB)
    device = open_device(f"file:{image(tmp_path / 'disk')}")
    with device, pytest.raises(ToolFailed, match="too many to copy"), partition_view(device, MIB, len(DATA)):
        pass


@pytest.mark.root
def test_the_partition_that_the_kernel_knows(tmp_path, monkeypatch):
    need_root("losetup", "addpart")
    monkeypatch.setattr(view, "COPIED", 0)
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(8 * MIB)
    with disk.open("r+b") as file:
        file.seek(MIB)
        file.write(DATA)
    device = attach(disk)
    run("addpart", device, 1, 2048, 8192)  # not every kernel reads every table
    try:
        check(device, MIB, 4 * MIB)
        with open_device(device) as whole, pytest.raises(ToolFailed), partition_view(whole, MIB, 3 * MIB):
            pass
    finally:
        run("delpart", device, 1)
        detach(device)
