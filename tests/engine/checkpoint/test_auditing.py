"""An audit that is taken up at any moment comes to the same judgement."""

import random

import pytest

import blockdiff
from blockdiff.engine.audit import Audit
from blockdiff.engine.checkpoint.keeping import Whole
from blockdiff.engine.checkpoint.store import Checkpoint
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput
from tests.engine.checkpoint.test_resume import HOLES_A, HOLES_B, SIZE, contents, device
from tests.fixtures.checkpoints import Filmed, essence


def audited(pair, listed, checkpoint=None):
    base, target = pair
    run = Audit(base, target, lambda: iter(listed), checkpoint=checkpoint and Whole(checkpoint))
    found = [tuple(extent) for extent in concatenate(run)]
    return found, run.totals, run.correct, essence(run.report)


def some_list(seed, step):
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(0, SIZE, step), 60))
    return [blockdiff.Extents([(lo, hi - lo) for lo, hi in zip(cuts[::2], cuts[1::2], strict=True)])]


@pytest.mark.parametrize("step", [1, 4096], ids=["odd", "blocks"])
@pytest.mark.parametrize("allocated", [False, True], ids=["changed", "allocated"])
def test_every_moment(tmp_path, small_tasks, allocated, step):
    a, b = contents(11)
    listed = some_list(12, step)

    def make():
        return None if allocated else device(a, HOLES_A), device(b + b"longer", HOLES_B)

    whole = audited(make(), listed)
    film = Filmed(tmp_path)
    assert audited(make(), listed, film) == whole
    film.close()
    assert len(film.frames) > 5
    for frame in film.frames:
        checkpoint = Checkpoint(frame / "ck", every=3600)
        assert audited(make(), listed, checkpoint) == whole
        checkpoint.close()


def test_another_list_is_refused(tmp_path, small_tasks):
    a, b = contents(13)
    checkpoint = Checkpoint(tmp_path / "ck", every=0)
    audited((device(a), device(b)), some_list(1, 4096), checkpoint)
    checkpoint.close()
    with pytest.raises(InvalidInput, match="the list of extents was '30 extents"):
        audited((device(a), device(b)), some_list(2, 4096), Checkpoint(tmp_path / "ck"))
