"""`blockdiff pairs`, `verify --pairs` and `diff --pairs` over files that JSON lists name."""

import json
import os
import random
import signal
import subprocess
import sys

import pytest

from blockdiff.cli.paired import running
from blockdiff.engine.registry import open_device
from blockdiff.testing import FaultDevice
from tests.fixtures.cli import COMMAND, finish, start
from tests.fixtures.cli import within as blockdiff
from tests.fixtures.schemas import obeys

MIB = 1 << 20
TAGS = [f"auto-v2-hourly-20260101{hour:02}00-4" for hour in range(3)]


@pytest.fixture
def sides(tmp_path):
    """Two disks of one machine at three tags, on two sides: lists, and the files that they name."""
    lists = {"here": [], "there": []}
    for disk in ("one-1-4-0", "one-1-4-1"):
        content = bytearray(random.Random(disk).randbytes(2 * MIB))
        for number, tag in enumerate(TAGS):
            content[number * 8192 : number * 8192 + 4096] = bytes(4096)
            for name, made in lists.items():
                path = tmp_path / f"{name}-{disk}-{number}.img"
                path.write_bytes(content)
                made.append({"name": tag, "volume": disk, "url": str(path), "size": len(content)})
    for name, made in lists.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    return tmp_path


def planned(sides, *options, target="there.json", expect=0):
    names = [sides / "here.json", *([sides / target] if target else [])]
    done = blockdiff("pairs", "--json", *names, "-o", "json", *options, expect=expect)
    (sides / "plan.json").write_text(done.stdout)
    return obeys(json.loads(done.stdout), "pairs")


def run(command, sides, *options, expect):
    done = blockdiff(command, "--pairs", sides / "plan.json", "-o", "json", *options, expect=expect)
    return obeys(json.loads(done.stdout), "pairsreport")


def edit(sides, name, change):
    path = sides / name
    made = json.loads(path.read_text())
    path.write_text(json.dumps(change(made)))


def harm(sides, name="there-one-1-4-1-1.img"):
    with open(sides / name, "r+b") as file:
        file.seek(MIB + 5)
        file.write(b"another")


def verdicts(report):
    return [group["verdict"] for group in report["groups"]]


def test_replicas_that_are_identical(sides):
    plan = planned(sides)
    assert [(pair["volume"], pair["source"]["name"], pair["by"]) for pair in plan["pairs"]] == [
        (disk, tag, "instant") for tag in TAGS for disk in ("one-1-4-0", "one-1-4-1")
    ]
    report = run("verify", sides, expect=0)
    assert (report["identical"], report["verdict"]) == (True, "identical")
    assert report["counts"] == {"identical": 6, "different": 0, "failed": 0}
    assert verdicts(report) == ["identical"] * 3
    said = blockdiff("verify", "--pairs", sides / "plan.json", expect=0).stdout
    assert said.splitlines()[-1] == "identical: 6 pairs (6 identical) in 3 groups"


def test_one_disk_that_differs_makes_its_group_different(sides):
    planned(sides)
    harm(sides)
    report = run("verify", sides, expect=1)
    assert verdicts(report) == ["identical", "different", "identical"]
    assert (report["identical"], report["verdict"]) == (False, "different")
    (found,) = [pair for pair in report["pairs"] if pair["verdict"] == "different"]
    assert (found["volume"], found["tag"]) == ("one-1-4-1", TAGS[1])
    assert found["differences"] == [{"offset": MIB, "length": 4096, "class": "data"}]
    said = blockdiff("verify", "--pairs", sides / "plan.json", expect=1).stdout
    assert f"vm 4@{TAGS[1]}: different" in said
    assert "first at 1,048,576" in said


def test_a_volume_that_is_a_group_by_itself_is_told_once(sides):
    planned(sides, "--group", "none")
    harm(sides)
    said = blockdiff("verify", "--pairs", sides / "plan.json", expect=1).stdout.splitlines()
    assert [line for line in said if f"one-1-4-1@{TAGS[1]}" in line] == [line for line in said[:-1] if "differ" in line]
    assert len(said) == 7


@pytest.mark.parametrize("most", [0, 1])
def test_only_so_many_differences_are_listed(sides, most):
    planned(sides)
    harm(sides)
    report = run("verify", sides, "--max-differences", str(most), expect=1)
    assert [len(pair["differences"]) for pair in report["pairs"]] == [0, 0, 0, most, 0, 0]


