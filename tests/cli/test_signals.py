"""Interrupted, killed, or nobody listening: it ends soon, says so, and a copy can go on."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.fixtures.cli import COMMAND, blockdiff, finish, start
from tests.fixtures.images import write_image

MIB = 1 << 20
SIZE = 16 * MIB  # at 256 KiB/s this takes a minute


@pytest.fixture
def pair(tmp_path):
    block = random.Random(0).randbytes(MIB)
    a = write_image(tmp_path / "a", block * 16)
    return a, write_image(tmp_path / "b", b"first" + (block * 16)[5:])


def reading(process, path):
    """Waits until it is at work on the file."""
    for _ in range(2000):
        fds = f"/proc/{process.pid}/fd"
        try:
            if str(path) in [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]:
                break
        except OSError:
            pass
        time.sleep(0.005)
    time.sleep(0.15)
    assert process.poll() is None


def written(process, path):
    """Waits until some of the data is there."""
    for _ in range(2000):
        if any(path.read_bytes()):
            break
        assert process.poll() is None
        time.sleep(0.005)


LONG = [
    pytest.param("verify", ["--rate", "256K"], id="verify"),
    pytest.param("verify", ["--rate", "256K", "--workers", "4", "--read", "direct"], id="verify-workers"),
    pytest.param("diff", ["--rate", "256K"], id="diff"),
    pytest.param("map", ["--rate", "256K", "--zeroes"], id="map"),
    pytest.param("copy", ["--rate", "256K"], id="copy"),
    pytest.param("copy", ["--rate", "256K", "--changed"], id="copy-changed"),
    pytest.param("audit", ["--rate", "256K", "--extents", "list"], id="audit"),
]


def begin(tmp_path, pair, command, options, **more):
    (tmp_path / "list").write_text("[]")
    devices = [pair[0]] if command == "map" else [*pair]
    process = start(command, *devices, *options, cwd=tmp_path, **more)
    reading(process, devices[-1])
    return process


@pytest.mark.parametrize(("command", "options"), LONG)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_interrupted(tmp_path, pair, command, options, number):
    process = begin(tmp_path, pair, command, options)
    process.send_signal(number)
    code, _, err = finish(process, timeout=20)
    assert code == 130
    assert "interrupted" in err
    assert ("--changed" in err) == (command == "copy")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "list"]


@pytest.mark.parametrize(("command", "options"), [LONG[0], LONG[4], LONG[5], LONG[6]])
def test_interrupted_json_is_still_json(tmp_path, pair, command, options):
    process = begin(tmp_path, pair, command, [*options, "-o", "json"])
    time.sleep(0.6)  # long enough for the first two tasks
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process, timeout=20)
    assert code == 130
    value = json.loads(out)
    assert value["complete"] is False
    assert value["identical"] is False
    if command == "verify":
        assert value["differences"][0]["offset"] == 0


@pytest.mark.parametrize("command", ["diff", "map"])
def test_an_interrupted_list_is_no_list(tmp_path, pair, command):
    """Whoever would take half a list for all of it would lose data."""
    more = ["--zeroes"] if command == "map" else []
    process = begin(tmp_path, pair, command, ["--rate", "256K", "-o", "json", *more])
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process, timeout=20)
    assert code == 130
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


def test_interrupted_jsonl_ends_with_the_report(tmp_path, pair):
    process = begin(tmp_path, pair, "verify", ["--rate", "256K", "-o", "jsonl"])
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process, timeout=20)
    assert code == 130
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["offset"] == 0
    assert lines[-1]["complete"] is False


def test_differences_come_as_they_are_found(tmp_path, pair):
    """Not at the end: this run has most of a minute to go."""
    process = begin(tmp_path, pair, "verify", ["--rate", "256K", "-o", "jsonl"])
    assert json.loads(process.stdout.readline())["offset"] == 0
    process.send_signal(signal.SIGINT)
    finish(process, timeout=20)


def test_interrupted_twice(tmp_path, pair):
    """Impatience changes nothing."""
    process = begin(tmp_path, pair, "verify", ["--rate", "256K"])
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    code, _, _ = finish(process, timeout=20)
    assert code == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"])
@pytest.mark.parametrize("options", [[], ["--changed"]], ids=["all", "changed"])
def test_an_interrupted_copy_goes_on(tmp_path, pair, number, options):
    source, target = pair[0], tmp_path / "target"
    process = start("copy", *options, source, target, "--rate", "4M")
    reading(process, target)
    written(process, target)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode in (130, -signal.SIGKILL)
    assert os.path.getsize(target) == SIZE
    assert target.read_bytes() != source.read_bytes()
    done = blockdiff("copy", "--changed", "--verify", source, target, "-o", "json", expect=0)
    value = json.loads(done.stdout)
    assert value["copied_bytes"] < SIZE  # what was there already is not written again
    assert target.read_bytes() == source.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "target"]


@pytest.mark.parametrize("output", ["human", "json", "jsonl", "table"])
@pytest.mark.parametrize("command", ["verify", "diff", "map", "audit"])
def test_broken_pipe(tmp_path, command, output):
    """`| head -1`: never the exit code of a finding, since the findings were not all told."""
    block = b"A" * 512 + bytes(512)
    a = write_image(tmp_path / "a", block * 8192)
    b = write_image(tmp_path / "b", bytes(len(block) * 8192))
    (tmp_path / "list").write_text("[]")
    words = {
        "verify": ["verify", a, b],
        "diff": ["diff", a, b],
        "map": ["map", "--zeroes", a],
        "audit": ["audit", a, b, "--extents", tmp_path / "list"],
    }[command]
    process = start(*words, "--granularity", "512", "-o", output)
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 3, err
    assert "Traceback" not in err
    assert "closed" in err or "Broken pipe" in err


def test_closed_output_of_a_short_run(tmp_path):
    """Also when all of it would fit into the pipe."""
    a, b = write_image(tmp_path / "a", b"A" * 4096), write_image(tmp_path / "b", b"B" * 4096)
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.Popen(
        [*COMMAND, "verify", str(a), str(b)], stdout=write_end, stderr=subprocess.PIPE, text=True
    )
    os.close(write_end)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "Traceback" not in err


def test_no_stdout_at_all(tmp_path):
    a = write_image(tmp_path / "a", b"A" * 4096)
    b = write_image(tmp_path / "b", b"B" * 4096)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "verify", a, b], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


def test_quiet_needs_no_output(tmp_path):
    a, b = write_image(tmp_path / "a", b"A" * 4096), write_image(tmp_path / "b", b"B" * 4096)
    with open("/dev/full", "w") as full:
        assert blockdiff("verify", "-q", a, b, stdout=full).returncode == 1
        assert blockdiff("verify", "-q", a, write_image(tmp_path / "c", b"A" * 4096), stdout=full).returncode == 0
