"""``verify --receipt``: what is in it is what was found, and nothing about it changes what was found."""

import hashlib
import json
import os
import re
import signal
import stat
import time

import pytest

from blockdiff._fast import Extents
from blockdiff.cli import devices
from blockdiff.engine.verify import Verification
from blockdiff.extent import Kind
from blockdiff.receipt import facts
from blockdiff.receipt.predicate import EMPTY
from blockdiff.testing.faults import FaultDevice
from tests.fixtures.cli import blockdiff, finish, start, within
from tests.fixtures.receipts import opened, openssl_key, openssl_verifies, pae
from tests.fixtures.schemas import obeys

BLOCK = 4096
SIZE = 64 * BLOCK + 7


@pytest.fixture
def place(tmp_path):
    content = bytearray(os.urandom(SIZE))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "same").write_bytes(content)
    content[5 * BLOCK] ^= 1
    content[40 * BLOCK : 42 * BLOCK] = bytes(2 * BLOCK)
    content[-1] ^= 255
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "empty").touch()
    (tmp_path / "none").touch()
    openssl_key(tmp_path, "k")
    return tmp_path


def run(place, *words, expect):
    return within("verify", *words, cwd=place, expect=expect)


def predicate(place, name="r.json"):
    return opened(place / name)[2]["predicate"]


def test_openssl_verifies_it(place):
    run(place, "-q", "a", "b", "--receipt", "r.json", "--sign", "k", expect=1)
    envelope, payload, statement = opened(place / "r.json")
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    from base64 import b64decode

    sig = b64decode(envelope["signatures"][0]["sig"])
    assert openssl_verifies(place / "k.pub", sig, pae(envelope["payloadType"], payload), place)
    assert not openssl_verifies(place / "k.pub", sig, pae(envelope["payloadType"], payload + b" "), place)
    assert envelope["signatures"][0]["keyid"] == statement["predicate"]["signer"]["key_id"]
    obeys(envelope, "receipt")
    obeys(statement, "receipt_statement")


def test_it_has_the_report_and_the_differences(place):
    report = json.loads(run(place, "-o", "json", "a", "b", "--receipt", "r.json", expect=1).stdout)
    made = predicate(place)
    told = report.pop("receipt")
    assert report.pop("differences")
    assert made["report"] == report
    assert made["result"] == "different"
    assert made["source"]["url"] == "a"
    assert (made["source"]["size"], made["target"]["size"]) == (SIZE, SIZE)
    status = (place / "a").stat()
    assert made["source"]["identity"] == f"file/{status.st_dev}/{status.st_ino}"
    assert told == {
        "file": "r.json",
        "sha256": hashlib.sha256((place / "r.json").read_bytes()).hexdigest(),
        "signed": False,
    }
    obeys({**report, "receipt": told, "differences": []}, "report")


@pytest.mark.parametrize("target", ["b", "same"])
def test_the_digest_is_of_the_lines_that_jsonl_prints(target, place):
    lines = run(place, "-o", "jsonl", "a", target, "--receipt", "r.json", expect=int(target == "b")).stdout.splitlines()
    found = "".join(line + "\n" for line in lines[:-1]).encode()
    made = predicate(place)["differences"]
    assert made["sha256"] == hashlib.sha256(found).hexdigest()
    assert made["count"] == len(lines) - 1
    assert made["bytes"] == sum(json.loads(line)["length"] for line in lines[:-1])


def test_a_limited_list_changes_no_receipt(place):
    for name, words in (("all", ()), ("one", ("--max-differences", "1")), ("json", ("-o", "json")), ("q", ("-q",))):
        run(place, "a", "b", "--receipt", f"{name}.json", *words, expect=1)
    made = {json.dumps(predicate(place, f"{name}.json")["differences"]) for name in ("all", "one", "json", "q")}
    assert len(made) == 1


def test_empty_devices(place):
    run(place, "empty", "none", "--receipt", "r.json", expect=0)
    made = predicate(place)
    assert (made["result"], made["differences"]) == ("identical", {"count": 0, "bytes": 0, "sha256": EMPTY})
    within("receipt", "check", "--require-identical", "r.json", cwd=place, expect=0)