def test_lines(sides):
    planned(sides)
    harm(sides)
    done = blockdiff("verify", "--pairs", sides / "plan.json", "-o", "jsonl", expect=1)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    whole = run("verify", sides, expect=1)
    ranges = [line for line in lines if "offset" in line]
    assert ranges == [{"pair": 4, "offset": MIB, "length": 4096, "class": "data"}]
    assert [line["verdict"] for line in lines if "number" in line] == [pair["verdict"] for pair in whole["pairs"]]
    assert [line for line in lines if "name" in line] == whole["groups"]
    assert obeys(lines[-1], "pairsreport")["verdict"] == "different"


def test_a_group_that_is_not_whole_is_not_identical(sides):
    edit(
        sides,
        "there.json",
        lambda made: [item for item in made if (item["volume"], item["name"]) != ("one-1-4-1", TAGS[2])],
    )
    plan = planned(sides)
    assert [group["complete"] for group in plan["groups"]] == [True, True, False]
    report = run("verify", sides, expect=1)
    assert (report["identical"], report["verdict"]) == (False, "incomplete")
    assert verdicts(report) == ["identical", "identical", "incomplete"]
    assert report["groups"][2]["lacking"] == [{"volume": "one-1-4-1", "reason": "it is not on the target"}]


def test_what_the_target_does_not_have_yet_is_told(sides):
    edit(sides, "there.json", lambda made: [item for item in made if item["name"] != TAGS[2]])
    planned(sides)
    assert run("verify", sides, expect=0)["missing"] == 2
    assert "2 snapshots only on the source" in blockdiff("verify", "--pairs", sides / "plan.json").stdout


def test_a_conflict_is_not_identical(sides):
    for name, content in (("here.json", "x"), ("there.json", "y")):
        edit(sides, name, lambda made, content=content: [{**made[0], "content": content}, *made[1:]])
    plan = planned(sides)
    assert [item["reason"] for item in plan["conflicts"]] == ["they have other content"]
    report = run("verify", sides, expect=1)
    assert report["groups"][0]["lacking"][0]["reason"] == "conflict: they have other content"


@pytest.mark.parametrize(("match", "pairs"), [("proven", 4), ("name", 6)])
def test_names_that_prove_nothing(sides, match, pairs):
    for name in ("here.json", "there.json"):
        edit(sides, name, lambda made: [{**item, "name": item["name"].replace(TAGS[0], "before")} for item in made])
    plan = planned(sides, "--match", match)
    assert len(plan["pairs"]) == pairs
    assert len(plan["unproven"]) == 6 - pairs
    report = run("verify", sides, expect=int(match == "proven"))
    assert report["identical"] is (match == "name")


def test_a_pair_that_fails_does_not_end_the_run(sides):
    planned(sides)
    harm(sides)
    (sides / "there-one-1-4-0-0.img").unlink()
    report = run("verify", sides, expect=3)
    assert report["counts"] == {"identical": 4, "different": 1, "failed": 1}
    assert verdicts(report) == ["failed", "different", "identical"]
    assert report["pairs"][0]["error"]["error"] == "DeviceError"
    said = blockdiff("verify", "--pairs", sides / "plan.json", "-q", expect=3)
    assert said.stdout == ""
    assert "pair 1" in said.stderr


def test_what_cannot_be_read_is_never_identical(sides, monkeypatch):
    """Two equal disks, of which one has a block that cannot be read: the others' verdicts stay."""
    planned(sides)

    def opening(url):
        device = open_device(url)
        return FaultDevice(device, "..E") if url.endswith("there-one-1-4-1-2.img") else device

    monkeypatch.setattr(running, "open_device", opening)
    monkeypatch.setattr(running, "check_identity", lambda device, **_: device)
    report = run("verify", sides, "--keep-going", expect=3)
    assert report["counts"] == {"identical": 5, "different": 0, "failed": 1}
    assert verdicts(report) == ["identical", "identical", "failed"]
    (bad,) = [pair["report"] for pair in report["pairs"] if pair["verdict"] == "failed"]
    assert (bad["unreadable"], bad["identical"]) == ([{"offset": 8192, "length": 4096, "side": "target"}], False)
    assert report["verdict"] == "failed"


@pytest.mark.parametrize("words", [["--method", "reflink"], ["--require", "content"]], ids=["method", "require"])
def test_a_method_that_needs_a_base(sides, words):
    """The first of each disk has none: what changed since nothing is not told by another method in silence."""
    planned(sides, target=None)
    report = run("diff", sides, *words, expect=4)
    assert [pair["error"]["message"].partition(":")[2] for pair in report["pairs"][:2]] == [" there is no base"] * 2


