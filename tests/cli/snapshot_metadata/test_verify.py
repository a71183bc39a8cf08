"""blockdiff snapshot-metadata verify: three ways to check a list, each against volumes that it fits or does not fit."""

import json
import signal
import subprocess
import threading

import pytest
from fixtures.cbt import fail, record

from blockdiff.cli.main import run
from tests.cli.snapshot_metadata.conftest import CAPACITY, MIB, RECORDS, end
from tests.fixtures.schemas import obeys
from tests.fixtures.storage import unmount

VERIFY = ("snapshot-metadata", "verify")
LISTED = [(offset, length) for one in RECORDS for offset, length, _ in one.extents]
MISSED = {"offset": 4 * MIB, "length": 4096, "class": "data"}


class Volumes:
    """A volume restored from the snapshot, and one that differs from it in the listed ranges."""

    def __init__(self, cluster, monkeypatch, capsys):
        self.cluster, self._capsys = cluster, capsys
        self.source, self.target = cluster.place / "source", cluster.place / "target"
        content = bytearray(b"\x55" * CAPACITY)
        self.source.write_bytes(content)
        for offset, length in LISTED:
            content[offset : offset + length] = b"\xaa" * length
        self.target.write_bytes(content)
        monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)

    def words(self, *more, delta=True, target=True):
        old = ("-p=old",) if delta else ()
        place = (f"-tgt={self.target}",) if target else ()
        return (*VERIFY, "-n=app", "-s=new", *old, f"-src={self.source}", *place, *more)

    def run(self, *more, **kind):
        """(exit code, stdout, stderr)."""
        code = run([*self.words(*more, **kind)])
        return (code, *self._capsys.readouterr())

    def report(self, *more, expect, **kind):
        code, out, err = self.run(*more, "-o", "json", **kind)
        assert (code, err) == (expect, "")
        report = json.loads(out)
        obeys(report, "report")
        return report

    def spoil(self, offset=4 * MIB, length=4096, byte=b"\x77"):
        """A change that the list does not have."""
        with self.target.open("r+b") as file:
            file.seek(offset)
            file.write(byte * length)


@pytest.fixture
def volumes(cluster, monkeypatch, capsys):
    return Volumes(cluster, monkeypatch, capsys)


def play_allocated(volumes):
    """The source is zero but for what the list says."""
    content = bytearray(CAPACITY)
    for offset, length in LISTED:
        content[offset : offset + length] = b"\x55" * length
    volumes.source.write_bytes(content)


# -- as the original does it


def test_a_complete_list(volumes):
    code, out, err = volumes.run()
    assert (code, err) == (0, "")
    assert out.startswith("complete: with the listed 73,728 bytes in 3 ranges applied, all 8,388,608 bytes are identic")
    assert volumes.source.read_bytes() == volumes.target.read_bytes()


def test_what_a_list_left_out(volumes):
    volumes.spoil()
    volumes.spoil(6 * MIB, 8192)
    report = volumes.report(expect=1)
    assert report["differences"] == [MISSED, {"offset": 6 * MIB, "length": 8192, "class": "data"}]
    assert report["command"] == "verify"
    assert report["snapshot_metadata"] == {
        "snapshot": "app/new",
        "previous_snapshot": "old",
        "mode": "apply",
        "volume_capacity_bytes": CAPACITY,
        "records": 2,
        "listed_extents": 3,
        "listed_bytes": 73728,
        "applied_bytes": 73728,
    }
    code, out, _ = volumes.run()
    assert code == 1
    assert "INCOMPLETE LIST: with the listed 73,728 bytes in 3 ranges applied, 2 ranges, 12,288 bytes differ" in out
    code, out, _ = volumes.run("-o=jsonl")
    assert [json.loads(line).get("offset") for line in out.splitlines()] == [4 * MIB, 6 * MIB, 0]
    assert volumes.run("-q")[:2] == (1, "")


def test_an_empty_list(volumes):
    volumes.cluster.play = lambda request, context, number: iter(())
    assert volumes.report(expect=1)["differing_bytes"] == 73728
    volumes.target.write_bytes(volumes.source.read_bytes())
    assert volumes.report(expect=0)["snapshot_metadata"]["records"] == 0


