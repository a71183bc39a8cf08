"""A copy that is taken up at any moment, after a kill or a loss of power, makes what an uninterrupted one makes."""

import random
import shutil

import pytest

import blockdiff
from blockdiff.engine import copy as copying
from blockdiff.engine.checkpoint.store import Checkpoint
from blockdiff.engine.copy import Copy
from blockdiff.errors import ContentsDoNotMatch, InvalidInput
from blockdiff.extent import Kind
from blockdiff.testing import MemoryDevice
from blockdiff.testing.faults import FaultDevice
from tests.fixtures.checkpoints import Filmed, essence

KIB = 1 << 10
SIZE = 600 * KIB + 321
HOLES = [(64 * KIB, 100 * KIB), (300 * KIB, 420 * KIB)]


class Volatile(MemoryDevice):
    """A device whose writes are lost with the power until they are flushed."""

    def __init__(self, data, **more):
        super().__init__(bytearray(data), url="memory:target", **more)
        self.durable = bytes(self.data)

    def flush(self):
        self.durable = bytes(self.data)


class Film(Filmed):
    """Also keeps what the target would be after a loss of power, and after a kill."""

    def save(self, state):
        super().save(state)
        self.targets = [*getattr(self, "targets", []), (self.target.durable, bytes(self.target.data))]


@pytest.fixture
def small_tasks_of_copies(monkeypatch, small_tasks):
    monkeypatch.setattr(copying, "INLINE", 64 * KIB)


def contents(seed):
    rng = random.Random(seed)
    a = bytearray(rng.randbytes(SIZE))
    for lo, hi in HOLES:
        a[lo:hi] = bytes(hi - lo)
    a[200 * KIB : 216 * KIB] = bytes(16 * KIB)
    b = bytearray(a)
    for _ in range(25):
        at = rng.randrange(SIZE)
        end = min(SIZE, at + rng.choice([1, 512, 5000, 70_000]))
        b[at:end] = rng.randbytes(end - at)
    return a, b


def source(a):
    known = blockdiff.Extents([(lo, hi - lo, Kind.HOLE) for lo, hi in HOLES])
    return FaultDevice(MemoryDevice(a, known=known, url="memory:source"))


ONLY = [blockdiff.Extents([(1000, 99_000), (150 * KIB, 1), (200 * KIB + 5, 300 * KIB)])]
CASES = [
    pytest.param({}, id="all"),
    pytest.param({"verify": True}, id="all-verified"),
    pytest.param({"changed": True}, id="changed"),
    pytest.param({"changed": True, "verify": True}, id="changed-verified"),
    pytest.param({"only": ONLY, "verify": True}, id="listed-verified"),
    pytest.param({"only": ONLY, "changed": True, "verify": True}, id="listed-changed-verified"),
    pytest.param({"sparse": "always", "verify": True}, id="sparse"),
    pytest.param({"sparse": "never"}, id="full"),
]


@pytest.mark.parametrize("options", CASES)
def test_every_moment(tmp_path, small_tasks_of_copies, options):
    a, b = contents(1)
    target = Volatile(b)
    whole = Copy(source(a), target, **options).run()
    wanted = bytes(target.data)
    film = Film(tmp_path)
    film.target = Volatile(b)
    assert essence(Copy(source(a), film.target, checkpoint=film, **options).run()) == essence(whole)
    film.close()
    assert len(film.frames) > 5
    stages = set()
    for number, (frame, contents_then) in enumerate(zip(film.frames, film.targets, strict=True)):
        content = contents_then[number % 2]  # after a loss of power and after a kill, in turn
        stages.add(_again(tmp_path, frame, a, content, wanted, options, whole))
    assert stages >= ({"copy", "verify"} if options.get("verify") else {"copy"}) - (
        {"copy"} if options.get("changed") else set()
    )