@pytest.mark.parametrize("command", ["verify", "diff"])
def test_what_is_not_what_the_plan_names_is_refused(sides, command):
    planned(sides, target="there.json" if command == "verify" else None)
    for path in sides.glob("*.img"):
        os.truncate(path, MIB)
    report = run(command, sides, expect=3)
    assert report["verdict"] == "failed"
    assert {pair["error"]["error"] for pair in report["pairs"]} == {"SnapshotReplaced"}


def test_another_file_of_the_same_name_is_refused(sides):
    """By identity, where the list has one."""
    edit(sides, "there.json", lambda made: [{**made[0], "identity": "file/1/2"}, *made[1:]])
    planned(sides)
    report = run("verify", sides, expect=3)
    assert [pair["verdict"] for pair in report["pairs"]] == ["failed", *["identical"] * 5]


def test_changes(sides):
    plan = planned(sides, target=None)
    assert [(pair["base"] or {}).get("name") for pair in plan["pairs"]] == [None, None, *TAGS[:1] * 2, *TAGS[1:2] * 2]
    report = run("diff", sides, expect=0)
    assert (report["command"], report["verdict"]) == ("diff", "changed")
    assert [pair["extents"] for pair in report["pairs"]][2:] == [
        [{"offset": offset, "length": 4096, "kind": "zero"}] for offset in (8192, 8192, 16384, 16384)
    ]
    assert run("diff", sides, "--exit-code", expect=1)["pairs"] == report["pairs"]
    said = blockdiff("diff", "--pairs", sides / "plan.json").stdout
    assert "since nothing: 2,097,152 bytes" in said


def test_changes_since_what_the_other_side_has(sides):
    edit(sides, "there.json", lambda made: [item for item in made if item["name"] != TAGS[2]])
    plan = planned(sides, "--for", "diff")
    assert [(pair["base"]["name"], pair["source"]["name"]) for pair in plan["pairs"]] == [(TAGS[1], TAGS[2])] * 2
    assert [base["source"]["name"] for base in plan["bases"]] == [TAGS[1]] * 2


def test_a_plan_without_pairs_is_not_identical(sides):
    (sides / "there.json").write_text("[]")
    planned(sides)
    for command, options in (("verify", []), ("verify", ["-q"])):
        said = blockdiff(command, "--pairs", sides / "plan.json", *options, expect=2).stderr
        assert "no pairs" in said
    report = run("verify", sides, "--allow-empty", expect=0)
    assert (report["identical"], report["verdict"]) == (False, "empty")


