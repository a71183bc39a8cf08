"""Two logical volumes of one disk could not be copied to each other, and a misspelt device became a file in /dev."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import blockdiff
from blockdiff.backends.file import open_device
from blockdiff.backends.inuse import Place
from blockdiff.errors import DeviceBusy, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

DISK = ("block", 2048, 0)


def test_two_volumes_somewhere_on_one_disk_are_apart() -> None:
    somewhere = Place(DISK, 0, 1 << 63, certain=False)
    assert not somewhere.overlaps(Place(DISK, 0, 1 << 63, certain=False))
    assert somewhere.overlaps(Place(DISK, 1 << 20, 2 << 20))
    assert Place(DISK, 1 << 20, 2 << 20).overlaps(somewhere)


def test_refusal_to_write_the_source_promises_no_override(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * 4096)
    with pytest.raises(DeviceBusy) as refusal:
        blockdiff.copy(image, image, force=True)
    assert "--force" not in str(refusal.value)
    assert image.read_bytes() == b"x" * 4096


@pytest.mark.parametrize("name", ["/dev/no-such-disk", "/dev/block/../no-such-disk"])
def test_no_file_is_made_among_the_devices(name: str) -> None:
    with pytest.raises(InvalidInput, match="among the devices"):
        open_device(name, writable=True, create_size=4096)
    assert not os.path.lexists(name)