@pytest.mark.parametrize(("words", "result"), [((), "different"), (("--size", "min"), "identical")])
def test_devices_of_different_sizes(words, result, place):
    (place / "short").write_bytes((place / "a").read_bytes()[:-100])
    run(place, "a", "short", "--receipt", "r.json", *words, expect=int(result == "different"))
    assert predicate(place)["result"] == result
    within("receipt", "check", "--require-identical", "r.json", cwd=place, expect=1)


def test_the_first_difference_only(place):
    run(place, "--first", "a", "b", "--receipt", "r.json", expect=1)
    made = predicate(place)
    assert (made["result"], made["report"]["complete"], made["differences"]["count"]) == ("different", False, 1)
    within("receipt", "check", "r.json", cwd=place, expect=0)


def test_times_are_utc(place):
    before = time.time()
    run(place, "a", "same", "--receipt", "r.json", expect=0)
    made = predicate(place)
    pattern = r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z"
    moments = [re.fullmatch(pattern, made[name]).groups() for name in ("started", "finished")]
    import calendar

    seconds = [calendar.timegm(tuple(map(int, moment[:6]))) + int(moment[6]) / 1000 for moment in moments]
    assert before - 0.002 <= seconds[0] <= seconds[1] <= time.time() + 0.002


def test_the_options_are_told(place):
    run(place, "--strict", "--workers", "2", "--rate", "1G", "a", "same", "--receipt", "r.json", expect=0)
    options = predicate(place)["options"]
    assert (options["strict"], options["workers"], options["rate"]) == (True, 2, 1 << 30)
    assert (options["method"], options["listed"], options["also"]) == ("auto", False, ["--receipt"])


def test_what_was_found_is_said_without_a_receipt_too(place):
    plain = run(place, "a", "b", expect=1).stdout
    also = run(place, "a", "b", "--receipt", "r.json", expect=1).stdout
    assert [line for line in also.splitlines() if "in 0.0" not in line] == [
        *[line for line in plain.splitlines() if "in 0.0" not in line],
        "receipt r.json: UNSIGNED",
    ]


def test_a_directory_gets_a_new_file_each_time(place):
    (place / "receipts").mkdir()
    for _ in range(2):
        run(place, "a", "same", "--receipt", "receipts", expect=0)
    names = os.listdir(place / "receipts")
    assert len(names) == 2
    assert all(re.fullmatch(r"verify-\d{8}T\d{6}Z-[0-9a-f]{8}\.json", name) for name in names)


def test_nothing_is_overwritten(place):
    (place / "r.json").write_text("mine")
    done = run(place, "a", "same", "--receipt", "r.json", expect=2)
    assert (place / "r.json").read_text() == "mine"
    assert not done.stdout
    done = run(place, "a", "same", "--receipt", "r.json", "--replace-receipt", expect=2)
    assert "r.json is not replaced" in done.stderr
    assert (place / "r.json").read_text() == "mine"


def test_a_receipt_is_replaced_when_asked_for(place):
    run(place, "a", "b", "--receipt", "r.json", expect=1)
    run(place, "a", "same", "--receipt", "r.json", expect=2)
    assert predicate(place)["result"] == "different"
    run(place, "a", "same", "--receipt", "r.json", "--replace-receipt", expect=0)
    assert predicate(place)["result"] == "identical"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--sign", "k"), "--sign is about a receipt"),
        (("--replace-receipt",), "--replace-receipt is about a receipt"),
        (("--receipt", "-"), "name a file"),
        (("--receipt", "no/r.json"), "there is no directory"),
        (("--receipt", "new/"), "there is no directory new/"),
        (("--receipt", ""), "the name of a file is needed"),
        (("--receipt", "r.json", "--sign", "no"), "cannot read the key in no"),
        (("--receipt", "r.json", "--sign", "k.pub"), "is a public key"),
        (("--receipt", "r.json", "--sign", "a"), "is no private key"),
    ],
    ids=["sign", "replace", "stdout", "directory", "new directory", "no name", "no key", "public key", "image"],
)
def test_refused_before_anything_is_read(words, why, place):
    done = run(place, "a", "b", *words, expect=2)
    assert why in done.stderr
    assert not done.stdout
    assert not (place / "r.json").exists()


def test_not_with_pairs(place):
    assert "--pairs and --receipt" in run(place, "--pairs", "plan", "--receipt", "r.json", expect=2).stderr


