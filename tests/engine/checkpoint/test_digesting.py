"""A digest run that is taken up at any moment has the same root and the same digests, and reads nothing again."""

import io

import pytest

import blockdiff
from blockdiff.engine.checkpoint.store import Checkpoint
from blockdiff.engine.manifest.digest import Digesting
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.testing.faults import Fault
from tests.engine.checkpoint.test_resume import HOLES_A, SIZE, contents, device
from tests.fixtures.checkpoints import Filmed, reached

BIG_HOLE = [*HOLES_A[:-1], (400 * 1024, SIZE)]


def digested(one, checkpoint=None, **options):
    """Root, manifest without what says when it was made, and what was read."""
    made = Digesting(one, checkpoint=checkpoint, **options)
    made.time = "2026-01-01T00:00:00Z"
    file = io.BytesIO()
    made.write(file)
    run = made.run
    warnings = [text for text in run.warnings if "not read again" not in text]
    return made.root, file.getvalue(), made.stored_blocks, run.skipped, warnings


@pytest.mark.parametrize(("algorithm", "block"), [("xxh3-128", 4096), ("xxh3-128", 65536), ("blake3", 16384)])
@pytest.mark.parametrize("holes", [HOLES_A, BIG_HOLE, []], ids=["holes", "tail", "full"])
def test_every_moment(tmp_path, small_tasks, algorithm, block, holes):
    a, _ = contents(21)
    options = {"algorithm": algorithm, "block_size": block}
    whole = digested(device(a, holes), **options)
    film = Filmed(tmp_path)
    assert digested(device(a, holes), film, **options) == whole
    film.close()
    assert len(film.frames) > 5
    for frame in film.frames:
        one, settled = device(a, holes), reached(frame)
        checkpoint = Checkpoint(frame / "ck", every=3600)
        assert digested(one, checkpoint, **options) == whole
        checkpoint.close()
        assert all(offset >= settled for offset, _ in one.reads)


def test_a_read_error_and_another_run(tmp_path, small_tasks):
    a, _ = contents(22)
    whole = digested(device(a, HOLES_A))
    bad = 500_000 - 500_000 % 4096
    checkpoint = Checkpoint(tmp_path / "ck", every=3600)
    with pytest.raises(DeviceError):
        digested(device(a, HOLES_A, [Fault(bad, bad + 4096)]), checkpoint)
    checkpoint.close()
    one = device(a, HOLES_A)
    checkpoint = Checkpoint(tmp_path / "ck")
    made = Digesting(one, checkpoint=checkpoint)
    made.root_only()
    checkpoint.close()
    assert made.root == whole[0]
    assert made.run.told["resumed_at"] == min(offset for offset, _ in one.reads) > 0
    assert made.run.told["runs"] == 2


@pytest.mark.parametrize("options", [{"algorithm": "blake3"}, {"block_size": 4096}], ids=["algorithm", "block-size"])
def test_other_options_are_refused(tmp_path, small_tasks, options):
    a, _ = contents(23)
    checkpoint = Checkpoint(tmp_path / "ck", every=0)
    digested(device(a), checkpoint)
    checkpoint.close()
    with pytest.raises(InvalidInput, match="is the checkpoint of another run"):
        digested(device(a), Checkpoint(tmp_path / "ck"), **options)


def test_of_an_empty_device(tmp_path):
    for _ in range(2):
        checkpoint = Checkpoint(tmp_path / "ck", every=0)
        assert digested(device(b""), checkpoint) == digested(device(b""))
        checkpoint.close()


def test_a_record_is_never_too_long(tmp_path):
    data = bytearray(b"x" * (40 << 20))
    data[4096::8192] = bytes(len(data[4096::8192]))
    film = Filmed(tmp_path)
    options = {"block_size": 4096, "options": blockdiff.ReadOptions(workers=1)}
    whole = digested(device(data), film, **options)
    film.close()
    checkpoint = Checkpoint(film.frames[-1] / "ck")
    assert digested(device(data), checkpoint, **options) == whole
    checkpoint.close()
