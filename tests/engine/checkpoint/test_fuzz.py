"""Damaged checkpoints: refused, always, and never half used.

BLOCKDIFF_CHECKPOINT_FUZZ says how many damaged ones are tried; docs/checkpoint.md records a long run.
"""

import os
import random

import pytest

from blockdiff.engine.checkpoint.form import decode
from blockdiff.engine.checkpoint.keeping import Whole
from blockdiff.engine.checkpoint.log import Log
from blockdiff.engine.checkpoint.settled import settled
from blockdiff.engine.checkpoint.store import Checkpoint
from blockdiff.engine.verify import verify_devices
from blockdiff.errors import InvalidInput
from tests.engine.checkpoint.test_resume import HOLES_A, contents, device

COUNT = int(os.environ.get("BLOCKDIFF_CHECKPOINT_FUZZ", "1500"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint in the middle of a run, and the file beside it, both with all that there can be."""
    from blockdiff.engine import workers

    place = tmp_path_factory.mktemp("fuzz")
    a, b = contents(31)
    before, workers.TASK = workers.TASK, 64 << 10
    try:
        checkpoint = Checkpoint(place / "ck", every=0, keep=True)
        verify_devices(device(a, HOLES_A), device(b), checkpoint=Whole(checkpoint))
        checkpoint.close()
    finally:
        workers.TASK = before
    return (place / "ck").read_bytes(), (place / "ck.data").read_bytes()


def flip(data, at, rng):
    data[at : at + 1] = bytes([b ^ 1 << rng.randrange(8) for b in data[at : at + 1]])


def replace(data, at, rng):
    data[at : at + 1] = rng.randbytes(1)


def cut(data, at, rng):
    del data[at:]


def remove(data, at, rng):
    del data[at : at + rng.choice(PIECES)]


def insert(data, at, rng):
    data[at:at] = rng.randbytes(rng.choice(PIECES))


def repeat(data, at, rng):
    data[at:at] = data[at : at + rng.choice(PIECES)]


def more(data, at, rng):
    data += rng.randbytes(rng.randrange(1, 40))


def zeroes(data, at, rng):
    stop = min(len(data), at + rng.choice(PIECES))
    data[at:stop] = bytes(stop - at)


def number(data, at, rng):
    data[at : at + 1] = b"%d" % rng.choice([0, 1, 2**31, 2**63, 2**64 - 1])


PIECES = [1, 2, 8, 24, 100]
WAYS = [flip, flip, flip, replace, cut, remove, insert, repeat, more, zeroes, number]


def damaged(data, rng):
    """Another content."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        rng.choice(WAYS)(data, rng.randrange(len(data) + 1), rng)
    return bytes(data)


def test_damaged_checkpoints(files):
    whole, rng = files[0], random.Random(COUNT)
    state = decode(whole, "ck")
    for _ in range(COUNT // 2):
        data = damaged(whole, rng)
        if data == whole:
            continue
        with pytest.raises(InvalidInput):
            decode(data, "ck")
    assert decode(whole, "ck") == state


def test_forged_checkpoints(files):
    """With the right checksums: refused, or taken for one, and then all of it makes sense."""
    from blockdiff._fast import xxh64_pair
    from blockdiff.engine.checkpoint.form import SEEDS

    head, body, _ = files[0].split(b"\n", 2)
    rng, taken = random.Random(COUNT + 2), 0
    for _ in range(COUNT // 3):
        text = head + b"\n" + damaged(body, rng).replace(b"\n", b"") + b"\n"
        try:
            state = decode(text + b"xxh64 %016x %016x\n" % xxh64_pair(text, SEEDS), "ck")
        except InvalidInput:
            continue
        taken += 1
        assert (
            0
            <= state.reached
            <= max(state.job[key]["size"] for key in ("source", "target") if "size" in state.job.get(key, {}))
        )
        assert state.parts
        assert Log("none", state.id).position[0] == 0
    assert taken < COUNT // 3


def test_damaged_data(files):
    checkpoint, whole = files
    rng, file = random.Random(COUNT + 1), os.memfd_create("data")
    state = decode(checkpoint, "ck")
    assert state.log[0] == len(whole)
    tried = 0
    for _ in range(COUNT - COUNT // 2):
        data = damaged(whole, rng)
        os.ftruncate(file, 0)
        os.pwrite(file, data, 0)
        log = Log(f"/proc/self/fd/{file}", state.id)
        if data[: len(whole)] == whole:  # more at the end is what a crash leaves
            assert sum(1 for _ in settled(log, state.log, state.stage_log)) > 0
            continue
        with pytest.raises(InvalidInput):
            log.take_up(state.log)
        tried += 1
        log.close()
    os.close(file)
    assert tried > COUNT // 3


def test_damage_never_makes_a_report(files, tmp_path):
    """The whole way, as a user would: whatever was damaged, nothing is said of the devices."""
    a, b = contents(31)
    rng = random.Random(5)
    for number in range(min(COUNT, 60)):
        which = number % 2
        parts = list(files)
        parts[which] = damaged(parts[which], rng)
        if parts[which].startswith(files[which]):
            continue
        (tmp_path / "ck").write_bytes(parts[0])
        (tmp_path / "ck.data").write_bytes(parts[1])
        one, other = device(a, HOLES_A), device(b)
        with pytest.raises(InvalidInput):
            verify_devices(one, other, checkpoint=Whole(Checkpoint(tmp_path / "ck")))
        assert not one.reads
        assert not other.reads
