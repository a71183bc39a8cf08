"""``blockdiff digest``, and manifests in the other commands, as users type it."""

import json
import os
import random
import signal
import time

import pytest

from tests.engine.manifest import reference
from tests.fixtures.cli import start, within
from tests.fixtures.schemas import obeys

B = 65536


@pytest.fixture
def place(tmp_path):
    """An image, a changed one, and the manifest of the first."""
    data = bytearray(random.Random(1).randbytes(5 * B + 77))
    data[B : 2 * B] = bytes(B)
    (tmp_path / "a").write_bytes(data)
    data[3 * B] ^= 1
    (tmp_path / "b").write_bytes(data)
    within("digest", "a", "-o", "m", "-q", cwd=tmp_path, expect=0)
    (tmp_path / "stream").write_bytes(b"rbd diff v1\ne")
    return tmp_path


def test_root_is_the_first_line(place):
    root = reference.root((place / "a").read_bytes()).hex()
    assert within("digest", "a", cwd=place, expect=0).stdout.splitlines()[0] == f"root {root}"
    shown = within("digest", "--show", "m", cwd=place, expect=0).stdout
    assert shown.startswith(f"root {root}\nof a, {5 * B + 77:,} bytes")
    assert "6 blocks of 64.0 KiB, 1 zeroes" in shown
    assert within("digest", "a", "-q", cwd=place, expect=0).stdout == ""


@pytest.mark.parametrize("algorithm", ["xxh3-128", "blake3"])
def test_json(place, algorithm):
    done = within("digest", "a", "-o", "n", "--json", "--algorithm", algorithm, "--block-size", "64K", cwd=place)
    told = obeys(json.loads(done.stdout), "digest")
    assert told["root"] == reference.root((place / "a").read_bytes(), algorithm).hex()
    assert told["manifest_bytes"] == (place / "n").stat().st_size
    shown = obeys(json.loads(within("digest", "--show", "--json", "n", cwd=place, expect=0).stdout), "digest")
    assert shown.items() <= told.items()
    whole = obeys(json.loads(within("digest", "--export", "n", cwd=place, expect=0).stdout), "manifest")
    blocks = reference.blocks((place / "a").read_bytes(), B)
    leaves = [whole["zero"]] * whole["blocks"]
    for run in whole["runs"]:
        leaves[run["first_block"] : run["first_block"] + len(run["digests"])] = run["digests"]
    assert leaves == [reference.block_digest(algorithm, block).hex() for block in blocks]
    assert [run["first_block"] for run in whole["runs"]] == [0, 2]


def test_export_of_zeroes(tmp_path):
    (tmp_path / "zero").write_bytes(bytes(2 * B))
    within("digest", "zero", "-o", "m", cwd=tmp_path, expect=0)
    whole = obeys(json.loads(within("digest", "--export", "m", cwd=tmp_path, expect=0).stdout), "manifest")
    assert (whole["runs"], whole["blocks"], whole["stored_blocks"]) == ([], 2, 0)


def test_verify(place):
    assert within("verify", "a", "m", cwd=place, expect=0).stdout.startswith("identical")
    done = within("verify", "m", "b", "-o", "json", cwd=place, expect=1)
    report = obeys(json.loads(done.stdout), "report")
    assert report["differences"] == [{"offset": 3 * B, "length": B, "class": "data"}]
    assert report["manifests"]["source"]["root"] == reference.root((place / "a").read_bytes()).hex()
    assert report["method"] == "manifest"
    states = [run for run in report["map"]["runs"] if "changed" in run]
    assert sum(run["changed"] * run["cells"] for run in states) == B
    within("digest", "b", "-o", "n", cwd=place, expect=0)
    last = within("verify", "m", "n", "-o", "jsonl", cwd=place, expect=1).stdout.splitlines()[-1]
    assert set(obeys(json.loads(last), "summary")["manifests"]) == {"source", "target"}


def test_diff(place):
    done = within("diff", "m", "b", "-o", "json", cwd=place, expect=0)
    assert json.loads(done.stdout)[0]["block_metadata"] == [{"byte_offset": 3 * B, "size_bytes": B}]
    assert "method manifest" in done.stderr
    within("diff", "m", "b", "--exit-code", "-q", cwd=place, expect=1)
    within("diff", "a", "m", "--exit-code", "-q", cwd=place, expect=0)
    done = within("diff", "b", "m", "-o", "export-diff", "--from-name", "x", cwd=place, expect=2)
    assert "needs the image itself" in done.stderr


