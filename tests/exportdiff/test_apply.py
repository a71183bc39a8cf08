"""Applying: the same bytes as one diff after the other, nothing before all is known to be good, snapshots as rbd."""

import io
import os
import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.errors import ContentsDoNotMatch, DeviceError, InvalidInput, SourceError
from blockdiff.exportdiff import apply as apply_module
from blockdiff.exportdiff import chain as chain_module
from blockdiff.exportdiff.apply import Apply
from blockdiff.testing import FaultDevice, MemoryDevice
from tests.fixtures.exportdiff import Spec, applied, image, random_chain, v1
from tests.fixtures.images import write_image


class Image(MemoryDevice):
    """An image with snapshots, as a cluster has them."""

    is_block = False

    def __init__(self, data, *names):
        super().__init__(data)
        self.names, self.log = {name: bytes(data) for name in names}, []

    def resize(self, size):
        self.log.append(("resize", size))
        del self.data[size:]
        self.data += bytes(size - len(self.data))
        self.size = size

    def has_snapshot(self, name):
        return name in self.names

    def create_snapshot(self, name):
        assert self.log[-1] == ("flush",)
        self.names[name] = bytes(self.data)
        self.log.append(("snapshot", name))

    def flush(self):
        self.log.append(("flush",))


@pytest.fixture
def pipe(monkeypatch):
    """Makes ``-`` a pipe with these bytes."""

    def make(data):
        def open_file(name):
            if name != "-":
                return original(name)
            made = io.BytesIO(data)
            made.seekable = lambda: False
            return made, "standard input"

        for module in (apply_module, chain_module):
            monkeypatch.setattr(module, "open_file", open_file)

    original = chain_module.open_file
    return make


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.booleans(), st.booleans())
def test_any_chain(tmp_path_factory, seed, together, verify):
    base, specs, images = random_chain(seed, most=200_000, unit=97)
    directory = tmp_path_factory.mktemp("apply")
    streams = [image(specs)] if together else [v1(spec) for spec in specs]
    names = [str(directory / f"d{number}") for number in range(len(streams))]
    for name, stream in zip(names, streams, strict=True):
        with open(name, "wb") as file:
            file.write(stream)
    target = directory / "image"
    if specs[0].from_name is not None:
        target.write_bytes(base)
    for _ in range(2):  # doing it again is right
        report = blockdiff.apply(names, target, verify=verify)
        assert target.read_bytes() == images[-1]
        assert (report.complete, report.verified, report.size) == (True, verify or None, len(images[-1]))
        assert [diff["to"] for diff in report.diffs] == [spec.to_name for spec in specs]


