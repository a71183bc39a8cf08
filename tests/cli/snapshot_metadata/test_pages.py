"""What the pages about changed block tracking tell people to run."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.cli.snapshot_metadata.conftest import CAPACITY, RECORDS
from tests.test_docs import DOCS


def test_the_example_for_backup_authors(cluster):
    volume, backup = cluster.place / "volume", cluster.place / "backup"
    content = os.urandom(CAPACITY)
    volume.write_bytes(content)
    old = bytearray(content)
    for record in RECORDS:
        for offset, length, _ in record.extents:
            old[offset : offset + length] = bytes(length)
    backup.write_bytes(old)
    script = [sys.executable, DOCS / "examples/backup.py", "app", "old", "new", volume, backup]
    done = subprocess.run(script, env=cluster.environment(), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert backup.read_bytes() == content
    volume.write_bytes(content[:4096])
    done = subprocess.run(script, env=cluster.environment(), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "ends before" in done.stderr) == (1, True)


WAITING = """
set -e
trap 'kill $(jobs -p); wait' EXIT
waited() { for _ in $(seq 300); do "$@" 2>&- && return; sleep 0.1; done; false; }
"""


@pytest.mark.slow
def test_three_minutes_without_a_cluster(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    blocks = re.findall(r"^```sh\n(.*?)^```", (DOCS / "csi/index.md").read_text(), re.MULTILINE | re.DOTALL)
    first, second = (block.replace("50051", port) for block in blocks)
    first = first.replace("csi.sock &", "csi.sock &\nwaited test -S csi.sock")
    second = second.replace("tokens &", f"tokens &\nwaited bash -c 'exec 3<>/dev/tcp/localhost/{port}'")
    program = tmp_path / "bin" / "blockdiff"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m blockdiff "$@"\n')
    program.chmod(0o700)
    process = subprocess.Popen(
        ["bash", "-c", WAITING + first + second],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=100)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, err
    assert "changed: 4,096 bytes" in out
    assert "VARIABLE_LENGTH        1048576           4096" in out
    assert "correct: every byte that differs is listed" in out
