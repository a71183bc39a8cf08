"""Every two things that verify also does go together, or are refused with exit code 2 before anything is read.

What goes together keeps its word: the report has what each adds, the exit code is that of the result, the receipt holds
and says it too, and the metrics are of the same run.
"""

import itertools
import json
import os

import pytest

from blockdiff.cli.verifying import ASPECTS
from blockdiff.cli.verifying.aspect import _modules
from tests.fixtures.cli import within
from tests.fixtures.schemas import obeys

BLOCK = 4096
SIZE = 40 * BLOCK + 7

# what asks for each, the key that it adds to the report, and the modules of blockdiff.cli.verifying that it is of
ALSO = {
    "sample": (("--sample", "50%", "--seed", "x", "--sample-block", "4K"), "sample", "sampling"),
    "confidence": (("--confidence", "99%", "--corruption", "10%", "--sample-block", "4K"), "sample", "sampling"),
    "ledger": (("--ledger", "{target}.ledger"), "ledger", "ledger"),
    "estimate": (("--estimate",), "estimate", "estimate"),
    "budget": (("--ledger", "{target}.ledger", "--budget", "64K"), "ledger", "ledger"),
    "recheck": (("--recheck", "0"), "recheck", "recheck"),
    "triage": (("--triage",), "triage", "triage"),
    "checkpoint": (("--checkpoint", "{target}.ckpt"), "checkpoint", "checkpoint"),
    "repair": (("--repair", "--journal", "{target}.undo"), "repair", "repair"),
    "plan": (("--repair", "--plan"), "repair", "repair"),
    "receipt": (("--receipt", "also.json"), "receipt", "receipt"),
    "metrics": (("--metrics", "also.prom"), None, "metrics"),
}
# how the comparison itself may be asked for
PLAIN = {
    "first": ("--first",),
    "max-differences": ("--max-differences", "1"),
    "extents": ("--extents", "list.json"),
    "window": ("--offset", "8192", "--length", "40960"),
    "strict": ("--strict",),
    "min": ("--size", "min"),
    "keep-going": ("--keep-going",),
    "direct": ("--read", "direct"),
    "content": ("--method", "content"),
    "jsonl": ("-o", "jsonl"),
    "human": ("-o", "human"),
    "quiet": ("-q", "-o", "human"),
}
REFUSED = {
    ("checkpoint", "sample"),
    ("checkpoint", "confidence"),
    ("confidence", "sample"),
    ("budget", "sample"),
    ("budget", "confidence"),
    ("budget", "checkpoint"),
    ("budget", "first"),
    ("budget", "repair"),
    ("budget", "plan"),
    ("budget", "window"),
    ("ledger", "sample"),
    ("ledger", "repair"),
    ("ledger", "plan"),
    ("budget", "repair"),
    ("budget", "plan"),
    ("estimate", "repair"),
    ("estimate", "plan"),
    ("confidence", "ledger"),
    ("checkpoint", "ledger"),
    ("ledger", "window"),
    ("first", "ledger"),
    ("first", "recheck"),
    ("first", "repair"),
    ("first", "plan"),
    ("repair", "strict"),
    ("plan", "strict"),
    ("repair", "sample"),
    ("plan", "sample"),
    ("confidence", "repair"),
    ("confidence", "plan"),
}
SAME = {("plan", "repair"), ("budget", "ledger")}  # one of them is the other one, and more
PAIRS = [pair for pair in itertools.combinations(sorted(ALSO), 2) if pair not in SAME]
PAIRS += [
    pytest.param(*pair, marks=pytest.mark.slow, id="-".join(pair)) for pair in itertools.product(sorted(ALSO), PLAIN)
]


@pytest.fixture
def place(tmp_path):
    content = bytearray(os.urandom(SIZE))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "same").write_bytes(content)
    content[3 * BLOCK] ^= 1
    content[10 * BLOCK : 30 * BLOCK] = os.urandom(20 * BLOCK)
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "list.json").write_text(f'[{{"offset":0,"length":{20 * BLOCK}}}]')
    return tmp_path


def words_of(name):
    return ALSO[name][0] if name in ALSO else PLAIN[name]


def keys_of(*names):
    return {ALSO[name][1] for name in names if name in ALSO} - {None}


def run(place, target, *names):
    """A verify with these, and with a receipt and metrics where none of them is that."""
    words = [word.format(target=target) for name in names for word in words_of(name)]
    watch = [] if "receipt" in names else ["--receipt", "also.json"]
    watch += [] if "metrics" in names else ["--metrics", "also.prom"]
    output = [] if "-o" in words else ["-o", "json"]
    return within("verify", *output, *words, *watch, "a", target, cwd=place)


def report_of(done, names):
    """The JSON report, None where the words are for people."""
    if {"human", "quiet"} & set(names):
        return None
    if "jsonl" in names:
        return json.loads(done.stdout.splitlines()[-1])
    return json.loads(done.stdout)