def test_from_one_command_to_the_next(sides):
    shell = f"{sys.executable} -m blockdiff"
    for form in ("json", "jsonl"):
        plan = f"{shell} pairs --json {sides}/here.json {sides}/there.json -o {form} | {shell} verify --pairs -"
        done = subprocess.run(plan, shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_cut_pipe_is_no_plan(sides):
    planned(sides)
    text = (sides / "plan.json").read_text()
    (sides / "plan.json").write_text(text[: len(text) // 2])
    assert "no plan" in blockdiff("verify", "--pairs", sides / "plan.json", expect=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pairs", "a", "b"], "cannot be listed"),
        (["pairs", "-", "b"], "goes with --json"),
        (["pairs", "--json", "-", "-"], "only one of the two"),
        (["pairs", "--json", "none.json"], "cannot read none.json"),
        (["pairs", "--json", "--for", "verify", "/dev/null"], "two sides"),
        (["pairs", "--json", "/dev/null"], "no JSON"),
        (["pairs", "nbd2:x"], "unknown scheme"),
        (["pairs", "--json", "/dev/null", "--at", "2026-01-01"], "goes with --schedule"),
        (["verify", "--pairs", "none.json"], "cannot read none.json"),
        (["verify", "--pairs", "/dev/null"], "is empty"),
        (["verify", "--pairs", "-", "a.img", "b.img"], "do not go together"),
        (["verify", "--pairs", "-", "--offset", "1"], "do not go together"),
        (["verify", "--pairs", "-", "--extents", "x"], "do not go together"),
        (["verify", "--allow-empty", "a", "b"], "goes with --pairs"),
        (["diff", "--allow-empty", "a", "b"], "goes with --pairs"),
        (["diff", "--pairs", "-", "a"], "do not go together"),
        (["diff", "--pairs", "-", "-o", "rbd"], "writes human"),
        (["diff", "--pairs", "-", "--to-name", "x"], "do not go together"),
        (["diff", "a"], "Missing argument 'TARGET'"),
        (["diff"], "Missing argument 'BASE'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_mean_nothing(words, said, tmp_path):
    done = blockdiff(*words, cwd=tmp_path)
    assert done.returncode in {2, 4}
    assert said in done.stderr


def test_a_plan_for_something_else(sides):
    planned(sides, "--for", "copy")
    assert "--for verify" in blockdiff("verify", "--pairs", sides / "plan.json", expect=2).stderr
    planned(sides)
    assert "--for diff" in blockdiff("diff", "--pairs", sides / "plan.json", expect=2).stderr


def test_a_list_without_urls_can_be_planned_but_not_gone_over(sides):
    edit(sides, "here.json", lambda made: [{k: v for k, v in item.items() if k != "url"} for item in made])
    planned(sides)
    assert "has no url" in blockdiff("verify", "--pairs", sides / "plan.json", expect=2).stderr


def test_grouped_otherwise(sides):
    assert [group["name"] for group in planned(sides, "--group", "tag")["groups"]] == [""] * 3
    assert len(planned(sides, "--group", "none")["groups"]) == 6


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1", "86401", "x"])
def test_a_tolerance_that_is_none(sides, tolerance):
    blockdiff("pairs", "--json", sides / "here.json", "--tolerance", tolerance, expect=2)


def gaps(sides, schedule, at, *options):
    found = planned(sides, "--schedule", schedule, "--at", at, *options, target=None)["gaps"]
    return [tuple(gap.values()) for gap in found]


def test_gaps_in_a_schedule(sides):
    """Three hours are there: 0, 1 and 2."""
    edit(sides, "here.json", lambda made: made[:3])
    assert gaps(sides, "hourly:local=3", "2026-01-01T02:59") == []
    first, last = "2026-01-01T03:00:00Z", "2026-01-01T05:00:00Z"
    assert gaps(sides, "hourly:local=24", "2026-01-01T05:00") == [("one-1-4-0", first, last, 3)]
    assert gaps(sides, "hourly:local=2", "2026-01-01T05:00") == [("one-1-4-0", "2026-01-01T04:00:00Z", last, 2)]
    half = "2026-01-01T01:30:00Z"
    assert gaps(sides, "30 1 * * *", "2026-01-01T02:00", "--language", "lxd") == [("one-1-4-0", half, half, 1)]
    assert (
        "gap: one-1-4-0: 3 snapshots were due"
        in blockdiff(
            "pairs",
            "--json",
            sides / "here.json",
            "--schedule",
            "hourly:local=24",
            "--at",
            "2026-01-01T05:00",
            expect=0,
        ).stdout
    )


def test_schedules_of_an_object_and_in_a_zone(sides):
    """LXD spreads its aliases by the object: the gap is at its minute."""
    edit(sides, "here.json", lambda made: made[:3])
    at, lxd = "2026-01-01T03:59:59", ("--language", "lxd")
    minutes = {gaps(sides, "@hourly", at, *lxd, "--id", name)[-1][2] for name in ("7", "8", "9")}
    assert len(minutes) == 3
    (gap,) = gaps(sides, "30 2 * * *", at, *lxd, "--zone", "Europe/Berlin", "--id", "7")
    assert gap[1] == "2026-01-01T01:30:00Z"


@pytest.mark.parametrize(
    "words",
    [["--at", "2026-01-01"], ["--id", "7"], ["--zone", "UTC"], ["--schedule", "hourly:local=3", "--id", "7"]],
    ids=["at", "id", "zone", "snapper"],
)
def test_options_of_schedules_without_one(sides, words):
    assert "goes with" in blockdiff("pairs", "--json", sides / "here.json", *words, expect=2).stderr


def test_snapshots_that_say_when_they_were_made(sides):
    times = ["2026-01-01T00:00:30Z", "2026-01-01T01:14:59Z", "2026-01-01T02:16:00Z"]
    (sides / "here.json").write_text(json.dumps([{"name": time, "created": time} for time in times]))
    late = "2026-01-01T02:00:00Z"
    assert gaps(sides, "hourly:local=24", "2026-01-01T02:30") == [("", late, late, 1)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--schedule", "hourly"], "hourly"),
        (["--schedule", "hourly:remote=3"], "no schedule of local snapshots"),
        (["--schedule", "hourly:local=3", "--at", "soon"], "is no time"),
    ],
    ids=["text", "remote", "time"],
)
def test_schedules_that_cannot_be_asked(sides, words, said):
    assert said in blockdiff("pairs", "--json", sides / "here.json", *words, expect=2).stderr


@pytest.mark.parametrize("language", [("hourly:local=3",), ("0 * * * *", "--language", "lxd")], ids=["keep", "all"])
@pytest.mark.parametrize("oldest", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2025-12-31T00:00:00Z"])
def test_gaps_since_the_beginning_of_time(sides, oldest, language, monkeypatch):
    """It ended in an overflow, and went over each hour since."""
    monkeypatch.setattr("blockdiff.cli.paired.missed.MOST", 10_000)
    (sides / "here.json").write_text(json.dumps([{"name": "s", "created": oldest}]))
    schedule, *options = language
    if oldest < "1" and options:
        words = ("--schedule", schedule, "--at", "2026-01-01", *options)
        assert "more than 10,000 times" in blockdiff("pairs", "--json", sides / "here.json", *words, expect=2).stderr
        return
    ((volume, first, last, ticks),) = gaps(sides, schedule, "2026-01-01T00:59", *options)
    assert (volume, last, ticks) == ("", "2026-01-01T00:00:00Z", 24 if options else 3)
    assert first == ("2025-12-31T01:00:00Z" if options else "2025-12-31T22:00:00Z")


def test_gaps_at_the_ends_of_time(sides):
    (sides / "here.json").write_text(json.dumps([{"name": "s", "created": "0001-01-01T00:00:00Z"}]))
    assert gaps(sides, "hourly:local=3", "0001-01-01T00:00") == []
    assert gaps(sides, "hourly:local=1", "9999-12-31T23:59")[0][1] == "9999-12-31T23:00:00Z"
    words = ("--schedule", "hourly:local=1", "--at", "0001-01-01T00:00+14:00")
    assert "is no time" in blockdiff("pairs", "--json", sides / "here.json", *words, expect=2).stderr


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_plan_without_pairs_in_any_form(sides, form):
    (sides / "there.json").write_text("[]")
    plan = blockdiff("pairs", "--json", sides / "here.json", sides / "there.json", "-o", form, expect=0).stdout
    blockdiff("verify", "--pairs", "-", stdin=plan, expect=2)
    said = blockdiff("verify", "--pairs", "-", "--allow-empty", stdin=plan, expect=0).stdout
    assert said.startswith("empty: 0 pairs")


def test_one_url_for_two_disks_is_refused(sides):
    """One of them would never have been compared."""
    edit(sides, "there.json", lambda made: [{**item, "url": made[0]["url"]} for item in made])
    said = blockdiff("pairs", "--json", sides / "here.json", sides / "there.json", expect=2).stderr
    assert "have one url" in said


def test_names_do_not_reach_the_terminal_raw(sides):
    (sides / "odd.json").write_text(json.dumps([{"name": "s\x1b[2J\n1"}]))
    said = blockdiff("pairs", "--json", sides / "odd.json", expect=0).stdout
    assert "\x1b" not in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize("output", ["human", "json", "jsonl"])
def test_interrupted(sides, output):
    planned(sides)
    process = start("verify", "--pairs", sides / "plan.json", "-o", output, "--rate", "2M", "--read", "buffered")
    said = process.stdout.read(30)  # the first pair has begun, or is done
    process.send_signal(signal.SIGINT)
    said += process.stdout.read()
    code, _, err = finish(process)
    assert code == 130
    assert "interrupted" in err
    if output == "json":
        report = obeys(json.loads(said), "pairsreport")
        assert (report["verdict"], report["identical"]) == ("interrupted", False)
        assert "unfinished" in verdicts(report)
    else:
        assert "interrupted" in said.splitlines()[-1]


@pytest.mark.parametrize("unbuffered", ["1", ""], ids=["unbuffered", "buffered"])
def test_output_that_is_cut_is_trouble(tmp_path, unbuffered):
    """Unbuffered, a write says how much it has written, and the rest was lost: the exit code was 0."""
    (tmp_path / "list").write_text(json.dumps([{"name": f"s{number}"} for number in range(5000)]))
    command = " ".join([*COMMAND, "pairs --json list -o json"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c1 > /dev/null; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert (done.returncode, b"closed before" in done.stderr) == (3, True)


def test_a_reader_that_went_away(sides):
    planned(sides)
    command = " ".join([*COMMAND, "verify", "--pairs", str(sides / "plan.json"), "-o", "jsonl"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], capture_output=True, check=False
    )
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr
