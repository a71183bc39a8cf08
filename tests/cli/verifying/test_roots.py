"""Roots in receipts: those of manifests, and those that are computed for it."""

import json
import os

import pytest

from blockdiff.engine.manifest import Digesting
from blockdiff.engine.registry import open_device
from tests.fixtures.cli import within
from tests.fixtures.receipts import opened

BLOCK = 65536
BLOCKS = {"xxh3-128": 65536, "blake3": 131072}  # of the algorithm
SIZE = 4 * BLOCK + 4099


@pytest.fixture
def place(tmp_path):
    content = bytearray(os.urandom(SIZE))
    content[BLOCK : 2 * BLOCK] = bytes(BLOCK)
    (tmp_path / "a").write_bytes(content)
    with (tmp_path / "same").open("wb") as file:  # a hole where the other has zeroes
        file.write(content[:BLOCK])
        file.seek(2 * BLOCK)
        file.write(content[2 * BLOCK :])
    content[3 * BLOCK] ^= 1
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "empty").touch()
    (tmp_path / "none").touch()
    return tmp_path


def digest(place, name, algorithm="xxh3-128"):
    """The root of a file by a manifest that is made of it."""
    device = open_device(str(place / name))
    digesting = Digesting(device, algorithm=algorithm)
    digesting.save(str(place / f"{name}.manifest"))
    device.close()
    return digesting.root.hex()


def verify(place, *words, expect, name="r.json"):
    done = within("verify", "-q", *words, "--receipt", name, cwd=place, expect=expect)
    return done, opened(place / name)[2] if (place / name).exists() else None


@pytest.mark.parametrize("algorithm", ["xxh3-128", "blake3"])
@pytest.mark.parametrize(("target", "code"), [("same", 0), ("b", 1)])
def test_computed(algorithm, target, code, place):
    _, made = verify(place, "--roots", algorithm, "a", target, expect=code)
    for side, name in (("source", "a"), ("target", target)):
        root = made["predicate"][side]["root"]
        assert root == {
            "algorithm": algorithm,
            "block_size": BLOCKS[algorithm],
            "digest": digest(place, name, algorithm),
        }
        assert "no_root" not in made["predicate"][side]
    equal = made["predicate"]["source"]["root"] == made["predicate"]["target"]["root"]
    assert equal is (code == 0)
    assert [item["name"] for item in made["subject"]] == ["differences", "source", "target"]
    assert list(made["subject"][1]["digest"]) == [f"blockdiff-root-{algorithm}-{BLOCKS[algorithm]}"]
    out = within("receipt", "check", "r.json", cwd=place, expect=0).stdout
    assert f"root {algorithm} {BLOCKS[algorithm]} {digest(place, 'a', algorithm)}" in out


def test_of_empty_devices(place):
    _, made = verify(place, "--roots", "blake3", "empty", "none", expect=0)
    assert made["predicate"]["source"]["root"] == made["predicate"]["target"]["root"]


def test_not_asked_for(place):
    _, made = verify(place, "a", "same", expect=0)
    assert (made["predicate"]["source"]["root"], made["predicate"]["source"]["no_root"]) == (None, "not asked for")


@pytest.mark.parametrize(("image", "code"), [("same", 0), ("b", 1)])
def test_of_a_manifest(image, code, place):
    root = digest(place, "a")
    _, made = verify(place, image, "a.manifest", expect=code)
    assert made["predicate"]["target"]["root"]["digest"] == root
    if code:
        assert made["predicate"]["source"]["root"] is None
    else:
        assert made["predicate"]["source"]["root"]["digest"] == root
    within("receipt", "check", "r.json", cwd=place, expect=0)


def test_of_a_part_that_a_manifest_knows(place):
    digest(place, "a")
    _, made = verify(place, "--length", "128K", "b", "a.manifest", expect=0)
    assert made["predicate"]["source"]["root"] is None


def test_of_a_manifest_of_another_algorithm(place):
    digest(place, "a")
    done = within("verify", "--roots", "blake3", "--receipt", "r.json", "a", "a.manifest", cwd=place, expect=2)
    assert "--roots blake3 and a.manifest do not go together: it is of xxh3-128" in done.stderr
    _, made = verify(place, "--roots", "xxh3-128", "--length", "128K", "b", "a.manifest", expect=0)
    assert made["predicate"]["source"]["root"]["digest"] == digest(place, "b")


def test_a_device_that_is_written_to_meanwhile_is_not_called_identical(place, monkeypatch):
    from blockdiff.cli.verifying import roots

    compute = roots._computed

    def writes(device, *rest):
        if device.url == "same":
            with (place / "same").open("r+b") as file:
                file.seek(3 * BLOCK)
                file.write(b"other")
        return compute(device, *rest)

    monkeypatch.setattr(roots, "_computed", writes)
    done, made = verify(place, "--roots", "blake3", "a", "same", "-o", "json", expect=3)
    assert json.loads(done.stdout)["identical"] is False
    assert "its root is not that of the source" in done.stderr
    assert (made["predicate"]["result"], made["predicate"]["report"]["identical"]) == ("failed", False)
    within("receipt", "check", "r.json", cwd=place, expect=0)


def test_an_error_on_the_way_leaves_no_root(place, monkeypatch):
    from blockdiff.cli import devices
    from blockdiff.testing.faults import FaultDevice

    opening = devices.open_named
    monkeypatch.setattr(
        devices, "open_named", lambda name: FaultDevice(opening(name), "...E") if name == "same" else opening(name)
    )
    _, made = verify(place, "--roots", "blake3", "a", "same", expect=3)
    assert made["predicate"]["source"]["no_root"] == "the run ended before"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--roots", "md5", "--receipt", "r.json"), "md5"),
        (("--roots", "blake3"), "--roots is about a receipt"),
        (("--roots", "blake3", "--keep-going", "--receipt", "r.json"), "--roots and --keep-going"),
    ],
    ids=["unknown", "no receipt", "keep going"],
)
def test_refused(words, why, place):
    done = within("verify", *words, "a", "same", cwd=place, expect=2)
    assert why in done.stderr
    assert not done.stdout
