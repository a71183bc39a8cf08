"""Where a process may have no more threads, comparing ended in an internal error."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import blockdiff
from blockdiff import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_fewer_threads_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"a" * (40 * MIB))
    b.write_bytes(b"a" * (20 * MIB) + b"b" + b"a" * (20 * MIB - 1))
    start, started = threading.Thread.start, []

    def limited(self: threading.Thread) -> None:
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    report = blockdiff.verify(a, b, options=ReadOptions(workers=4))
    assert [(e.offset, e.length) for e in report.differences] == [(20 * MIB, 4096)]
    assert report.bytes_compared == 40 * MIB
    assert len(started) == allowed
