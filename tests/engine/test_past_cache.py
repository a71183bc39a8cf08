"""Asynchronous reads past the page cache: right in every chunk. Contexts are used again, by this process only."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path

import pytest

import blockdiff
from blockdiff import ReadOptions
from tests import oracle
from tests.fixtures.images import write_image
from tests.fixtures.inprocess import found

SIZE = (24 << 20) + 12345  # more chunks than are read one by one, and a tail that is not aligned


@pytest.fixture
def pair(ext4_dir):
    rng = random.Random(11)
    a = rng.randbytes(SIZE)
    b = bytearray(a)
    for spot in (0, *(rng.randrange(SIZE) for _ in range(30)), SIZE - 1):
        b[spot] ^= 0x5A
    return write_image(ext4_dir / "a", a), write_image(ext4_dir / "b", bytes(b))


def right(pair, workers=2):
    report = blockdiff.verify(*pair, options=ReadOptions(read="direct", workers=workers))
    assert report.source.bytes_by_path["direct"] > SIZE - 4096
    return found(report.differences) == oracle.differences(pair[0].read_bytes(), pair[1].read_bytes())


def contexts():
    """The kernel maps a ring of events for each."""
    return Path("/proc/self/maps").read_text().count("[aio]")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_differences_are_found(pair, workers):
    assert right(pair, workers)


def test_contexts_are_used_again(pair):
    assert right(pair)
    before = contexts()
    assert before >= 1
    for _ in range(5):
        assert right(pair)
    assert contexts() <= before + 1  # of two workers one may have been done before the other began


def test_a_child_makes_its_own(pair):
    assert right(pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads; those are idle
        child = os.fork()
    if not child:
        code = 1
        try:
            inherited = contexts()
            code = 0 if right(pair) and contexts() > inherited else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert right(pair)
