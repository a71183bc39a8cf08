"""``verify --sample`` and ``--confidence`` as users type them."""

import json
import os
import random
import re

import pytest

from tests.fixtures.cli import blockdiff, within
from tests.fixtures.schemas import obeys

BLOCK = 65536
SIZE = 40 * BLOCK + 777


@pytest.fixture
def images(tmp_path):
    data = random.Random(1).randbytes(SIZE)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(data)
    return tmp_path


def spoil(images, *places):
    data = bytearray((images / "b").read_bytes())
    for at in places:
        data[at] ^= 1
    (images / "b").write_bytes(data)


def report(images, *words, expect=0):
    return obeys(
        json.loads(within("verify", *words, "-o", "json", "a", "b", cwd=images, expect=expect).stdout), "report"
    )


@pytest.mark.parametrize("words", [["--sample", "10%"], ["--confidence", "99%", "--corruption", "1%"]], ids=str)
def test_equal(images, words):
    done = within("verify", *words, "a", "b", cwd=images, expect=0)
    assert done.stdout.startswith("no difference found in the sample: ")
    assert "identical" not in done.stdout
    found = report(images, *words)
    assert not found["identical"]
    assert not found["complete"]


def test_even_all_blocks_are_not_called_identical(images):
    found = report(images, "--sample", "100%")
    assert not found["identical"]
    assert found["sample"]["left_out_bytes"] == 0
    assert found["sample"]["detection"][0] == {"corrupt_blocks": 1, "probability": 1.0}


def test_a_seed_repeats_a_run(images):
    done = within("verify", "--sample", "20%", "a", "b", cwd=images, expect=0)
    seed = re.search(r"--seed (\w+)", done.stdout)[1]
    one, other = (report(images, "--sample", "20%", "--seed", seed) for _ in range(2))
    for key in ("elapsed_seconds", "started_at"):
        one.pop(key), other.pop(key)
    assert one["sample"] == other["sample"]
    assert one["bytes_compared"] == other["bytes_compared"]
    assert one["sample"]["seed"] == seed


def test_what_is_listed_is_compared_in_full(images):
    spoil(images, 5 * BLOCK + 100)
    (images / "list").write_text(json.dumps([{"offset": 5 * BLOCK, "length": 512}]))
    for number in range(5):
        found = report(images, "--sample", "1%", "--extents", "list", "--seed", number, expect=1)
        assert found["difference_count"] == 1
        assert found["sample"]["differing_blocks"] == 0
        assert found["sample"]["full_bytes"] == BLOCK


def test_differences_in_the_sample(images):
    spoil(images, 3, 9 * BLOCK)
    done = within("verify", "--sample", "100%", "a", "b", cwd=images, expect=1)
    assert "different: 2 ranges" in done.stdout
    assert "in the sample 2 of 41 blocks differ" in done.stdout
    assert report(images, "--sample", "100%", "--first", expect=1)["sample"]["detection"] == []


def test_another_size_is_a_difference(images):
    with (images / "b").open("ab") as file:
        file.write(b"x")
    assert report(images, "--sample", "10%", expect=1)["bytes_by_class"] == {"size": 1}
    assert report(images, "--sample", "10%", "--size", "min")["difference_count"] == 0


def test_an_empty_device(tmp_path):
    for name in "ab":
        (tmp_path / name).touch()
    assert report(tmp_path, "--sample", "10%")["sample"]["population_blocks"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sample", "0%"], "above 0%"),
        (["--sample", "5"], "write 5%"),
        (["--sample", "x"], "not a share"),
        (["--sample", "5%", "--confidence", "99%", "--corruption", "1%"], "do not go together"),
        (["--confidence", "99%"], "needs --corruption"),
        (["--corruption", "1%"], "goes with --sample"),
        (["--seed", "1"], "goes with --sample"),
        (["--sample-block", "4K"], "goes with --sample"),
        (["--sample", "5%", "--seed", ""], "--seed is empty"),
        (["--sample", "5%", "--sample-block", "5000"], "power of two"),
        (["--sample", "5%", "--sample-block", "2K"], "power of two"),
    ],
    ids=str,
)
def test_what_cannot_be_asked(images, words, message):
    done = within("verify", *words, "a", "b", cwd=images, expect=2)
    assert message in done.stderr


def test_not_with_pairs(images):
    done = within("verify", "--pairs", "-", "--sample", "5%", cwd=images, expect=2, stdin="{}")
    assert "--pairs and --sample do not go together" in done.stderr


@pytest.mark.slow
def test_over_nbd(nbd, images):
    for name in "ab":
        os.truncate(images / name, 40 * BLOCK + 512)  # QEMU knows sectors only
    server = nbd.qemu_nbd(images / "a")
    done = blockdiff("verify", "--sample", "25%", server.uri(), images / "b", expect=0)
    assert "no difference found in the sample: 11 of 41 blocks" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("method", ["content", "osd-checksum"])
def test_over_rbd(ceph, images, method):
    data = (images / "a").read_bytes()[: 40 * BLOCK]
    one, other = (ceph.url(ceph.image(name, len(data), data)) for name in ("one", "other"))
    words = ["--sample", "25%", "--seed", "s", "--method", method, "-o", "json", one, other]
    found = obeys(json.loads(blockdiff("verify", *words, expect=0).stdout), "report")
    assert found["sample"]["compared_blocks"] == 10
    digested = sum(part["bytes"] for part in found["skipped"] if part["reason"] == "osd-checksum")
    assert found["bytes_compared"] + digested == 10 * BLOCK