@settings(deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_chain_on_a_device(tmp_path_factory, seed):
    """A device cannot be cut: what is behind the image becomes zero when the image grows again, and else stays."""
    base, specs, images = random_chain(seed)
    directory = tmp_path_factory.mktemp("device")
    (directory / "d").write_bytes(image(specs))
    device = MemoryDevice(base + b"~" * (1000 - len(base)))
    report = blockdiff.apply([directory / "d"], device, base_size=len(base), verify=True)
    assert device.data[: len(images[-1])] == images[-1]
    assert device.data[300:] == b"~" * 700
    assert report.warnings == []


def test_a_device_does_not_know_the_size_of_its_image(files):
    names = files([Spec(8, (), "a", "b")])
    report = blockdiff.apply(names, MemoryDevice(9))
    assert "--base-size" in report.warnings[0]
    with pytest.raises(InvalidInput, match="too small"):
        blockdiff.apply(names, MemoryDevice(7))
    with pytest.raises(InvalidInput, match="more than"):
        blockdiff.apply(names, MemoryDevice(9), base_size=10)
    with pytest.raises(InvalidInput, match="knows its size"):
        blockdiff.apply(names, Image(bytes(9)), base_size=8)


def test_a_whole_image_makes_the_rest_zero(files, tmp_path):
    spec = Spec(200_001, ((70_000, b"x"), (150_000, 10)), None, "a")
    target = write_image(tmp_path / "image", b"old" * 100_000)
    blockdiff.apply(files([spec]), target)
    assert target.read_bytes() == applied(b"", spec)
    device = MemoryDevice(b"old" * 100_000)
    blockdiff.apply(files([spec]), device)
    assert device.data == applied(b"", spec) + (b"old" * 100_000)[200_001:]


def test_zeroes_become_holes(files, tmp_path):
    data = b"x" * 65536 + bytes(1 << 20) + b"y" * 65536
    report = blockdiff.apply(files([Spec(len(data), ((0, data),), None, "a")]), tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == data
    assert os.stat(tmp_path / "image").st_blocks * 512 < 1 << 19
    assert (report.copied_bytes, report.zeroed_bytes) == (131_072, 1 << 20)


# ---- nothing is written before everything is known to be good ----


@pytest.mark.parametrize("which", [0, 1])
def test_a_broken_file_changes_nothing(files, tmp_path, which):
    names = files([Spec(9, ((0, b"new"),), "a", "b"), Spec(9, ((0, b"newer"),), "b", "c")])
    with open(names[which], "r+b") as file:
        file.truncate(os.path.getsize(names[which]) - 1)
    target = write_image(tmp_path / "image", b"unchanged")
    with pytest.raises(InvalidInput, match="the end 'e' is missing"):
        blockdiff.apply(names, target)
    assert target.read_bytes() == b"unchanged"


def test_a_missing_target_is_made_for_a_whole_image_only(files, tmp_path):
    with pytest.raises(DeviceError, match="No such file"):
        blockdiff.apply(files([Spec(9, (), "a", "b")]), tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_a_stream_is_no_target(files):
    names = files([Spec(9, (), "a", "b"), Spec(9, (), "b", "c")])
    with pytest.raises(InvalidInput, match="the image to change comes last"):
        blockdiff.apply(names[:1], names[1])


def test_a_target_in_use_is_refused(files, tmp_path):
    import fcntl

    target = write_image(tmp_path / "image", bytes(9))
    with open(target, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        child = os.fork()
        if not child:
            try:
                blockdiff.apply(files([Spec(9, (), "a", "b")]), target)
            except blockdiff.DeviceBusy:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_nothing_to_apply():
    with pytest.raises(InvalidInput, match="no diff"):
        blockdiff.apply([], MemoryDevice(1))


# ---- snapshots ----


def test_snapshots_are_made_as_rbd_makes_them(files):
    specs = [Spec(9, ((0, b"b"),), "a", "b"), Spec(12, ((1, b"c"),), "b", "c"), Spec(12, ((2, b"d"),), "c", None)]
    target = Image(b"unchanged", "a")
    blockdiff.apply(files(specs, together=True), target)
    assert list(target.names) == ["a", "b", "c"]
    assert target.names["b"] == b"bnchanged"
    assert target.names["c"] == b"bcchanged\0\0\0"
    assert target.data == b"bcdhanged\0\0\0"
    assert target.log[-1] == ("flush",)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        pytest.param(["z"], "has no snapshot 'a'", id="missing base"),
        pytest.param(["a", "b"], "has a snapshot 'b' already: this diff was applied", id="first applied"),
        pytest.param(["a", "c"], "has a snapshot 'c' already", id="second applied"),
    ],
)
def test_snapshots_that_do_not_fit(files, names, what):
    target = Image(b"unchanged", *names)
    with pytest.raises(InvalidInput, match=what):
        blockdiff.apply(files([Spec(9, ((0, b"x"),), "a", "b"), Spec(9, (), "b", "c")]), target)
    assert (target.data, target.log) == (b"unchanged", [])


@pytest.mark.parametrize("name", [b"\x80", b"\n"], ids=["no text", "control"])
def test_names_that_no_snapshot_has(tmp_path, name):
    (tmp_path / "d").write_bytes(v1(Spec(9, (), "a", "?")).replace(b"?", name))
    with pytest.raises(InvalidInput, match="cannot be the name of a snapshot"):
        blockdiff.apply([tmp_path / "d"], Image(b"unchanged", "a"))


def test_going_on_after_a_failure(files):
    """What has its snapshot is left out; the rest is applied from there."""
    names = files([Spec(9, ((0, b"b"),), "a", "b"), Spec(9, ((5, b"c"),), "b", "c")])

    class Failing(Image):
        def pwrite(self, data, offset):
            if offset == 5 and len(self.log) < 5:
                raise DeviceError("lost", url="x", action="write")
            super().pwrite(data, offset)

    target = Failing(b"unchanged", "a")
    run = Apply(names)
    with pytest.raises(DeviceError):
        run.run(lambda _: target)
    assert run.report.begun
    assert not run.report.complete
    assert "applied, with their snapshots, are a -> b: run the command again with the diffs" in run.how_to_go_on()
    target.log += ["again"] * 5
    blockdiff.apply(names[1:], target)
    assert target.data == b"bnchacged"


# ---- pipes ----


def test_a_pipe(pipe, files, tmp_path):
    specs = [Spec(9, ((0, b"b"),), "a", "b"), Spec(12, ((1, b"c"),), "b", "c"), Spec(3, (), "c", "d")]
    pipe(v1(specs[1]))
    names = files(specs)
    target = write_image(tmp_path / "image", b"unchanged")
    report = blockdiff.apply([names[0], "-", names[2]], target)
    assert target.read_bytes() == b"bcc"
    assert [diff["file"] for diff in report.diffs] == [names[0], "standard input", names[2]]


@pytest.mark.parametrize("seed", range(20))
def test_any_chain_through_a_pipe(pipe, seed, tmp_path):
    base, specs, images = random_chain(seed)
    pipe(image(specs))
    target = tmp_path / "image"
    if specs[0].from_name is not None:
        target.write_bytes(base)
    else:
        target.write_bytes(random.Random(seed).randbytes(200))
    blockdiff.apply(["-"], target)
    assert target.read_bytes() == images[-1]


def test_a_broken_pipe_leaves_the_target_incomplete_and_says_so(pipe, tmp_path):
    pipe(v1(Spec(9, ((0, b"new"), (5, b"er")), "a", "b"))[:-1])
    target = write_image(tmp_path / "image", b"unchanged")
    with pytest.raises(SourceError, match=r"missing; .*image is incomplete"):
        blockdiff.apply(["-"], target)
    assert target.read_bytes() == b"newhaered"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(b"garbage", "standard input: byte 0", id="garbage"),
        pytest.param(v1(Spec(9, (), "z", "b")), "has no snapshot 'z'", id="snapshot"),
    ],
)
def test_a_wrong_pipe_changes_nothing(pipe, data, what):
    pipe(data)
    target = Image(b"unchanged", "a")
    with pytest.raises(InvalidInput, match=what):
        blockdiff.apply(["-"], target)
    assert target.log == []