def test_a_key_that_others_can_read(place):
    (place / "k").chmod(0o644)
    done = run(place, "-q", "a", "same", "--receipt", "r.json", "--sign", "k", expect=0)
    assert "warning: k can be read by others" in done.stderr


def test_permissions(place):
    old = os.umask(0o077)
    try:
        run(place, "-q", "a", "same", "--receipt", "r.json", expect=0)
    finally:
        os.umask(old)
    assert stat.S_IMODE((place / "r.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("target", ["b", "same"])
def test_one_that_cannot_be_written_does_not_change_what_was_found(target, place, monkeypatch):
    words = ["-o", "json", "a", target]
    plain = json.loads(run(place, *words, expect=int(target == "b")).stdout)

    def fsync(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    done = run(place, *words, "--receipt", "r.json", expect=3)
    value = json.loads(done.stdout)
    assert (value["identical"], value["differences"]) == (plain["identical"], plain["differences"])
    assert "there is no receipt: cannot write r.json: No space left on device" in value["warnings"]
    assert json.loads(done.stderr)["error"] == "OutputError"
    assert "receipt" not in value
    assert not [name for name in os.listdir(place) if "r.json" in name]


def faulty(monkeypatch, picture):
    """The device that is called same has these faults."""
    opening = devices.open_named
    monkeypatch.setattr(
        devices, "open_named", lambda name: FaultDevice(opening(name), picture) if name == "same" else opening(name)
    )


def test_a_run_that_fails_has_a_receipt_that_says_so(place, monkeypatch):
    faulty(monkeypatch, "...E")
    run(place, "a", "same", "--receipt", "r.json", "--sign", "k", expect=3)
    made = predicate(place)
    assert (made["result"], made["report"]["identical"], made["report"]["complete"]) == ("failed", False, False)
    assert "cannot read same at offset" in made["report"]["error"]
    out = within("receipt", "check", "r.json", "--key", "k.pub", cwd=place, expect=0).stdout
    assert "FAILED: cannot read" in out
    within("receipt", "check", "r.json", "--key", "k.pub", "--require-identical", cwd=place, expect=1)


def test_unreadable_ranges(place, monkeypatch):
    """A read error that was passed over is in the receipt, and never an identity."""
    faulty(monkeypatch, "...E")
    run(place, "--keep-going", "a", "same", "--receipt", "r.json", expect=3)
    made = predicate(place)
    assert made["result"] == "unreadable"
    assert made["report"]["unreadable"] == [{"offset": 12288, "length": 4096, "side": "target"}]
    assert "UNREADABLE" in within("receipt", "check", "r.json", cwd=place, expect=0).stdout


def test_many_unreadable_ranges_are_counted_and_not_all_listed(place, monkeypatch):
    monkeypatch.setattr(facts, "UNREADABLE_LISTED", 2)
    faulty(monkeypatch, ".E" * 10)
    run(place, "--keep-going", "a", "same", "--receipt", "r.json", expect=3)
    report = predicate(place)["report"]
    assert (len(report["unreadable"]), report["unreadable_bytes"]) == (2, 10 * 4096)


def test_what_is_too_long_is_left_out_and_named(place, monkeypatch):
    monkeypatch.setattr(facts, "_LONGEST", 300)
    report = json.loads(run(place, "-o", "json", "a", "b", "--triage", "--receipt", "r.json", expect=1).stdout)
    made = predicate(place)["report"]
    assert "triage" in made["left_out"]
    assert "triage" not in made
    assert "triage" in report
    obeys(opened(place / "r.json")[2], "receipt_statement")
    within("receipt", "check", "r.json", cwd=place, expect=0)


def test_an_interruption_after_something_was_found(place, monkeypatch):
    differences = Verification._differences

    def interrupted(self):
        yield next(differences(self))
        self.report.count(Extents([(SIZE - 7, 7, Kind.DIFF_DATA)]))  # counted, and not yet given
        raise KeyboardInterrupt

    monkeypatch.setattr(Verification, "_differences", interrupted)
    run(place, "a", "b", "--receipt", "r.json", "--metrics", "m.prom", expect=130)
    made = predicate(place)
    assert made["result"] == "interrupted"
    assert made["differences"]["count"] == made["report"]["difference_count"] > 0
    assert made["differences"]["bytes"] == sum(made["report"]["bytes_by_class"].values())
    within("receipt", "check", "r.json", cwd=place, expect=0)
    assert "exit_code{" in (place / "m.prom").read_text()


@pytest.mark.slow
def test_an_interrupted_run_has_a_receipt_that_says_so(place):
    big = place / "big"
    with big.open("wb") as file:
        file.write(os.urandom(8 << 20))
    (place / "big2").write_bytes(big.read_bytes())
    process = start("verify", "--rate", "1M", "big", "big2", "--receipt", "r.json", "--progress", "json", cwd=place)
    process.stderr.readline()  # it has begun
    process.send_signal(signal.SIGINT)
    code, _, _ = finish(process)
    assert code == 130
    made = predicate(place)
    assert (made["result"], made["report"]["error"], made["report"]["identical"]) == (
        "interrupted",
        "interrupted",
        False,
    )
    within("receipt", "check", "r.json", cwd=place, expect=0)


def test_devices_that_cannot_be_opened_leave_no_receipt(place):
    run(place, "a", "missing", "--receipt", "r.json", expect=3)
    run(place, "a", "a", "--receipt", "r.json", expect=2)
    assert not (place / "r.json").exists()


def test_names_that_are_no_text(place):
    name = os.fsdecode(b"\xff.img")
    (place / name).write_bytes((place / "a").read_bytes())
    run(place, "-q", "a", name, "--receipt", "r.json", expect=0)
    assert predicate(place)["target"]["url"] == "\\xff.img"
    within("receipt", "check", "r.json", cwd=place, expect=0)


@pytest.mark.slow
def test_many_differences(place):
    """Half a million ranges: what is kept for the digest goes into a file, and the receipt stays small."""
    with (place / "x").open("wb") as one, (place / "y").open("wb") as other:
        one.truncate(1 << 30)
        for _ in range(1024):
            other.write((b"\1" + bytes(511) + bytes(512)) * 1024)
    done = blockdiff(
        "verify", "--granularity", "512", "-o", "jsonl", "x", "y", "--receipt", "r.json", cwd=place, expect=1
    )
    found = done.stdout.encode()
    found = found[: found.rstrip(b"\n").rindex(b"\n") + 1]
    made = predicate(place)["differences"]
    assert made["count"] == found.count(b"\n") == 1 << 20
    assert made["sha256"] == hashlib.sha256(found).hexdigest()
    assert (place / "r.json").stat().st_size < 10000


@pytest.mark.slow
def test_an_nbd_export(nbd, place):
    url = nbd.nbdkit("file", place / "b", read_only=True).uri()
    run(place, "a", url, "--receipt", "r.json", "--sign", "k", "--metrics", "m.prom", expect=1)
    made = predicate(place)
    assert (made["result"], made["target"]["size"]) == ("different", SIZE)
    assert made["target"]["identity"].startswith("nbd/")
    assert made["report"]["target"]["bytes_by_path"].keys() == {"remote"}
    within("receipt", "check", "r.json", "--key", "k.pub", cwd=place, expect=0)


@pytest.mark.slow
@pytest.mark.ceph
def test_snapshots_on_a_cluster(ceph, place):
    spec = ceph.image("a", 8 << 20, b"data" * 3000)
    ceph.snapshot(spec, "one")
    ceph.write(spec, 4 << 20, b"new" * 5000)
    ceph.snapshot(spec, "two")
    one, two = (ceph.url(f"{spec}@{name}") for name in ("one", "two"))
    done = blockdiff(
        "verify", "-o", "jsonl", one, two, "--receipt", "r.json", "--sign", "k", "--metrics", "m.prom",
        cwd=place, expect=1, timeout=110,
    )  # fmt: skip
    made = predicate(place)
    assert made["source"]["identity"]
    assert made["source"]["identity"] != made["target"]["identity"]
    found = "".join(line + "\n" for line in done.stdout.splitlines()[:-1]).encode()
    assert made["differences"]["sha256"] == hashlib.sha256(found).hexdigest()
    assert made["report"]["method"] in ("osd-checksum", "content")
    within("receipt", "check", "r.json", "--key", "k.pub", cwd=place, expect=0)
    assert 'exit_code{source="rbd:' in (place / "m.prom").read_text()
