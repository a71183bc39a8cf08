"""systemd accepts the units, and the command in them is one that blockdiff accepts."""

import re
import shlex
import shutil
import subprocess

import pytest

from tests.deploy.conftest import ROOT
from tests.fixtures.cli import blockdiff
from tests.fixtures.receipts import openssl_key

UNITS = ROOT / "systemd"
SERVICE = (UNITS / "blockdiff-verify@.service").read_text()
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt-get install systemd"
)


def command():
    """The words of ExecStart."""
    return shlex.split(re.search(r"^ExecStart=((?:.*\\\n)*.*)$", SERVICE, re.MULTILINE).group(1).replace("\\\n", " "))


@pytest.fixture
def units(tmp_path):
    """The units as an instance, with a program that is there."""
    for name in ("blockdiff-verify@.service", "blockdiff-verify@.timer"):
        text = (UNITS / name).read_text().replace(command()[0], "/bin/true")
        (tmp_path / name).write_text(text)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("kind", ["service", "timer"])
def test_systemd_accepts_the_unit(kind, units):
    words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", units / f"blockdiff-verify@data.{kind}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"SYSTEMD_UNIT_PATH": f"{units}:"})
    told = [line for line in done.stderr.splitlines() if "blockdiff" in line]
    assert (done.returncode, told) == (0, [])


@needs_systemd
def test_systemd_finds_it_well_protected(units):
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=60", units / "blockdiff-verify@data.service"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


@needs_systemd
def test_the_time_of_the_timer():
    when = re.search(r"^OnCalendar=(.*)$", (UNITS / "blockdiff-verify@.timer").read_text(), re.MULTILINE).group(1)
    done = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_disks_are_left_to_others():
    assert "\nIOSchedulingClass=idle\n" in SERVICE
    assert "\nNice=19\n" in SERVICE


def test_the_command_runs(tmp_path):
    """With what systemd puts in: a receipt that holds, metrics, and the exit code."""
    (tmp_path / "a").write_bytes(b"a" * 10000)
    (tmp_path / "b").write_bytes(b"a" * 10000)
    state = tmp_path / "blockdiff/data"
    state.mkdir(parents=True)
    openssl_key(tmp_path, "sign.key")
    words = [
        word.replace("%S", str(tmp_path)).replace("%d", str(tmp_path)).replace("%i", "data")
        .replace("/var/lib/prometheus/node-exporter", str(tmp_path))
        for word in command()[1:]
    ]  # fmt: skip
    given = dict(line.split("=", 1) for line in (UNITS / "example.conf").read_text().splitlines() if line[0] != "#")
    assert set(given) == {"SOURCE", "TARGET", "OPTIONS"}
    put = {"$OPTIONS": given["OPTIONS"].split(), "${SOURCE}": ["a"], "${TARGET}": ["b"]}
    blockdiff(*[part for word in words for part in put.get(word, [word])], cwd=tmp_path, expect=0)
    (receipt,) = state.iterdir()
    blockdiff("receipt", "check", "--require-identical", receipt, "--key", "sign.key.pub", cwd=tmp_path, expect=0)
    assert "blockdiff_verify_identical" in (tmp_path / "blockdiff-data.prom").read_text()
