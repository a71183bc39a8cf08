"""Block devices have aliases: the page cache of the device and those of the file systems on it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import blockdiff
from tests.fixtures.storage import unmount

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.storage import MakeLoop

MIB = 1 << 20


def test_a_stale_device_cache_does_not_hide_what_a_file_system_wrote(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A held descriptor keeps the device's cached pages; the file system's writes go past them."""
    disk, copy = make_loop(32 * MIB), make_loop(32 * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk.path], check=True)
    place = tmp_path / "mnt"
    place.mkdir()
    with disk.path.open("rb") as holder:
        copy.path.write_bytes(holder.read())
        os.sync()
        assert blockdiff.verify(disk.path, copy.path).identical
        subprocess.run(["mount", disk.path, place], check=True)
        try:
            warned = blockdiff.verify(disk.path, copy.path).warnings
            (place / "file").write_bytes(os.urandom(MIB))
            os.sync()
            assert not blockdiff.verify(disk.path, copy.path).identical
        finally:
            unmount(place)
        report = blockdiff.verify(disk.path, copy.path)
    assert any("in use" in text and "mounted" in text for text in warned)
    assert report.differing_bytes >= MIB
    assert report.source.read_path == report.target.read_path == "direct"
