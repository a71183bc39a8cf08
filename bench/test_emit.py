"""Writing and reading 1 M extents as JSON, in process, in the Kubernetes lister's form (about 50 MB)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from bench import runner, targets
from bench.peers import WrongAnswer, expect
from bench.runner import Call
from blockdiff._fast import Extents, Template, format_extents

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.result import Racer, Result
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

ITEM = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")


class Item(msgspec.Struct):
    byte_offset: int
    size_bytes: int


@pytest.fixture(scope="module")
def extents(chosen: Setting) -> Extents:
    rng = np.random.Generator(np.random.PCG64(3))
    lengths = rng.integers(1, 17, chosen.entries, dtype=np.int64) * 4096
    offsets = np.cumsum(lengths + 4096) - lengths
    return Extents.from_arrays(offsets, lengths)


@pytest.fixture
def devnull() -> int:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)
