"""Pictures become extents, bytes and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blockdiff._fast import Extents
from blockdiff.backends.file import open_device
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind
from blockdiff.testing import MemoryDevice, content, extents, image

if TYPE_CHECKING:
    from pathlib import Path


def test_extents() -> None:
    assert extents("A0-", 10) == Extents([(0, 10, Kind.DATA), (10, 10, Kind.ZERO), (20, 10, Kind.HOLE)])
    assert extents("Ab. A", 1) == Extents([(0, 2), (3, 1)])
    assert len(extents("")) == 0
    with pytest.raises(InvalidInput):
        extents("A?")


def test_content() -> None:
    assert content("Ab0-", 2) == b"AAbb\0\0\0\0"


def test_image(any_dir: Path) -> None:
    expected = image("64k:A 128k:- 64k:0 777:B", any_dir / "image")
    assert [(e.length, e.kind.label) for e in expected] == [
        (65536, "data"),
        (131072, "hole"),
        (65536, "zero"),
        (777, "data"),
    ]
    data = (any_dir / "image").read_bytes()
    assert data == b"A" * 65536 + bytes(196608) + b"B" * 777
    with open_device(any_dir / "image") as device:
        found = [e for batch in device.extents() for e in batch]
    assert [(e.offset, e.length, e.kind) for e in found] == [(0, 65536, 0), (65536, 131072, 2), (196608, 66313, 0)]


@pytest.mark.parametrize("picture", ["A", "1x:A", "-1:A", "1k:", "1k:AB"])
def test_bad_images(tmp_path: Path, picture: str) -> None:
    with pytest.raises(InvalidInput):
        image(picture, tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_memory_device_knows_what_it_is_told() -> None:
    device = MemoryDevice(10, known=Extents([(2, 3, Kind.HOLE)]))
    assert [tuple(e) for batch in device.extents(1, 8) for e in batch] == [(1, 1, 0), (2, 3, 2), (5, 4, 0)]