def test_nothing_is_written_before_the_first_record(volumes):
    before = volumes.target.read_bytes()
    for answer in (
        lambda request, context, number: fail(context, "NOT_FOUND", "no such snapshot") or iter(()),
        lambda request, context, number: iter([b"\xff\xff"]),
        lambda request, context, number: iter([record((4096, 4096), (0, 4096), capacity=CAPACITY)]),
        lambda request, context, number: iter([record((2 * CAPACITY, 4096), capacity=4 * CAPACITY)]),
    ):
        volumes.cluster.play = answer
        for more in ((), ("--from-scratch",)):
            code, _, err = volumes.run(*more, "-no-resume", delta=not more)
            assert code in (2, 3, 5), err
            assert volumes.target.read_bytes() == before


def test_a_list_that_breaks_off(volumes):
    def play(request, context, number):
        yield from RECORDS
        fail(context, "INTERNAL", "the disk is gone")

    volumes.cluster.play = play
    code, out, err = volumes.run("-o", "json")
    assert code == 5
    report, trouble = json.loads(out), json.loads(err)
    assert (report["complete"], report["identical"], report["differences"]) == (False, False, [])
    assert "the disk is gone" in report["error"]
    assert trouble["exit_code"] == 5
    obeys(report, "report")


def test_volumes_that_do_not_fit(volumes):
    with volumes.target.open("ab") as file:
        file.write(bytes(4096))
    report = volumes.report(expect=1)
    assert [item["class"] for item in report["differences"]] == ["size"]
    assert any("has 8392704 bytes and the volume has 8388608" in text for text in report["warnings"])
    with volumes.target.open("r+b") as file:
        file.truncate(2 * MIB)
    report = volumes.report(expect=1)
    assert [(item["offset"], item["class"]) for item in report["differences"]] == [(2 * MIB, "size")]
    assert len([text for text in report["warnings"] if "the rest was not compared" in text]) == 1


@pytest.mark.parametrize("more", [(), ("--audit",), ("--from-scratch",)], ids=str)
def test_a_source_that_is_only_a_part(volumes, more):
    """Both are equal as far as they reach, and the list is not proved by that."""
    for path in (volumes.source, volumes.target):
        path.write_bytes(bytes(2 * MIB))
    before = volumes.target.stat().st_mtime_ns
    code, out, err = volumes.run(*more, delta="--from-scratch" not in more)
    assert (code, "it is not restored from it, or not all of it" in err) == (2, True)
    assert "complete" not in out
    assert volumes.target.stat().st_mtime_ns == before


def test_targets_that_are_refused(volumes):
    before = volumes.source.read_bytes()
    volumes.target.unlink()
    code, _, err = volumes.run()
    assert (code, "No such file" in err) == (3, True)
    assert not volumes.target.exists()
    volumes.target.symlink_to(volumes.source)
    for more in ((), ("--from-scratch",), ("--force",)):
        code, _, err = volumes.run(*more, delta="--from-scratch" not in more)
        assert (code, "refusing to write" in err) == (2, True)
    assert volumes.source.read_bytes() == before
    assert volumes.cluster.server.requests == []


# -- from scratch


def test_allocated_blocks_from_scratch(volumes):
    play_allocated(volumes)
    report = volumes.report("--from-scratch", expect=0, delta=False)
    facts = report["snapshot_metadata"]
    assert (facts["mode"], facts["previous_snapshot"]) == ("from-scratch", None)
    assert volumes.target.read_bytes() == volumes.source.read_bytes()
    with volumes.source.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"\x11" * 4096)
    volumes.target.unlink()
    assert volumes.report("--from-scratch", expect=1, delta=False)["differences"] == [{**MISSED, "class": "dst-zero"}]


def test_a_target_of_another_size_from_scratch(volumes):
    play_allocated(volumes)
    volumes.target.write_bytes(b"\xff" * 3 * MIB)
    volumes.report("--from-scratch", expect=0, delta=False)
    volumes.target.write_bytes(b"\xff" * 9 * MIB)
    volumes.report("--from-scratch", expect=0, delta=False)
    assert volumes.target.read_bytes() == volumes.source.read_bytes()


@pytest.mark.root
def test_block_devices_from_scratch(volumes, make_loop):
    play_allocated(volumes)
    source = make_loop(0, backing=volumes.source)
    target = make_loop(CAPACITY)
    target.path.write_bytes(b"\xff" * CAPACITY)
    volumes.source, volumes.target = source.path, target.path
    report = volumes.report("--from-scratch", expect=0, delta=False)
    assert report["snapshot_metadata"]["applied_bytes"] == 73728
    assert target.path.read_bytes() == source.path.read_bytes()
    subprocess.run(["mkfs.ext4", "-q", "-F", target.path], check=True, capture_output=True)
    point = volumes.cluster.place / "point"
    point.mkdir()
    subprocess.run(["mount", target.path, point], check=True)
    try:
        code, _, err = volumes.run("--from-scratch", delta=False)
    finally:
        unmount(point)
    assert (code, f"it is mounted on {point}" in err) == (2, True)