def test_changes_against_a_manifest_bring_an_image_up_to_date(place):
    """The list of a manifest alone is enough to copy what changed."""
    listed = within("diff", "m", "b", "-o", "json", cwd=place, expect=0).stdout
    (place / "changed.json").write_text(listed)
    within("copy", "--extents", "changed.json", "b", "a", cwd=place, expect=0)
    assert (place / "a").read_bytes() == (place / "b").read_bytes()


REFUSED = [
    ("digest", "m", "is a manifest: --show says"),
    ("digest", "--show", "a", "is no manifest"),
    ("digest", "--show", "--export", "m", "do not go together"),
    ("digest", "--show", "--rate", "5M", "m", "--show and --rate"),
    ("digest", "--export", "-o", "x", "m", "--export and --output"),
    ("digest", "a", "--force", "--force goes with"),
    ("digest", "a", "-o", "b", "use --force"),
    ("digest", "a", "-o", "a", "--force", "it is what is digested"),
    ("digest", "a", "--block-size", "3K", "power of two"),
    ("digest", "a", "--algorithm", "md5", "md5"),
    ("digest", "a", "--keep-going", "--keep-going"),
    ("digest", "stream", "is an export-diff"),
    ("verify", "a", "m", "--strict", "holes from zeroes"),
    ("verify", "a", "m", "--granularity", "4K", "whole blocks of 65536"),
    ("diff", "m", "b", "--granularity", "4K", "whole blocks of 65536"),
    ("verify", "a", "m", "--offset", "5", "must be multiples"),
    ("verify", "a", "m", "--recheck", "1", "--recheck needs the data of both"),
    ("verify", "a", "m", "--repair", "--journal", "j", "--repair needs the data of both"),
    ("verify", "a", "m", "--checkpoint", "c", "--checkpoint needs the data of both"),
    ("verify", "a", "m", "--sample", "5%", "--sample needs the data of both"),
    ("verify", "m", "m", "one and the same"),
    ("diff", "m", "m", "one and the same"),
    ("copy", "m", "c", "holds digests and no data"),
    ("map", "m", "holds digests and no data"),
]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refused(place, words):
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    done = within(*words[:-1], cwd=place, expect=2)
    assert words[-1] in done.stderr
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_its_own_bytes(place):
    (place / "n").write_bytes((place / "m").read_bytes())
    assert "method content" in within("verify", "file:m", "file:n", cwd=place, expect=0).stdout


def test_damaged(place):
    raw = bytearray((place / "m").read_bytes())
    for data, text in (
        (raw[:-1], "cut off"),
        (raw[:40], "ends inside its header"),
        (raw[:8] + b"\2" + raw[9:], "of version 2"),
        (raw[:-1] + bytes([raw[-1] ^ 1]), "is damaged"),
        (raw[:400] + bytes([raw[400] ^ 1]) + raw[401:], "is damaged"),
    ):
        (place / "n").write_bytes(data)
        for words in (("verify", "a", "n"), ("verify", "n", "a"), ("diff", "n", "a"), ("digest", "--show", "n")):
            assert text in within(*words, cwd=place, expect=2).stderr
            assert "identical" not in within(*words, cwd=place, expect=2).stdout
    done = within("verify", "a", "n", "-o", "json", cwd=place, expect=2)
    assert json.loads(done.stderr)["error"] == "InvalidInput"


def test_two_that_cannot_be_compared(place):
    within("digest", "a", "-o", "n", "--algorithm", "blake3", cwd=place, expect=0)
    done = within("verify", "m", "n", cwd=place, expect=2)
    assert "blockdiff digest --algorithm xxh3-128 --block-size 65536 -o MANIFEST a" in done.stderr


def test_receipt_has_the_root(place):
    within("verify", "a", "m", "--receipt", "r.json", cwd=place, expect=0)
    done = within("receipt", "show", "r.json", cwd=place)
    assert reference.root((place / "a").read_bytes()).hex() in done.stdout + (place / "r.json").read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["int", "kill"])
def test_nothing_is_left_when_it_is_stopped(tmp_path, how):
    image = tmp_path / "image"
    image.write_bytes(os.urandom(8 << 20))
    (tmp_path / "out").mkdir()
    run = start("digest", image, "-o", tmp_path / "out/m", "--rate", "1M", "--progress", "json")
    run.stderr.readline()
    time.sleep(0.1)
    run.send_signal(how)
    assert run.wait(20) == (130 if how == signal.SIGINT else -9)
    run.communicate()
    assert not (tmp_path / "out/m").exists()
    assert how == signal.SIGKILL or not list((tmp_path / "out").iterdir())
