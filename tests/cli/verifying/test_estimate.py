"""``verify --estimate`` and ``--dry-run`` as users type them."""

import json
import random

import pytest

from tests.fixtures.cli import blockdiff, within
from tests.fixtures.schemas import obeys

SIZE = (1 << 20) + 777


@pytest.fixture
def images(tmp_path):
    data = bytearray(random.Random(1).randbytes(SIZE))
    (tmp_path / "a").write_bytes(data)
    data[5] ^= 1
    (tmp_path / "b").write_bytes(data)
    return tmp_path


def test_it_says_so_first_and_runs(images):
    done = within("verify", "--estimate", "a", "b", cwd=images, expect=1)
    assert "estimate: 1.0 MiB of the source and 1.0 MiB of the target" in done.stderr
    assert "time: about" in done.stderr
    assert "estimate" not in done.stdout
    assert "different: 1 range" in done.stdout


def test_what_a_checkpoint_has_is_counted_and_that_is_said(images):
    words = ("verify", "--estimate", "--checkpoint", "kept", "--keep-checkpoint", "a", "b")
    first = within(*words, cwd=images, expect=1)
    assert "checkpoint" not in first.stderr
    again = within(*words, cwd=images, expect=1)
    assert "1.0 MiB of the source" in again.stderr
    assert "what the checkpoint kept has is not read again" in again.stderr


def test_it_is_in_the_report(images):
    done = within("verify", "--estimate", "-o", "json", "a", "b", cwd=images, expect=1)
    assert done.stderr == ""
    report = obeys(json.loads(done.stdout), "report")
    assert report["estimate"]["bytes"] == report["bytes_compared"] == SIZE


def test_a_dry_run_says_nothing_of_the_result(images):
    done = within("verify", "--estimate", "--dry-run", "a", "b", cwd=images, expect=0)
    assert done.stdout.startswith("nothing was compared (--dry-run)\n")
    assert "estimate: 1.0 MiB" in done.stdout
    done = within("verify", "--estimate", "--dry-run", "-o", "json", "a", "b", cwd=images, expect=0)
    report = obeys(json.loads(done.stdout), "report")
    assert (report["identical"], report["complete"], report["bytes_compared"]) == (False, False, 0)
    assert (report["offset"], report["length"], report["differences"]) == (0, SIZE, [])


def test_a_dry_run_of_a_sample(images):
    words = ["--estimate", "--dry-run", "--sample", "10%", "--sample-block", "4K", "-o", "json"]
    report = json.loads(within("verify", *words, "a", "b", cwd=images, expect=0).stdout)
    assert report["estimate"]["bytes"] <= 27 * 4096
    assert not report["identical"]


def test_of_a_list(images):
    (images / "list").write_text('[{"offset": 4096, "length": 8192}]')
    words = ["verify", "--estimate", "--extents", "list", "-o", "json", "a", "b"]
    report = json.loads(within(*words, cwd=images, expect=0).stdout)
    assert report["estimate"]["bytes"] == report["bytes_compared"] == 8192


def test_of_a_budget(images):
    words = ["verify", "--estimate", "--ledger", "L", "--budget", "64K", "-o", "json", "a", "b"]
    report = obeys(json.loads(within(*words, cwd=images, expect=1).stdout), "report")
    assert report["estimate"]["budget"] == "64K"
    assert report["estimate"]["seconds"] < SIZE / report["estimate"]["bytes_per_second"]


def test_nothing_to_read(tmp_path):
    for name in "ab":
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 20)
    done = within("verify", "--estimate", "--dry-run", "a", "b", cwd=tmp_path, expect=0)
    assert "nothing is to be read" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dry-run"], "--dry-run goes with --estimate"),
        (["--estimate", "--dry-run", "--ledger", "L"], "--dry-run and --ledger"),
        (["--estimate", "--dry-run", "--receipt", "r.json"], "--dry-run and --receipt"),
        (["--estimate", "--dry-run", "--metrics", "m.prom"], "--dry-run and --metrics"),
        (["--estimate", "--dry-run", "--repair"], "do not go together"),
        (["--estimate", "--dry-run", "--checkpoint", "c"], "do not go together"),
    ],
    ids=str,
)
def test_what_does_not_go_together(images, words, message):
    before = sorted(path.name for path in images.iterdir())
    done = within("verify", *words, "a", "b", cwd=images, expect=2)
    assert message in done.stderr
    assert sorted(path.name for path in images.iterdir() if path.name != "m.prom") == before


@pytest.mark.slow
def test_over_nbd(nbd, images):
    server = nbd.nbdkit("memory", "64M", filters=["delay"], options=[])
    other = nbd.nbdkit("memory", "64M")
    words = ["verify", "--estimate", "--dry-run", "-o", "json", server.uri(), other.uri()]
    report = obeys(json.loads(blockdiff(*words, expect=0).stdout), "report")
    assert report["estimate"]["cached"] == {"source": None, "target": None}
