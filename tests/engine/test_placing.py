"""Small files appear whole or not at all, and nothing is overwritten by mistake."""

import os
import stat

import pytest

from blockdiff.engine.placing import check_place, place_file
from blockdiff.errors import InvalidInput, OutputError


def test_a_new_file(tmp_path):
    place_file(str(tmp_path / "x"), b"data", mode=0o600)
    assert (tmp_path / "x").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x"]


def test_permissions_are_those_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        place_file(str(tmp_path / "x"), b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(InvalidInput, match="exists already"):
        place_file(str(tmp_path / "x"), b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    place_file(str(tmp_path / "x"), b"new", replace=True)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_that_appears_meanwhile_stays(tmp_path, monkeypatch):
    fsync = os.fsync

    def appears(number):
        (tmp_path / "x").write_bytes(b"theirs")
        fsync(number)

    monkeypatch.setattr(os, "fsync", appears)
    with pytest.raises(InvalidInput, match="exists already"):
        place_file(str(tmp_path / "x"), b"ours")
    assert (tmp_path / "x").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def link(one, other):
        raise PermissionError(1, "no links")

    monkeypatch.setattr(os, "link", link)
    place_file(str(tmp_path / "x"), b"data")
    with pytest.raises(InvalidInput):
        place_file(str(tmp_path / "x"), b"new")
    assert (tmp_path / "x").read_bytes() == b"data"


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_is_no_file_is_not_replaced(kind, tmp_path):
    path = tmp_path / "x"
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        os.mkfifo(path)
    for replace in (False, True):
        with pytest.raises(InvalidInput):
            check_place(str(path), replace=replace)


def test_no_directory(tmp_path):
    with pytest.raises(InvalidInput, match="there is no directory"):
        check_place(str(tmp_path / "none" / "x"))


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fsync(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match="No space left"):
        place_file(str(tmp_path / "x"), b"data")
    assert os.listdir(tmp_path) == []
