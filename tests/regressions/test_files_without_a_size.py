"""Two files of /proc, which say that they are empty, were identical."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import blockdiff
from blockdiff import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_does_not_tell_its_size_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(InvalidInput, match="does not tell its size"):
        blockdiff.verify("/proc/cpuinfo", empty)


def test_an_empty_file_is_an_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    assert blockdiff.verify(tmp_path / "a", tmp_path / "b").identical
