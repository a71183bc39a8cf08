"""A run that is taken up at any moment reports what an uninterrupted one does, and reads nothing again."""

import os
import random
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.engine.checkpoint.keeping import Whole
from blockdiff.engine.checkpoint.store import Checkpoint
from blockdiff.engine.verify import Verification, verify_devices
from blockdiff.extent import Kind
from blockdiff.testing import MemoryDevice
from blockdiff.testing.faults import Fault, FaultDevice
from tests.fixtures.checkpoints import Filmed, essence, reached
from tests.fixtures.inprocess import check_books

KIB = 1 << 10
SIZE = 700 * KIB + 1234


def contents(seed, size=SIZE):
    """Two contents: differences in runs that cross the ends of tasks, single bits, zeroes."""
    rng = random.Random(seed)
    a = bytearray(rng.randbytes(size))
    b = bytearray(a)
    for _ in range(12):
        at = rng.randrange(size)
        end = min(size, at + rng.choice([1, 4096, 30_000, 140_000]))
        b[at:end] = rng.choice([bytes(end - at), rng.randbytes(end - at)])
    for _ in range(5):
        b[rng.randrange(size)] ^= 1
    b[-1] ^= 1
    return a, b


def device(data, holes=(), faults=()):
    data = bytearray(data)
    for lo, hi in holes:
        data[lo:hi] = bytes(hi - lo)
    known = blockdiff.Extents([(lo, hi - lo, Kind.HOLE) for lo, hi in holes])
    return FaultDevice(MemoryDevice(data, known=known), faults=faults)


def run(pair, checkpoint=None, **options):
    a, b = pair
    report = verify_devices(a, b, checkpoint=checkpoint and Whole(checkpoint), **options)
    check_books(report)
    return report


def films(tmp_path, make, **options):
    """Each moment of a run: how much was settled, and the report of a run that is taken up there, with its reads."""
    whole = run(make(), **options)
    film = Filmed(tmp_path)
    assert essence(run(make(), film, **options)) == essence(whole)
    film.close()
    for number, frame in enumerate(film.frames):
        pair, settled = make(), reached(frame)
        checkpoint = Checkpoint(frame / "ck", every=3600)
        report = run(pair, checkpoint, **options)
        checkpoint.close()
        assert essence(report) == essence(whole), number
        yield settled, report, pair
        shutil.rmtree(frame)


CASES = [
    pytest.param({}, id="plain"),
    pytest.param({"offset": 1000, "length": 600_001}, id="window"),
    pytest.param({"options": blockdiff.ReadOptions(granularity=512)}, id="fine"),
    pytest.param({"options": blockdiff.ReadOptions(granularity=65536)}, id="coarse"),
    pytest.param({"size": "min"}, id="min"),
    pytest.param({"strict": True}, id="strict"),
]
HOLES_A = [(0, 100_000), (150_000, 150_512), (200_000, 330_000), (640 * KIB, SIZE)]
HOLES_B = [(0, 90_000), (200_000, 300_001), (500_000, 520_000)]


@pytest.mark.parametrize("options", CASES)
def test_every_moment(tmp_path, small_tasks, options):
    a, b = contents(1)

    def make():
        return device(a, HOLES_A), device(b + b"longer", HOLES_B)

    seen = 0
    for settled, report, pair in films(tmp_path, make, **options):
        for one in pair:
            assert all(offset >= settled for offset, _ in one.reads)
        told = report.extra["checkpoint"]
        assert told["resumed_at"] == settled
        assert told["runs"] == 2
        assert report.bytes_compared >= told["bytes_not_read_again"]
        seen += 1
    assert seen > 5


def test_every_moment_with_threads(tmp_path, small_tasks, monkeypatch):
    from blockdiff.engine import compare

    monkeypatch.setattr(compare, "INLINE", 0)
    a, b = contents(9)
    options = {"options": blockdiff.ReadOptions(workers=3)}
    made = films(tmp_path, lambda: (device(a, HOLES_A), device(b, HOLES_B)), **options)
    for settled, _, pair in made:
        assert all(offset >= settled for one in pair for offset, _ in one.reads)


@pytest.mark.parametrize("granularity", [512, 4096, 65536], ids=str)
def test_every_moment_of_a_list(tmp_path, small_tasks, granularity):
    a, b = contents(2)
    rng = random.Random(3)
    cuts = sorted(rng.sample(range(SIZE), 80))
    only = [blockdiff.Extents([(lo, hi - lo) for lo, hi in zip(cuts[::2], cuts[1::2], strict=True)])]

    def make():
        return device(a, HOLES_A), device(b, HOLES_B)

    options = {"only": only, "options": blockdiff.ReadOptions(granularity=granularity)}
    assert sum(1 for _ in films(tmp_path, make, **options)) > 3


def test_unreadable_ranges_are_kept(tmp_path, small_tasks):
    a, b = contents(4)
    faults = [Fault(at, at + 4096) for at in (8192, 12288, 65536 * 3, 65536 * 3 - 4096, 400_000 - 400_000 % 4096)]

    def make():
        return device(a, HOLES_A, faults), device(b, HOLES_B, [Fault(12288, 16384)])

    options = {"options": blockdiff.ReadOptions(keep_going=True)}
    assert sum(1 for _ in films(tmp_path, make, **options)) > 5


