"""Offsets near 2^63 overflowed the grid of tasks and granules: planning never ended and took all memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import blockdiff
from blockdiff import Extents, ReadOptions
from blockdiff._fast import SEG_COMPARE, judge_buffers, split_plan

TOP = (1 << 63) - 1


def test_split_plan_ends() -> None:
    plan = Extents([(TOP - 20_000, 20_000, SEG_COMPARE)])
    tasks = split_plan(plan, 8192)
    assert tasks[0].start == plan.start
    assert tasks[-1].end == TOP
    assert sum(task.total() for task in tasks) == 20_000


def test_last_granule() -> None:
    found = judge_buffers(SEG_COMPARE, bytes(100), b"x" * 100, TOP - 100, granularity=4096)
    assert [(e.offset, e.length) for e in found] == [(TOP - 100, 100)]


@pytest.mark.parametrize("read", ["auto", "buffered", "mmap"])
def test_the_largest_file(read: str) -> None:
    base = Path("/dev/shm")  # the one file system at hand that has files of this size
    if not os.access(base, os.W_OK):
        pytest.skip("needs a tmpfs on /dev/shm")
    paths = [base / f"blockdiff-{os.getpid()}-{name}" for name in "ab"]
    offset = TOP - 16_383
    try:
        for path in paths:
            with path.open("wb") as file:
                file.truncate(TOP)
        with paths[0].open("r+b") as file:
            os.pwrite(file.fileno(), b"x", offset)
        report = blockdiff.verify(*paths, options=ReadOptions(read=read, granularity=512))
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    assert [(e.offset, e.length) for e in report.differences] == [(offset - offset % 512, 512)]
