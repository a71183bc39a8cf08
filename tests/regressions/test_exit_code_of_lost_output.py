"""Output that nobody takes ended with 1, which means "different", or with a traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same" * 4096)
    return tmp_path


def run(cwd: Path, arguments: str, redirections: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m blockdiff {arguments} {redirections}"
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


COMMANDS = ["verify a b", "verify -o json a b", "diff a b", "diff -o json a b", "map a", "copy a c", "--help"]


@pytest.mark.parametrize("command", COMMANDS)
def test_broken_pipe_is_trouble(pair: Path, command: str) -> None:
    done = run(pair, command, "| true; exit ${PIPESTATUS[0]}")
    assert done.returncode == 3, done.stderr
    assert "the output was closed" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("sink", [">&-", ">/dev/full"])
def test_output_that_cannot_be_written_is_trouble(pair: Path, command: str, sink: str) -> None:
    done = run(pair, command, sink)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sink", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(("command", "code"), [("verify -q a b", 0), ("verify a nothing", 3), ("verify a", 2)])
def test_lost_messages_do_not_change_the_exit_code(pair: Path, command: str, code: int, sink: str) -> None:
    assert run(pair, command, sink).returncode == code


def test_no_device_becomes_a_standard_stream(pair: Path) -> None:
    assert run(pair, "copy -o json a c", "<&- >&- 2>&-").returncode == 3
    assert (pair / "c").read_bytes() == (pair / "a").read_bytes()


def test_closed_standard_input_is_bad_input(pair: Path) -> None:
    assert run(pair, "verify --extents - a b", "<&-").returncode == 2


@pytest.mark.parametrize("number", ["1" * 5000, "1" * 400 + ".0"])
def test_a_number_of_many_digits_is_bad_input(pair: Path, number: str) -> None:
    done = run(pair, f"verify --offset {number} a b", "")
    assert done.returncode == 2
    assert "too many digits" in done.stderr


def test_completion_is_no_trouble() -> None:
    command = f'_BLOCKDIFF_COMPLETE=bash_complete COMP_WORDS="blockdiff ver" COMP_CWORD=1 {sys.executable} -m blockdiff'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain,verify\n", "")
