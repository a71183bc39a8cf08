"""Beyond so many ranges the written ones are joined over gaps, and the gaps of a list were then called corrupt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import blockdiff
from blockdiff import Extents
from blockdiff.engine import written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_gaps_of_a_list_are_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, changed: bool, streamed: bool
) -> None:
    monkeypatch.setattr(written, "MAX_WRITTEN", 8)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new!" * 65536)
    target.write_bytes(b"old." * 65536)
    listed = Extents([(at, 4096) for at in range(0, 262_144, 8192)])
    report = blockdiff.copy(
        source, target, extents=iter([listed]) if streamed else listed, changed=changed, verify=True
    )
    assert report.extra["verified"] is True
    assert report.extra["verified_bytes"] == listed.total()
    assert target.read_bytes() == (b"new!" * 1024 + b"old." * 1024) * 32
