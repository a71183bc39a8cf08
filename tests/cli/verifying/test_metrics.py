"""``verify --metrics``: a failure keeps the last success, so that an alert fires, and nothing looks like a success."""

import json
import os
import random
import signal
import stat
import time

import pytest

from blockdiff.cli import devices
from blockdiff.testing.faults import FaultDevice
from tests.fixtures.cli import finish, start, within

BLOCK = 4096
SIZE = 16 * BLOCK + 7
P = "blockdiff_verify_"
INPUTS = int(os.environ.get("FUZZ_INPUTS", "2000"))


@pytest.fixture
def place(tmp_path):
    content = bytearray(os.urandom(SIZE))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "same").write_bytes(content)
    content[5 * BLOCK : 7 * BLOCK] = bytes(2 * BLOCK)
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "empty").touch()
    (tmp_path / "none").touch()
    return tmp_path


def run(place, *words, expect, name="m.prom"):
    return within("verify", "-q", *words, "--metrics", name, cwd=place, expect=expect)


def read(place, name="m.prom"):
    """What Prometheus reads: {(name without prefix, reason): value}, and the labels."""
    parser = pytest.importorskip("prometheus_client.parser")
    found, labels = {}, set()
    for family in parser.text_string_to_metric_families((place / name).read_text()):
        for sample in family.samples:
            rest = dict(sample.labels)
            key = sample.name.removeprefix(P)
            if "reason" in rest:
                key = f"{key} {rest.pop('reason')}"
            found[key] = sample.value
            labels.add((rest.pop("source"), rest.pop("target")))
            assert not rest
    assert len(labels) == 1
    return found, labels.pop()


def test_identical(place):
    before = time.time()
    run(place, "a", "same", expect=0)
    found, labels = read(place)
    assert labels == ("a", "same")
    assert (
        before <= found.pop("last_success_timestamp_seconds") == found.pop("last_run_timestamp_seconds") <= time.time()
    )
    assert 0 < found.pop("duration_seconds") < 60
    assert found == {
        "bytes_total": SIZE,
        "mismatch_bytes": 0,
        "unverified_bytes": 0,
        "identical": 1,
        "exit_code": 0,
        "fallback_total checksums-refused": 0,
        "fallback_total checksums-partial": 0,
        "fallback_total page-cache": 0,
    }


def test_the_names_of_the_contract(place):
    run(place, "a", "same", expect=0)
    text = (place / "m.prom").read_text()
    for name in ("bytes_total", "mismatch_bytes", "unverified_bytes", "last_success_timestamp_seconds",
                 "duration_seconds", "fallback_total"):  # fmt: skip
        assert f"\n{P}{name}{{" in text
    assert text.count("# TYPE") == text.count("# HELP") == 11
    assert text.endswith("\n")


def test_a_difference_keeps_the_last_success(place):
    run(place, "a", "same", expect=0)
    success = read(place)[0]["last_success_timestamp_seconds"]
    os.rename(place / "b", place / "same")
    run(place, "a", "same", expect=1)
    found, _ = read(place)
    assert found["last_success_timestamp_seconds"] == success < found["last_run_timestamp_seconds"]
    assert (found["identical"], found["exit_code"], found["mismatch_bytes"]) == (0, 1, 2 * BLOCK)


def test_without_an_earlier_success_there_is_none(place):
    run(place, "a", "b", expect=1)
    assert read(place)[0]["last_success_timestamp_seconds"] == 0


def test_counts_go_on(place):
    for _ in range(3):
        run(place, "a", "same", expect=0)
    assert read(place)[0]["bytes_total"] == 3 * SIZE


def test_what_a_checkpoint_has_is_not_counted_again(place):
    words = ("--checkpoint", "c.ckpt", "--keep-checkpoint", "a", "same")
    for _ in range(2):
        run(place, *words, expect=0)
    found, _ = read(place)
    assert (found["bytes_total"], found["unverified_bytes"], found["identical"]) == (SIZE, 0, 1)


def test_a_ledger(place):
    words = ("--ledger", "volume.ledger", "--budget", "32K", "a", "same")
    for never in (7, 0):  # 64 KiB are the unit, and the least that is looked at
        run(place, *words, expect=0)
        found, _ = read(place)
        assert (found["never_verified_bytes"], found["identical"]) == (never, 0)
    assert 0 <= found["oldest_unverified_age_seconds"] < 1000


def faulty(monkeypatch, picture):
    opening = devices.open_named
    monkeypatch.setattr(
        devices, "open_named", lambda name: FaultDevice(opening(name), picture) if name == "same" else opening(name)
    )