def test_a_pipe_that_does_not_follow(pipe, files, tmp_path):
    pipe(v1(Spec(9, (), "z", "b")))
    target = write_image(tmp_path / "image", b"unchanged")
    with pytest.raises(InvalidInput, match=r"begins with snapshot 'z'"):
        blockdiff.apply([*files([Spec(3, (), "a", "b")]), "-"], target)
    assert target.read_bytes() == b"unchanged"


@pytest.mark.parametrize("order", ["f-", "ff-", "-f", "-ff", "f-f"])
def test_files_beside_a_pipe_are_checked_before_anything_is_written(pipe, files, tmp_path, order):
    """One of them does not follow, whichever side of the pipe it is on."""
    specs = [Spec(3, (), chr(97 + number), chr(98 + number)) for number in range(len(order))]
    last = specs[-1]._replace(from_name="z")
    specs = [last, *specs[1:]] if order[0] == "f" else [*specs[:-1], last]
    names = files(specs)
    pipe(v1(specs[order.index("-")]))
    target = write_image(tmp_path / "image", b"unchanged")
    if order[0] == "f":
        names[0] = files([specs[0]._replace(from_name="a", to_name="x")], prefix="first")[0]
    with pytest.raises(InvalidInput, match="begins with snapshot"):
        blockdiff.apply(["-" if kind == "-" else name for kind, name in zip(order, names, strict=True)], target)
    assert target.read_bytes() == b"unchanged"


def test_what_a_pipe_leads_to_is_checked_before_anything_is_written(pipe, files):
    """Its snapshot is there already: that is known before the file ahead of it is applied."""
    pipe(v1(Spec(9, (), "b", "c")))
    target = Image(b"unchanged", "a", "c")
    with pytest.raises(InvalidInput, match="has a snapshot 'c' already"):
        blockdiff.apply([*files([Spec(9, ((0, b"x"),), "a", "b")]), "-"], target)
    assert target.data == b"unchanged"


@pytest.mark.parametrize("piped", ["export", "diff"])
def test_the_head_in_a_whole_export_gives_way_beside_a_pipe(pipe, files, tmp_path, piped):
    export = [Spec(9, ((0, b"first"),), None, "a"), Spec(9, ((0, b"HEAD"),), "a", None)]
    diff = Spec(9, ((5, b"next"),), "a", "b")
    target = tmp_path / "image"
    if piped == "export":
        pipe(image(export))
        blockdiff.apply(["-", *files([diff])], target)
    else:
        pipe(v1(diff))
        blockdiff.apply([*files(export, together=True), "-"], target)
    assert target.read_bytes() == b"firstnext"


