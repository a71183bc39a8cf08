"""--checkpoint on the command line: killed, interrupted, refused, damaged."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from blockdiff.engine.checkpoint import boot
from tests.fixtures.checkpoints import essence
from tests.fixtures.cli import COMMAND, blockdiff, finish, report, start, within
from tests.fixtures.images import write_image
from tests.fixtures.schemas import obeys

MIB = 1 << 20
SIZE = 12 * MIB + 777
SLOW = ["--rate", "3M", "--checkpoint-every", "0"]


@pytest.fixture
def pair(tmp_path):
    rng = random.Random(0)
    a = bytearray(rng.randbytes(MIB) * 12 + b"t" * 777)
    a[3 * MIB : 4 * MIB] = bytes(MIB)
    b = bytearray(a)
    for at in range(0, SIZE, 700_001):
        b[at : at + 9000] = rng.randbytes(len(b[at : at + 9000]))
    b[5 * MIB - 100_000 : 5 * MIB + 100_000] = bytes(200_000)  # across the ends of tasks
    (tmp_path / "list").write_text('[{"offset":0,"length":6000000,"exists":"true"}]')
    return write_image(tmp_path / "a", a, [(3 * MIB, 4 * MIB)]), write_image(tmp_path / "b", b)


def until_saved(process, path, least=0):
    """Waits until the checkpoint says that something was settled."""
    for _ in range(4000):
        try:
            if json.loads(path.read_bytes().splitlines()[1])["reached"] > least:
                return
        except (OSError, IndexError):
            pass
        assert process.poll() is None
        time.sleep(0.002)
    pytest.fail("nothing was saved")


def stop(process, sign):
    process.send_signal(sign)
    if sign == signal.SIGKILL:
        process.communicate()
        return None
    return finish(process)


def left(tmp_path):
    return sorted(set(os.listdir(tmp_path)) - {"a", "b", "list"})


RUNS = [
    pytest.param(["verify"], 1, id="verify"),
    pytest.param(["verify", "--extents", "list"], 1, id="listed", marks=pytest.mark.slow),
    pytest.param(["audit", "--extents", "list"], 1, id="audit", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
@pytest.mark.parametrize(("words", "code"), RUNS)
def test_stopped_and_taken_up(tmp_path, pair, words, code, sign):
    whole = json.loads(blockdiff(*words, *pair, "-o", "json", expect=code, cwd=tmp_path).stdout)
    ck = tmp_path / "ck"
    process = start(*words, *pair, "--checkpoint", "ck", *SLOW, cwd=tmp_path)
    until_saved(process, ck)
    ended = stop(process, sign)
    if ended is not None:
        assert ended[0] == 130
        assert "ck has what was done: run the same command again to go on" in ended[2]
    again = json.loads(blockdiff(*words, *pair, "--checkpoint", "ck", "-o", "json", expect=code, cwd=tmp_path).stdout)
    obeys(again, "report")
    assert essence(again) == essence(whole)
    assert again["checkpoint"]["runs"] == 2
    assert again["checkpoint"]["parts"][1]["offset"] == again["checkpoint"]["resumed_at"] > 0
    assert left(tmp_path) == []


@pytest.mark.parametrize("options", [[], pytest.param(["--changed"], marks=pytest.mark.slow)], ids=["all", "changed"])
def test_a_copy_that_was_killed(tmp_path, pair, options):
    a, b = pair
    words = ["copy", *options, "--verify", a, b, "--checkpoint", tmp_path / "ck"]
    process = start(*words, *SLOW)
    until_saved(process, tmp_path / "ck")
    stop(process, signal.SIGKILL)
    process = start(*words, *SLOW)
    until_saved(process, tmp_path / "ck", 2 * MIB)
    assert "run the same command again to go on" in stop(process, signal.SIGINT)[2]
    value = json.loads(blockdiff(*words, "-o", "json", expect=0).stdout)
    assert value["verified"] is True
    assert value["checkpoint"]["runs"] == 3
    assert a.read_bytes() == b.read_bytes()
    assert left(tmp_path) == []


def until_reading_back(process, path):
    for _ in range(4000):
        try:
            state = json.loads(path.read_bytes().splitlines()[1])
            if state["stage"] == "verify" and state["reached"] > 2 * MIB:
                return
        except (OSError, IndexError):
            pass
        assert process.poll() is None
        time.sleep(0.002)
    pytest.fail("it was never read back")


@pytest.mark.parametrize("tampered", [False, True])
def test_a_copy_that_was_killed_while_it_was_read_back(tmp_path, pair, tampered):
    """What was read back is not read again, so nobody may have written there since."""
    a, b = pair
    words = ["copy", "--verify", a, b, "--checkpoint", tmp_path / "ck"]
    process = start(*words, *SLOW)
    until_reading_back(process, tmp_path / "ck")
    stop(process, signal.SIGKILL)
    assert a.read_bytes() == b.read_bytes()
    status = os.stat(b)
    if tampered:
        with b.open("r+b") as file:
            file.write(b"tampered")
        os.utime(b, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert "was written to since" in within(*words, expect=2).stderr
        os.unlink(tmp_path / "ck")
    value = json.loads(within(*words, "-o", "json", expect=0).stdout)
    assert (value["identical"], value["warnings"]) == (True, [])
    assert a.read_bytes() == b.read_bytes()
    if not tampered:
        assert value["checkpoint"]["resumed_at"] > 2 * MIB
        assert value["checkpoint"]["unchanged_by"]["target"] == "size, mtime and ctime"


def test_what_a_changed_copy_found_equal_is_not_read_back_and_the_report_says_so(tmp_path, pair):
    a, b = pair
    words = ["copy", "--changed", "--verify", a, b, "--checkpoint", tmp_path / "ck"]
    process = start(*words, *SLOW)
    until_saved(process, tmp_path / "ck", 2 * MIB)
    stop(process, signal.SIGKILL)
    value = json.loads(within(*words, "-o", "json", expect=0).stdout)
    assert [f"{b}: whether it was written to since cannot be told" in text for text in value["warnings"]] == [True]
    within("verify", a, b, expect=0)


def test_a_digest_that_was_killed(tmp_path, pair):
    a, made = pair[0], tmp_path / "made"
    root = json.loads(blockdiff("digest", a, "--json", expect=0).stdout)["root"]
    words = ["digest", a, "-o", made, "--checkpoint", tmp_path / "ck"]
    process = start(*words, *SLOW)
    until_saved(process, tmp_path / "ck")
    stop(process, signal.SIGKILL)
    assert not made.exists()
    value = obeys(json.loads(blockdiff(*words, "--json", expect=0).stdout), "digest")
    assert value["root"] == root
    assert value["checkpoint"]["runs"] == 2
    assert value["checkpoint"]["resumed_at"] > 0
    assert not list(tmp_path.glob("ck*"))
    assert json.loads(blockdiff("digest", "--show", made, "--json", expect=0).stdout)["root"] == root


@pytest.fixture
def taken(tmp_path, pair):
    """A checkpoint of a verify that is done."""
    within("verify", *pair, "--checkpoint", tmp_path / "ck", "--keep-checkpoint", expect=1)
    assert left(tmp_path) == ["ck", "ck.data"]
    return tmp_path / "ck"


def refused(pair, ck, *options, command="verify", says):
    before = ck.read_bytes()
    done = within(command, *pair, "--checkpoint", ck, *options, expect=2)
    assert says in done.stderr
    assert f"rm {ck}" in done.stderr
    assert done.stdout == ""
    assert ck.read_bytes() == before


def test_one_that_is_kept_says_the_same_without_reading(tmp_path, pair, taken):
    whole = report("verify", *pair, expect=1)
    again = report("verify", *pair, "--checkpoint", taken, expect=1)
    assert essence(again) == essence(whole)
    assert again["checkpoint"]["parts"][1]["bytes_read"] == 0
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--granularity", "8K"], "granularity was 4096 and is now 8192", id="granularity"),
        pytest.param(["--strict"], "strict was False and is now True", id="strict"),
        pytest.param(["--size", "min"], "size policy was 'strict' and is now 'min'", id="size"),
        pytest.param(["--offset", "4K"], "offset was 0 and is now 4096", id="offset"),
        pytest.param(["--length", "4K"], "is now 4096", id="length"),
        pytest.param(["--keep-going"], "keep going was False and is now True", id="keep-going"),
        pytest.param(["--read", "buffered"], "read was 'auto' and is now 'buffered'", id="read"),
        pytest.param(["--extents", "list"], "the list of extents was not given", id="list"),
    ],
)
def test_other_options_are_refused(tmp_path, pair, taken, options, says, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(pair, taken, *options, says=says)


def test_another_command_is_refused(tmp_path, pair, taken):
    refused(pair, taken, "--extents", tmp_path / "list", command="audit", says="command was 'verify'")


def test_another_list_is_refused(tmp_path, pair):
    ck = tmp_path / "ck"
    words = ["--extents", tmp_path / "list", "--checkpoint", ck, "--keep-checkpoint"]
    within("verify", *pair, *words, expect=1)
    (tmp_path / "list").write_text('[{"offset":0,"length":6000001,"exists":"true"}]')
    refused(pair, ck, "--extents", tmp_path / "list", says="the list of extents was '1 extents")


def test_other_devices_are_refused(tmp_path, pair, taken):
    a, b = pair
    refused((b, a), taken, says="is the checkpoint of another source")
    os.rename(b, tmp_path / "c")
    (tmp_path / "b").write_bytes((tmp_path / "c").read_bytes())
    refused((a, b), taken, says="is the checkpoint of another target")


@pytest.mark.parametrize("which", [0, 1], ids=["source", "target"])
def test_a_device_that_was_written_to_is_refused(pair, taken, which):
    path = pair[which]
    times = os.stat(path)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        byte = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as who wants to hide it
    refused(pair, taken, says="was written to since")


def test_another_size_is_refused(pair, taken):
    os.truncate(pair[1], SIZE - 1)
    refused(pair, taken, says=f"had {SIZE} bytes")


@pytest.mark.parametrize("file", ["ck", "ck.data"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "empty"])
def test_damage_is_refused(tmp_path, pair, taken, file, damage):
    path = tmp_path / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        if file == "ck":
            return
        path.unlink()
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "flip": data, "empty": b""}[damage])
    done = within("verify", *pair, "--checkpoint", taken, expect=2)
    assert "rm " in done.stderr
    assert done.stdout == ""


def test_a_newer_version_is_named(pair, taken):
    taken.write_bytes(taken.read_bytes().replace(b"checkpoint 1\n", b"checkpoint 2\n"))
    done = within("verify", *pair, "--checkpoint", taken, expect=2)
    assert "of version 2, and this blockdiff knows version 1" in done.stderr


def test_what_is_not_ours_is_left_alone(tmp_path, pair):
    for name in ("ck", "ck.data", "ck.part"):
        path = tmp_path / name
        path.write_bytes(b"precious")
        done = within("verify", *pair, "--checkpoint", tmp_path / "ck", expect=2)
        assert "blockdiff" in done.stderr
        assert path.read_bytes() == b"precious"
        assert left(tmp_path) == [name]
        path.unlink()
    within("verify", *pair, "--checkpoint", pair[0], expect=2)


@pytest.mark.parametrize("keep", [[], ["--keep-checkpoint"]], ids=["removed", "kept"])
@pytest.mark.parametrize("name", ["ck", "ck.data", "ck.part"])
def test_outputs_of_the_run_that_have_its_names_are_left_alone(tmp_path, pair, name, keep):
    out, taken = tmp_path / name, ["--checkpoint", tmp_path / "ck", *keep]
    done = blockdiff("digest", *taken, pair[0], "-o", out)
    if done.returncode == 0:
        within("verify", pair[0], out, expect=0)
    for path in tmp_path.glob("ck*"):
        path.unlink()
    old = pair[1].read_bytes()
    done = blockdiff("verify", "--repair", "--journal", out, *taken, *pair)
    if done.returncode == 0:
        within("undo", out, expect=0)
    assert pair[1].read_bytes() == old


def test_after_a_restart_one_that_is_kept_is_not_told_again(tmp_path, pair, monkeypatch):
    """A crash may have left new data under an old mtime."""
    words = ["verify", *pair, "--checkpoint", tmp_path / "kept", "--keep-checkpoint"]
    within(*words, expect=1)
    within(*words, expect=1)
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(boot, "_BOOT", tmp_path / "boot")
    assert "is not known for sure" in within(*words, expect=2).stderr


def test_what_is_saved_is_on_stable_storage_in_this_order(tmp_path, pair, monkeypatch):
    done = []
    for name in ("fdatasync", "fsync", "rename"):
        inner = getattr(os, name)

        def spy(what, *more, name=name, inner=inner):
            done.append((name, what if more else os.readlink(f"/proc/self/fd/{what}")))
            return inner(what, *more)

        monkeypatch.setattr(os, name, spy)
    within("verify", *pair, "--checkpoint", tmp_path / "ck", "--checkpoint-every", 0, "--keep-checkpoint", expect=1)
    part = str(tmp_path / "ck.part")
    saved = [at for at, what in enumerate(done) if what == ("rename", part)]
    assert len(saved) > 1
    for at in saved:
        assert (done[at - 1], done[at + 1]) == (("fsync", part), ("fsync", str(tmp_path)))
    assert done[saved[1] - 2] == ("fdatasync", str(tmp_path / "ck.data"))


def test_one_that_cannot_be_made_is_told_at_once(tmp_path, pair):
    done = within("verify", *pair, "--checkpoint", tmp_path / "no" / "ck", expect=2)
    assert "cannot make the checkpoint" in done.stderr
    done = within("verify", *pair, "--checkpoint", tmp_path, expect=2)
    assert "is no file" in done.stderr


def test_only_one_run_has_it(tmp_path, pair):
    process = start("verify", *pair, "--checkpoint", tmp_path / "ck", *SLOW)
    until_saved(process, tmp_path / "ck")
    done = within("verify", *pair, "--checkpoint", tmp_path / "ck", expect=2)
    assert "in use by another run" in done.stderr
    stop(process, signal.SIGKILL)
    within("verify", *pair, "--checkpoint", tmp_path / "ck", expect=1)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["verify", "a", "b", "--checkpoint-every", "3"], id="every"),
        pytest.param(["verify", "a", "b", "--keep-checkpoint"], id="keep"),
        pytest.param(["verify", "a", "b", "--checkpoint", "ck", "--sample", "1%"], id="sample"),
        pytest.param(["verify", "--pairs", "plan", "--checkpoint", "ck"], id="pairs"),
        pytest.param(["verify", "a", "b", "--checkpoint", "-"], id="stdout"),
        pytest.param(["copy", "a", "b", "--from-snap", "x", "--checkpoint", "ck"], id="from-snap"),
        pytest.param(["copy", "a", "b", "--changed", "--base", "x", "--checkpoint", "ck"], id="base"),
        pytest.param(["audit", "a", "b", "--extents", "list", "--keep-checkpoint"], id="audit"),
        pytest.param(["digest", "--show", "a", "--checkpoint", "ck"], id="show"),
    ],
)
def test_what_does_not_go_together(tmp_path, pair, words):
    assert "checkpoint" in within(*words, expect=2, cwd=tmp_path).stderr
    assert left(tmp_path) == []


def test_first(tmp_path, pair):
    ck = tmp_path / "ck"
    whole = report("verify", "--first", *pair, expect=1)
    kept = report("verify", "--first", *pair, "--checkpoint", ck, "--keep-checkpoint", expect=1)
    again = report("verify", "--first", *pair, "--checkpoint", ck, expect=1)
    assert whole["differences"] == kept["differences"] == again["differences"]


def test_empty_devices(tmp_path):
    a, b = write_image(tmp_path / "a", b""), write_image(tmp_path / "b", b"")
    ck = tmp_path / "ck"
    for _ in range(2):
        assert report("verify", a, b, "--checkpoint", ck, "--keep-checkpoint", expect=0)["identical"]


@pytest.mark.slow
def test_a_pipe_cannot_be_taken_up(tmp_path, pair):
    with (tmp_path / "full").open("wb") as file:
        blockdiff("map", "-o", "export-diff", pair[0], stdout=file, expect=0)
    words = [*COMMAND, "verify", "-", pair[0], "--checkpoint", tmp_path / "ck"]
    with subprocess.Popen(["cat", tmp_path / "full"], stdout=subprocess.PIPE) as cat:
        done = subprocess.run(words, stdin=cat.stdout, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be read again" in done.stderr
    assert left(tmp_path) == ["full"]
    value = report("verify", tmp_path / "full", pair[0], "--checkpoint", tmp_path / "ck", expect=0)
    assert value["checkpoint"]["unchanged_by"]["source"] == "size, mtime and ctime"


@pytest.mark.parametrize("form", ["{}", "file:{}", "{}/../new"])
def test_the_target_of_a_copy_is_no_checkpoint(pair, tmp_path, form):
    """It is refused before there is a target."""
    target = form.format(tmp_path / "new" if ".." not in form else tmp_path / "x")
    if ".." in form:
        (tmp_path / "x").mkdir()
    done = blockdiff("copy", "--checkpoint", tmp_path / "new", pair[0], target, expect=2)
    assert "is one of the devices: name another file" in done.stderr
    assert not (tmp_path / "new").exists()
    done = blockdiff("copy", "--checkpoint", pair[0], pair[0], tmp_path / "other", expect=2)
    assert "is one of the devices" in done.stderr
    assert not (tmp_path / "other").exists()
