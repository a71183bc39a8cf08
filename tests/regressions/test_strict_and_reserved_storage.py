"""``--strict`` did not see that storage reserved by fallocate is allocated, and a hole is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import blockdiff
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from tests.fixtures.storage import Mounts

MIB = 1 << 20


@pytest.mark.parametrize("name", ["ext4", "xfs"])
def test_a_hole_and_reserved_storage_differ(mounts: Mounts, name: str) -> None:
    place = mounts.directory(name)
    hole, reserved = place / "hole", place / "reserved"
    for path in (hole, reserved):
        path.write_bytes(b"data" * 1024)
        os.truncate(path, MIB)
    with reserved.open("r+b") as file:
        os.posix_fallocate(file.fileno(), MIB // 2, MIB // 4)
    assert blockdiff.verify(hole, reserved).identical
    assert blockdiff.verify(reserved, reserved.parent / "hole", strict=True).bytes_by_class == {"dst-hole": MIB // 4}
    report = blockdiff.verify(hole, reserved, strict=True)
    assert [(e.offset, e.length, e.kind) for e in report.differences] == [(MIB // 2, MIB // 4, Kind.SRC_HOLE)]