# -- by reading only


@pytest.fixture
def untouched(volumes):
    before = volumes.source.read_bytes(), volumes.target.read_bytes()
    yield
    assert (volumes.source.read_bytes(), volumes.target.read_bytes()) == before


@pytest.mark.usefixtures("untouched")
def test_an_audit(volumes):
    code, out, err = volumes.run("--audit")
    assert (code, err) == (0, "")
    assert out.startswith("correct: every byte that differs is listed")


def test_an_audit_of_what_is_missing(volumes):
    volumes.spoil()
    code, out, _ = volumes.run("--audit", "-o", "json")
    report = json.loads(out)
    obeys(report, "report")
    assert (code, report["under_reported"], report["snapshot_metadata"]["mode"]) == (1, [MISSED], "audit")
    assert (report["correct"], report["listed_extents"], report["list_granularity"]) == (False, 3, 4096)
    code, out, _ = volumes.run("--audit")
    assert (code, "UNDER-REPORTED: 4,096 bytes in 1 ranges" in out) == (1, True)


def test_an_audit_of_what_is_listed_for_nothing(volumes):
    volumes.cluster.play = lambda request, context, number: iter([*RECORDS, record((5 * MIB, 8192), capacity=CAPACITY)])
    code, out, _ = volumes.run("--audit", "--over", "-o", "json")
    report = json.loads(out)
    assert (code, report["over_reported_bytes"], report["unneeded_bytes"]) == (0, 8192, 8192)
    assert report["ranges"] == [{"offset": 5 * MIB, "length": 8192, "class": "over-reported"}]


def test_an_audit_of_allocated_blocks(volumes):
    play_allocated(volumes)
    assert volumes.run("--audit", delta=False, target=False)[0] == 0
    with volumes.source.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"\x11" * 4096)
    code, out, _ = volumes.run("--audit", "-o=json", delta=False, target=False)
    assert (code, [item["offset"] for item in json.loads(out)["under_reported"]]) == (1, [4 * MIB])


def test_an_audit_of_another_volume(volumes):
    volumes.cluster.play = lambda request, context, number: iter([record((CAPACITY, 4096), capacity=0)])
    code, _, err = volumes.run("--audit")
    assert (code, "is it the right volume?" in err) == (2, True)


def test_an_audit_without_a_complete_list(volumes):
    def play(request, context, number):
        yield RECORDS[0]
        fail(context, "INTERNAL", "the disk is gone")

    volumes.cluster.play = play
    code, out, err = volumes.run("--audit")
    assert (code, out, "the disk is gone" in err) == (5, "", True)


# -- what goes together


@pytest.mark.parametrize(
    ("more", "kind", "text"),
    [
        (("--audit", "--from-scratch"), {}, "choose one"),
        (("--from-scratch",), {}, "does not go with -p or -P"),
        (("--over",), {}, "--over goes with --audit"),
        (("--audit",), {"delta": False}, "leave out -tgt"),
        (("--audit", "-starting-offset=4096"), {}, "does not go with --starting-offset"),
        (("--audit",), {"target": False}, "Missing option '--target-device-path'"),
        ((), {"target": False}, "Missing option '--target-device-path'"),
        (("--granularity", "3"), {}, "granularity"),
    ],
    ids=str,
)
def test_what_does_not_go_together(volumes, more, kind, text):
    code, out, err = volumes.run(*more, **kind)
    assert (code, out, text in err) == (2, "", True), err
    assert volumes.cluster.server.requests == []


# -- interrupted


@pytest.mark.parametrize("more", [(), ("--audit",)], ids=["apply", "audit"])
def test_interrupted(volumes, more):
    asked = threading.Event()

    def play(request, context, number):
        yield RECORDS[0]
        asked.set()
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(60)

    volumes.cluster.play = play
    process = volumes.cluster.start(*volumes.words("-o", "json", *more))
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, err.strip()) == (130, "blockdiff: interrupted")
    report = json.loads(out)
    obeys(report, "report")
    assert (report["complete"], report["identical"], report["error"]) == (False, False, "interrupted")


def test_a_list_that_does_not_begin_at_the_start_is_never_complete(volumes):
    assert volumes.run()[0] == 0  # now both are equal
    code, out, err = volumes.run("-starting-offset=8192")
    assert (code, err) == (0, "")
    assert out.startswith("identical, but the list begins at byte 8,192: with the listed")
    assert "complete" not in out