def _again(tmp_path, frame, a, content, wanted, options, whole):
    """One more run from a frame, over this content of the target."""
    place = tmp_path / "place"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(frame, place)
    checkpoint = Checkpoint(place / "ck", every=3600)
    target, origin = Volatile(content), source(a)
    report = Copy(origin, target, checkpoint=checkpoint, **options).run()
    checkpoint.done = True
    checkpoint.close()
    assert bytes(target.data) == wanted
    assert not list(place.iterdir())
    told = report.extra["checkpoint"]
    stage = told["parts"][0]["stage"] if told["runs"] == 1 else _stage_then(told)
    if stage != "verify":
        assert all(offset >= told["resumed_at"] for offset, _ in origin.reads) or options.get("verify")
    one, other = essence(report), essence(whole)
    if options.get("changed"):  # over what was written after the moment there is less to write
        for value in (one, other):
            for key in (
                "difference_count",
                "differing_bytes",
                "bytes_by_class",
                "copied_bytes",
                "zeroed_bytes",
                "verified_bytes",
                "skipped",
            ):
                value.pop(key)
    one.pop("zeroed_bytes", None), other.pop("zeroed_bytes", None)
    assert one == other
    return stage


def _stage_then(told):
    return [part["stage"] for part in told["parts"] if part["run"] < told["runs"]][-1]


@pytest.mark.parametrize("changed", [False, True], ids=["all", "changed"])
def test_after_a_loss_of_power_the_totals_of_changed_copies_are_the_same(tmp_path, small_tasks_of_copies, changed):
    """Where all that was not flushed is lost, the copy does what it would have done: the books agree to the byte."""
    a, b = contents(2)
    whole = Copy(source(a), Volatile(b), changed=changed).run()
    film = Film(tmp_path)
    film.target = Volatile(b)
    Copy(source(a), film.target, changed=changed, checkpoint=film).run()
    film.close()
    for frame, (durable, _) in zip(film.frames, film.targets, strict=True):
        checkpoint = Checkpoint(frame / "ck", every=3600)
        report = Copy(source(a), Volatile(durable), changed=changed, checkpoint=checkpoint).run()
        checkpoint.close()
        assert report.extra["copied_bytes"] == whole.extra["copied_bytes"]
        assert report.differing_bytes == whole.differing_bytes


def test_a_target_that_lies_makes_the_checkpoint_worthless(tmp_path, small_tasks_of_copies):
    class Lying(Volatile):
        def pwrite(self, data, offset):
            super().pwrite(bytes(len(data)), offset)

    a, b = contents(3)
    checkpoint = Checkpoint(tmp_path / "ck", every=0)
    with pytest.raises(ContentsDoNotMatch):
        Copy(source(a), Lying(b), verify=True, checkpoint=checkpoint).run()
    checkpoint.close()
    assert not list(tmp_path.iterdir())


def test_other_options_are_refused(tmp_path, small_tasks_of_copies):
    a, b = contents(4)
    checkpoint = Checkpoint(tmp_path / "ck", every=0)
    Copy(source(a), Volatile(b), checkpoint=checkpoint).run()
    checkpoint.close()
    for options in ({"changed": True}, {"sparse": "never"}, {"verify": True}, {"only": ONLY}):
        with pytest.raises(InvalidInput, match="is the checkpoint of another run"):
            Copy(source(a), Volatile(b), checkpoint=Checkpoint(tmp_path / "ck"), **options)


def test_a_flush_that_fails_is_not_called_done(tmp_path, small_tasks_of_copies):
    class Failing(Volatile):
        flushes = 0

        def flush(self):
            self.flushes += 1
            if self.flushes > 3:
                raise blockdiff.DeviceError("no", url=self.url, action="flush")
            super().flush()

    a, b = contents(5)
    checkpoint = Checkpoint(tmp_path / "ck", every=0)
    target = Failing(b)
    with pytest.raises(blockdiff.DeviceError):
        Copy(source(a), target, checkpoint=checkpoint).run()
    checkpoint.close()
    again = Volatile(target.durable)
    checkpoint = Checkpoint(tmp_path / "ck", every=0)
    assert Copy(source(a), again, checkpoint=checkpoint).run().complete
    checkpoint.close()
    assert again.data == a