def test_a_failed_run(place, monkeypatch):
    run(place, "a", "same", expect=0)
    success = read(place)[0]["last_success_timestamp_seconds"]
    faulty(monkeypatch, "...E")
    run(place, "a", "same", expect=3)
    found, labels = read(place)
    assert labels == ("a", "same")
    assert found["last_success_timestamp_seconds"] == success < found["last_run_timestamp_seconds"]
    assert (found["identical"], found["exit_code"]) == (0, 3)


def test_unreadable_bytes_are_unverified(place, monkeypatch):
    faulty(monkeypatch, "...EE")
    run(place, "--keep-going", "a", "same", expect=3)
    found, _ = read(place)
    assert (found["unverified_bytes"], found["exit_code"], found["identical"]) == (2 * BLOCK, 3, 0)


@pytest.mark.parametrize(
    ("words", "unverified"),
    [
        (("--length", "4096"), SIZE - 4096),
        (("--offset", "8192"), 8192),
        (("--extents", "list"), SIZE - 4096),
    ],
    ids=["beginning", "end", "list"],
)
def test_what_was_not_asked_for_is_unverified(words, unverified, place):
    (place / "list").write_text('[{"offset":0,"length":4096}]')
    run(place, *words, "a", "same", expect=0)
    found, _ = read(place)
    assert found["unverified_bytes"] == unverified
    assert found["bytes_total"] == SIZE - unverified


@pytest.mark.parametrize(("words", "code", "unverified"), [((), 1, 0), (("--size", "min"), 0, 100)])
def test_devices_of_different_sizes(words, code, unverified, place):
    (place / "short").write_bytes((place / "a").read_bytes()[:-100])
    run(place, *words, "a", "short", expect=code)
    assert read(place)[0]["unverified_bytes"] == unverified


def test_empty_devices(place):
    run(place, "empty", "none", expect=0)
    found, _ = read(place)
    assert (found["bytes_total"], found["unverified_bytes"], found["identical"]) == (0, 0, 1)


def test_a_run_that_did_not_begin(place):
    run(place, "a", "missing", expect=3)
    found, labels = read(place)
    assert labels == ("a", "missing")
    assert (found["exit_code"], found["last_success_timestamp_seconds"], found["identical"]) == (3, 0, 0)
    assert not {"mismatch_bytes", "unverified_bytes", "duration_seconds"} & set(found)


