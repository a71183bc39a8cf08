"""Files without a name, also where no directory takes one."""

import os
import tempfile

import pytest

from blockdiff.engine.scratch import scratch_file
from blockdiff.errors import OutputError


@pytest.mark.parametrize("place", ["a directory", "nowhere"])
def test_a_file(tmp_path, monkeypatch, place):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path if place == "a directory" else tmp_path / "nowhere"))
    with scratch_file("blockdiff-") as file:
        file.write(b"content")
        file.flush()
        assert os.pread(file.fileno(), 100, 0) == b"content"
        file.seek(0)
        assert file.read() == b"content"
    assert list(tmp_path.iterdir()) == []


def test_nowhere_at_all(tmp_path, monkeypatch):
    def refuse(name):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(OutputError, match="cannot make a temporary file: No such file or directory"):
        scratch_file("blockdiff-")
