"""Memory does not grow with the devices, the differences or the workers."""

import os
import subprocess
import sys

import pytest

from tests.fixtures.cli import COMMAND

MIB = 1 << 20
LIMIT = 64 << 10  # KiB above the bare interpreter
READS = ["auto", "direct", "buffered", "mmap"]

# A child's peak begins as its parent's, and pytest is big: somebody small must start it.
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""

pytestmark = pytest.mark.unsanitized


def peak(*command):
    """(exit code, peak resident memory in KiB)."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *map(os.fspath, command)], capture_output=True, text=True, check=True
    )
    code, size = map(int, done.stdout.split())
    return code, size


def above_bare(*arguments, expect):
    code, size = peak(*COMMAND, *arguments)
    assert code == expect
    bare_code, bare = peak(sys.executable, "-c", "pass")
    assert bare_code == 0
    return size - bare


def alternating(path, data, size, byte):
    """Every second sector is ``byte``; ``data`` bytes of them, in pieces of 64 MiB spread over ``size``."""
    block = (byte * 512 + b"=" * 512) * (MIB // 1024)
    with path.open("wb") as file:
        file.truncate(size)
        count = data // (64 * MIB)
        for piece in range(count):
            file.seek(size // count * piece)
            for _ in range(64):
                file.write(block)
    return path


@pytest.fixture(scope="module")
def sparse_pair(tmp_path_factory):
    """16 GiB, sparse, with 1 GiB of data and a million differences."""
    directory = tmp_path_factory.mktemp("sparse")
    yield tuple(alternating(directory / name, 1024 * MIB, 16 << 30, name.encode()) for name in "ab")
    for name in "ab":
        (directory / name).unlink()


@pytest.fixture(scope="module")
def small_pair(tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    return tuple(alternating(directory / name, 128 * MIB, 1 << 30, name.encode()) for name in "ab")


@pytest.mark.parametrize("read", READS)
def test_many_differences(small_pair, read):
    words = ["verify", *small_pair, "--granularity", "512", "--read", read, "--workers", "8", "-o", "json"]
    assert above_bare(*words, expect=1) < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("output", ["json", "human"])
@pytest.mark.parametrize("workers", ["1", "8"])
@pytest.mark.parametrize("read", READS)
def test_a_million_differences(sparse_pair, read, workers, output):
    words = ["verify", *sparse_pair, "--granularity", "512", "--read", read, "--workers", workers, "-o", output]
    assert above_bare(*words, expect=1) < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["diff", "map", "audit"])
def test_other_commands(sparse_pair, tmp_path, command):
    a, b = sparse_pair
    if command == "audit":
        with (tmp_path / "list").open("w") as file:
            subprocess.run([*COMMAND, "diff", a, b, "--granularity", "512", "-o", "json"], stdout=file, check=True)
    words = {
        "diff": ["diff", a, b, "--granularity", "512", "-o", "json"],
        "map": ["map", a, "--zeroes", "--granularity", "512", "-o", "json"],
        "audit": ["audit", a, b, "--extents", tmp_path / "list", "--granularity", "512", "-o", "json"],
    }[command]
    assert above_bare(*words, expect=0) < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [["--changed", "--verify"], ["--verify"]], ids=" ".join)
def test_copy(sparse_pair, tmp_path, options):
    target = tmp_path / "target"
    subprocess.run(["cp", "--sparse=always", sparse_pair[1], target], check=True)
    assert above_bare("copy", sparse_pair[0], target, *options, "--granularity", "512", expect=0) < LIMIT
    target.unlink()


@pytest.mark.parametrize("workers", ["1", "8", "64"])
@pytest.mark.parametrize("read", READS)
def test_equal_devices(small_pair, tmp_path, read, workers):
    """Buffers are shared out among the workers."""
    twin = tmp_path / "twin"
    subprocess.run(["cp", "--reflink=auto", "--sparse=always", small_pair[0], twin], check=True)
    assert above_bare("verify", small_pair[0], twin, "--read", read, "--workers", workers, expect=0) < LIMIT


def test_start_is_small(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"A" * 4096)
    assert above_bare("verify", tmp_path / "a", tmp_path / "b", expect=0) < 32 << 10


def test_the_measure_measures():
    _, bare = peak(sys.executable, "-c", "pass")
    _, more = peak(sys.executable, "-c", "x = bytearray(100 << 20)")
    assert 90 << 10 < more - bare < 110 << 10