def test_a_device_that_is_gone_keeps_what_is_known(place):
    run(place, "a", "same", expect=0)
    before, _ = read(place)
    (place / "same").unlink()
    run(place, "a", "same", expect=3)
    found, labels = read(place)
    assert labels == ("a", "same")
    assert found["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
    assert (found["exit_code"], found["bytes_total"]) == (3, SIZE)
    os.rename(place / "b", place / "same")
    run(place, "a", "same", expect=1)
    assert read(place)[0]["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]


@pytest.mark.slow
def test_an_interrupted_run(place):
    with (place / "big").open("wb") as file:
        file.write(os.urandom(8 << 20))
    (place / "big2").write_bytes((place / "big").read_bytes())
    process = start("verify", "--rate", "1M", "big", "big2", "--metrics", "m.prom", "--progress", "json", cwd=place)
    process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 130
    found, _ = read(place)
    assert (found["exit_code"], found["identical"]) == (130, 0)
    assert found["unverified_bytes"] > 0


def test_damage_is_told_and_nothing_of_it_believed(place):
    run(place, "a", "same", expect=0)
    path = place / "m.prom"
    path.write_text(path.read_text().replace("last_success_timestamp_seconds{", "last_success_timestamp_seconds["))
    report = json.loads(within("verify", "-o", "json", "a", "b", "--metrics", "m.prom", cwd=place, expect=1).stdout)
    assert "m.prom was damaged (line" in report["warnings"][0]
    found, _ = read(place)
    assert (found["last_success_timestamp_seconds"], found["bytes_total"]) == (0, SIZE)


def test_a_file_of_other_devices_lends_no_success(place):
    run(place, "a", "same", expect=0)
    done = within("verify", "a", "b", "--metrics", "m.prom", cwd=place, expect=1)
    assert "warning: m.prom was about a and same: counts and the last success begin anew" in done.stdout
    found, labels = read(place)
    assert labels == ("a", "b")
    assert (found["last_success_timestamp_seconds"], found["bytes_total"]) == (0, SIZE)


def test_damaged_files_never_make_a_success(place):
    """Whatever stood in the file, a difference is written as one, and the last success is one that was there or 0."""
    run(place, "a", "same", expect=0)
    good = (place / "m.prom").read_bytes()
    known = read(place)[0]["last_success_timestamp_seconds"]
    from blockdiff.errors import InvalidInput
    from blockdiff.metrics.run import Run, past, text

    chance = random.Random(7)
    for _ in range(INPUTS):
        made = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(made))
            made[at : at + chance.choice((0, 1, 1, 20))] = chance.choice((b"", b"\n", b"9", b'"', b"\xff", b"{", b"}"))
        try:
            before = past(bytes(made))
        except InvalidInput:
            continue
        out = text(Run("a", "same", 1, known + 10), before).decode()
        assert f'{P}exit_code{{source="a",target="same"}} 1\n' in out
        assert f'{P}identical{{source="a",target="same"}} 0\n' in out


OURS = f"# HELP {P}identical All.\n{P}identical 1\n"


@pytest.mark.parametrize(
    "content",
    [
        "hello\n",
        "node_load1 0.1\n",
        f"  expr: {P}identical == 0\n",
        f"{OURS}node_load1 0.1\n",
        f'{OURS}up{{a="b"}} 1\n',
    ],
)
def test_what_is_not_ours_is_not_replaced(content, place):
    (place / "m.prom").write_text(content)
    done = run(place, "a", "same", expect=2)
    assert "is no file of metrics of blockdiff" in done.stderr
    run(place, "a", "missing", expect=3)
    assert (place / "m.prom").read_text() == content


def test_what_is_compared_is_not_replaced(place):
    """An empty device looks like a file that nobody has written yet."""
    (place / "empty").touch()
    (place / "m.prom").touch()
    done = within("verify", "empty", "m.prom", "--metrics", "m.prom", cwd=place, expect=2)
    assert "m.prom is to be compared, and is not replaced" in done.stderr
    assert (place / "m.prom").read_bytes() == b""


def test_what_became_another_file_meanwhile_is_not_replaced(place):
    (place / "big").write_bytes(bytes(range(256)) * (2 << 12))
    (place / "big2").write_bytes((place / "big").read_bytes())
    process = start("verify", "--rate", "1M", "big", "big2", "--metrics", "m.prom", "--progress", "json", cwd=place)
    process.stderr.readline()
    (place / "m.prom").write_text("mine")
    process.send_signal(signal.SIGTERM)
    code, _, stderr = finish(process)
    assert code == 130
    assert "is no file of metrics of blockdiff any more" in stderr
    assert (place / "m.prom").read_text() == "mine"


def test_an_empty_file_is_taken(place):
    (place / "m.prom").touch()
    run(place, "a", "same", expect=0)
    assert read(place)[0]["identical"] == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no/m.prom", "there is no directory"),
        ("new/", "there is no directory new/"),
        ("", "the name of a file is needed"),
        (".", "no regular file"),
        ("-", "name a file"),
    ],
)
def test_refused_before_anything_is_read(name, why, place):
    assert why in run(place, "a", "b", name=name, expect=2).stderr


def test_a_name_that_nobody_reads(place):
    assert "only files whose names end in .prom" in run(place, "a", "same", name="m.txt", expect=0).stderr


def test_everybody_may_read_it(place):
    old = os.umask(0o077)
    try:
        run(place, "a", "same", expect=0)
    finally:
        os.umask(old)
    assert stat.S_IMODE((place / "m.prom").stat().st_mode) == 0o644
    assert not [name for name in os.listdir(place) if name.startswith(".m.prom")]


def test_one_that_cannot_be_written_is_trouble(place, monkeypatch):
    run(place, "a", "same", expect=0)
    before = (place / "m.prom").read_bytes()

    def replace(one, other):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    done = run(place, "a", "same", expect=3)
    assert "cannot write m.prom: No space left on device" in done.stderr
    assert (place / "m.prom").read_bytes() == before


def test_names_that_are_no_text_count_on_too(place):
    name = os.fsdecode(b"\xff.img")
    (place / name).write_bytes((place / "a").read_bytes())
    for _ in range(2):
        run(place, "a", name, expect=0)
    found, labels = read(place)
    assert labels == ("a", "\\xff.img")
    assert found["bytes_total"] == 2 * SIZE


def test_with_a_receipt_that_fails(place, monkeypatch):
    """The exit code in the metrics is the one that the run ends with."""
    link = os.link

    def full(one, other):
        if other.endswith("r.json"):
            raise OSError(28, "No space left on device")
        link(one, other)

    monkeypatch.setattr(os, "link", full)
    rename = os.rename
    monkeypatch.setattr(
        os, "rename", lambda one, other: full(one, other) if other.endswith("r.json") else rename(one, other)
    )
    run(place, "a", "same", "--receipt", "r.json", expect=3)
    found, _ = read(place)
    assert (found["exit_code"], found["last_success_timestamp_seconds"]) == (3, 0)


def test_not_with_pairs(place):
    assert "--pairs and --metrics" in run(place, "--pairs", "plan", expect=2).stderr