def test_watchers_are_told_all(tmp_path, small_tasks):
    from blockdiff.engine.blockmap import BlockMap

    a, b = contents(5)

    def make():
        return device(a, HOLES_A), device(b, HOLES_B)

    def mapped(checkpoint=None):
        blockmap = BlockMap(SIZE, 4096)
        run(make(), checkpoint, watchers=[blockmap])
        return blockmap.to_dict()

    film = Filmed(tmp_path)
    whole = mapped()
    assert mapped(film) == whole
    film.close()
    for frame in film.frames:
        checkpoint = Checkpoint(frame / "ck")
        assert mapped(checkpoint) == whole
        checkpoint.close()


def test_a_read_error_ends_the_run_and_another_goes_on_before_it(tmp_path, small_tasks):
    a, b = contents(6)
    bad = 5 * 65536 + 4096
    whole = run((device(a), device(b)))
    checkpoint = Checkpoint(tmp_path / "ck", every=3600)
    with pytest.raises(blockdiff.DeviceError):
        run((device(a, faults=[Fault(bad, bad + 4096)]), device(b)), checkpoint)
    checkpoint.close()
    pair = device(a), device(b)
    checkpoint = Checkpoint(tmp_path / "ck")
    report = run(pair, checkpoint)
    assert essence(report) == essence(whole)
    assert 0 < report.extra["checkpoint"]["resumed_at"] <= bad
    assert min(offset for offset, _ in pair[0].reads) == report.extra["checkpoint"]["resumed_at"]
    checkpoint.close()


@pytest.mark.parametrize("stop", range(1, 7))
def test_whoever_leaves_off_has_what_was_given(tmp_path, small_tasks, stop):
    a, b = contents(7)
    whole = run((device(a), device(b)))
    checkpoint = Checkpoint(tmp_path / "ck", every=3600)
    run_one = Verification(device(a), device(b), checkpoint=Whole(checkpoint))
    for _ in zip(range(stop), run_one, strict=False):
        pass
    del run_one
    checkpoint.close()
    checkpoint = Checkpoint(tmp_path / "ck")
    assert essence(run((device(a), device(b)), checkpoint)) == essence(whole)
    checkpoint.close()


def test_many_runs(tmp_path, small_tasks):
    a, b = contents(8)
    whole = run((device(a), device(b)))
    runs, done = 0, False
    while not done:
        checkpoint = Checkpoint(tmp_path / "ck", every=0)
        reads = []

        class Stopping(FaultDevice):
            def pread_into(self, buffer, offset, reads=reads):
                reads.append(offset)
                if len(reads) > 2:
                    raise KeyboardInterrupt
                super().pread_into(buffer, offset)

            def clone(self):
                return Stopping(self._inner.clone())

        try:
            report = run((Stopping(MemoryDevice(a)), device(b)), checkpoint)
            done = True
        except KeyboardInterrupt:
            runs += 1
        checkpoint.close()
    assert runs > 3
    assert essence(report) == essence(whole)
    assert report.extra["checkpoint"]["runs"] == runs + 1
    parts = report.extra["checkpoint"]["parts"]
    assert [part["offset"] for part in parts[1:]] == [part["offset"] + part["length"] for part in parts[:-1]]


PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from("zr=bh")), max_size=14)


@settings(max_examples=int(os.environ.get("BLOCKDIFF_CHECKPOINT_PAIRS", "3")))
@given(pieces=PIECES, seed=st.integers(0, 5), granularity=st.sampled_from([512, 4096]), tail=st.integers(0, 4095))
def test_random_pairs(tmp_path_factory, pieces, seed, granularity, tail):
    from blockdiff.engine import workers

    rng = random.Random(seed)
    size = 60 * 16 * KIB + tail
    a = bytearray(rng.randbytes(size))
    b, holes = bytearray(a), []
    for start, length, what in pieces:
        lo, hi = start * 16 * KIB, min(size, (start + length) * 8 * KIB)
        if lo < hi:
            _change(what, a, b, lo, hi, rng, holes)
    pair = sorted(holes)
    known = [h for i, h in enumerate(pair) if i == 0 or h[0] >= max(hi for _, hi in pair[:i])]
    before, workers.TASK = workers.TASK, 64 * KIB
    try:
        options = {"options": blockdiff.ReadOptions(granularity=granularity)}
        for _ in films(tmp_path_factory.mktemp("film"), lambda: (device(a, known), device(b, known[::2])), **options):
            pass
    finally:
        workers.TASK = before


def _change(what, a, b, lo, hi, rng, holes):
    if what == "z":
        b[lo:hi] = bytes(hi - lo)
    elif what == "r":
        b[lo:hi] = rng.randbytes(hi - lo)
    elif what == "b":
        b[lo] ^= 4
    elif what == "h":
        a[lo:hi] = b[lo:hi] = bytes(hi - lo)
        holes.append((lo, hi))