def test_a_file_that_is_written_to_while_it_is_applied(files, tmp_path):
    """Its size and its records are the same: only its data is another one, of which a part was applied."""
    names = files([Spec(9, ((0, b"whole"),), "a", "b")])

    class Slow(Image):
        def pwrite(self, data, offset):
            super().pwrite(data, offset)
            with open(names[0], "r+b") as file:
                file.seek(-3, 2)
                file.write(b"X")

    target = Slow(b"unchanged", "a")
    with pytest.raises(SourceError, match="modified meanwhile"):
        blockdiff.apply(names, target)
    assert not target.has_snapshot("b")


def test_a_pipe_is_checked_first_when_it_is_to_be_verified(pipe, tmp_path):
    pipe(v1(Spec(9, ((0, b"new"),), "a", "b"))[:-1])
    target = write_image(tmp_path / "image", b"unchanged")
    with pytest.raises(InvalidInput):
        blockdiff.apply(["-"], target, verify=True)
    assert target.read_bytes() == b"unchanged"


# ---- several writes at once ----


class Far(Image):
    """Each request is a round trip."""

    driver = "there is one"

    def __init__(self, data, *names):
        super().__init__(data, *names)
        self.threads, self.failing = set(), ()

    def pwrite(self, data, offset):
        time.sleep(0.001)
        self.threads.add(threading.get_ident())
        if offset in self.failing:
            raise DeviceError("lost", url="x", action="write", offset=offset)
        super().pwrite(data, offset)


def test_a_far_image_is_written_by_several(files):
    data = random.Random(1).randbytes(1 << 20)
    records = [(i * 8192, data[i * 4096 : (i + 1) * 4096] if i % 3 else 4096) for i in range(256)]
    specs = [Spec(3 << 20, tuple(records), "a", "b"), Spec(9 << 20, ((1 << 20, data * 6),), "b", "c")]
    target = Far(b"old" * 1000, "a")
    report = blockdiff.apply(files(specs), target)
    middle = applied(b"old" * 1000, specs[0])
    assert target.names["b"] == middle
    assert target.data == applied(middle, specs[1])
    assert len(target.threads) > 1
    assert report.copied_bytes + report.zeroed_bytes == (1 << 20) * 7


def test_an_error_of_one_write_ends_it_before_the_snapshot(files):
    records = tuple((i * 8192, b"x" * 4096) for i in range(500))
    target = Far(bytes(4 << 20), "a")
    target.failing = {499 * 8192}
    before = threading.active_count()
    with pytest.raises(DeviceError, match="lost"):
        blockdiff.apply(files([Spec(4 << 20, records, "a", "b")]), target)
    assert list(target.names) == ["a"]
    assert threading.active_count() == before


# ---- trouble on the way ----


def test_a_write_error_is_told(files):
    target = FaultDevice(MemoryDevice(16384), "rW")
    run = Apply(files([Spec(16384, ((0, b"x" * 16384),), "a", "b")]))
    with pytest.raises(DeviceError):
        run.run(lambda _: target)
    assert "run the same command again" in run.how_to_go_on()


def test_reading_back_finds_what_was_not_written(files):
    class Liar(MemoryDevice):
        def pwrite(self, data, offset):
            pass

    with pytest.raises(ContentsDoNotMatch, match="first at offset 0"):
        blockdiff.apply(files([Spec(9, ((0, b"x"),), "a", "b")]), Liar(9), verify=True)


def test_a_file_that_changes_on_the_way(files):
    names = files([Spec(9, ((0, b"x"),), "a", "b"), Spec(9, ((0, b"x"),), "b", "c")])

    class Meddler(MemoryDevice):
        def pwrite(self, data, offset):
            with open(names[1], "wb") as file:
                file.write(v1(Spec(8, (), "b", "c")))

    with pytest.raises(SourceError, match="incomplete"):
        blockdiff.apply(names, Meddler(9))


def test_progress_reaches_its_total(files):
    class Told:
        told = ()

        def start(self, what, total):
            self.told += ((what, total),)

        def advance(self, done):
            self.done = done

        def finish(self):
            self.told += (self.done,)

    told = Told()
    blockdiff.apply(files([Spec(99, ((0, b"x"), (5, 20)), "a", "b")]), MemoryDevice(99), progress=told)
    assert told.told == (("apply", 21), 21)
