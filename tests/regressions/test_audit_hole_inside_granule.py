"""A granule that held data and a hole was compared with a device that is not there: the process crashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import blockdiff
from blockdiff import Extents, InvalidInput, ReadOptions
from blockdiff._fast import SEG_COMPARE, SEG_DST_HOLE, Reader

if TYPE_CHECKING:
    from pathlib import Path


def test_allocated_audit_scans_a_granule_of_data_and_hole(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(70_000)
        file.write(b"x")
    report = blockdiff.audit(None, image, Extents([(0, 1 << 20)]), options=ReadOptions(granularity=65536))
    assert report.correct
    assert report.totals.changed_bytes == 65536
    assert report.totals.over_reported_bytes == (1 << 20) - 65536


def test_reader_refuses_a_plan_for_a_side_that_it_lacks(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * 8192)
    with image.open("rb") as file:
        reader = Reader((file.fileno(), -1, 8192, 512, "buffered"), None, granularity=4096)
        with pytest.raises(InvalidInput, match="side 1"):
            reader.run(Extents([(0, 8192, SEG_COMPARE)]))
        found, _ = reader.run(Extents([(0, 8192, SEG_DST_HOLE)]))
    assert found.total() == 8192