def metrics(place):
    lines = (place / "also.prom").read_text().splitlines()
    return {line.split("{")[0]: float(line.split()[-1]) for line in lines if line[0] != "#" and "reason" not in line}


def judge(place, done, names, target):
    """What was promised of a run that was not refused."""
    assert done.returncode in (0, 1), done.stderr
    receipt = json.loads(within("receipt", "check", "also.json", "-o", "json", cwd=place, expect=0).stdout)
    said = receipt["receipt"]["report"]
    assert said["identical"] is (receipt["result"] in ("identical", "repaired"))
    assert (receipt["result"] == "repaired") is ("repair" in names and said["identical"] and target == "b")
    assert (receipt["result"] == "different") is (done.returncode == 1), receipt["result"]
    if said["identical"] and "list.json" not in words_of(names[1]) and "--offset" not in words_of(names[1]):
        assert (place / "a").read_bytes() == (place / target).read_bytes()
    report = report_of(done, names)
    if report is not None:
        obeys({"differences": [], **report}, "report")
        assert keys_of(*names) <= set(report)
        assert {key: report[key] for key in said} == said
    found = metrics(place)
    assert found["blockdiff_verify_exit_code"] == done.returncode
    assert found["blockdiff_verify_identical"] == said["identical"]
    if said["identical"]:
        assert found["blockdiff_verify_mismatch_bytes"] == 0
    elif "repair" not in names:
        assert found["blockdiff_verify_mismatch_bytes"] == said["differing_bytes"]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_go_together_or_are_refused(one, other, place):
    names = (one, other)
    for target in ("same", "b"):
        done = run(place, target, *names)
        if tuple(sorted(names)) in REFUSED:
            assert (done.returncode, done.stdout) == (2, ""), done.stdout
            assert done.stderr.strip()
            assert not (place / "also.json").exists()
        else:
            judge(place, done, names, target)
            (place / "also.json").unlink()
            (place / "also.prom").unlink()


@pytest.mark.parametrize("name", ALSO)
def test_a_whole_volume_is_identical_only_if_all_was_compared(name, place):
    done = run(place, "same", name)
    report = json.loads(done.stdout)
    assert report["identical"] is (name not in ("sample", "confidence", "budget"))


WITH_MANIFEST = {"receipt", "metrics"}


@pytest.mark.parametrize("name", ALSO)
def test_a_manifest_in_place_of_a_side(name, place):
    """Needs digests only, or is refused."""
    from blockdiff.engine.manifest import Digesting
    from blockdiff.engine.registry import open_device

    device = open_device(str(place / "a"))
    Digesting(device).save(str(place / "a.manifest"))
    device.close()
    for target, code in (("same", 0), ("b", 1)):
        words = [word.format(target=target) for word in words_of(name)]
        done = within("verify", "-o", "json", target, "a.manifest", *words, cwd=place)
        if name not in WITH_MANIFEST:
            assert (done.returncode, done.stdout) == (2, "")
            assert "needs the data of both sides" in done.stderr
            continue
        assert done.returncode == code, done.stderr
        report = obeys(json.loads(done.stdout), "report")
        assert report["identical"] is (code == 0)
        if name == "receipt":
            within("receipt", "check", "also.json", "--require-identical", cwd=place, expect=code)
            (place / "also.json").unlink()
        else:
            assert metrics(place)["blockdiff_verify_exit_code"] == code
            (place / "also.prom").unlink()


def test_a_dry_run_proves_nothing_and_leaves_nothing(place):
    for words in (("--receipt", "also.json"), ("--metrics", "also.prom")):
        done = within("verify", "--estimate", "--dry-run", *words, "a", "same", cwd=place, expect=2)
        assert "--dry-run" in done.stderr
        assert not (place / words[1]).exists()


FILES = {"checkpoint": (), "ledger": (), "journal": ("--repair",), "receipt": (), "metrics": ()}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FILES, 2)))
def test_no_two_write_the_same_file(one, other, place):
    """The metrics of a repair would be written over its undo journal."""
    (place / "link").symlink_to(place)
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    words = (f"--{one}", "x", f"--{other}", "link/x", *FILES[one], *FILES[other])
    done = within("verify", "a", "b", *words, cwd=place, expect=2)
    assert f"--{one} and --{other} write the same file, link/x" in " ".join(done.stderr.split())
    assert {path: path.read_bytes() for path in place.iterdir() if path.is_file()} == before


def test_every_aspect_is_here():
    """Who adds one adds it to the table, and learns what it goes with."""
    assert {module for _, _, module in ALSO.values()} | {"blockmap"} == set(ASPECTS)
    words = {word for words, _, _ in ALSO.values() for word in words}
    for name, module in zip(ASPECTS, _modules(), strict=True):
        options = {opt for option in module.OPTIONS for opt in names(option)}
        assert name == "blockmap" or words & options, name


def names(option):
    """The names of an option, of the decorator that adds it."""

    def command():
        pass

    return option(command).__click_params__[0].opts
