"""A small soak with a fixed seed, and what the soak itself stands on."""

import random
import signal
import subprocess
import sys

import pytest

from blockdiff.extent import Kind
from tests.fixtures.ceph_modules import need_ceph
from tests.soak.history import random_history
from tests.soak.judge import unsound
from tests.soak.reduce import reduced
from tests.soak.soak import Soak

SEED = 20261121


@pytest.mark.slow
@pytest.mark.ceph
def test_two_hundred_diffs():
    need_ceph()
    soak = Soak(SEED, pairs=20, reduce=False)
    soak.run(diffs=200)
    assert soak.tally.faults == []
    assert sum(soak.tally.diffs.values()) >= 200
    assert set(soak.tally.diffs) >= {"auto", "fast-diff", "byte", "map", "digest"}


@pytest.mark.slow
@pytest.mark.ceph
def test_ctrl_c_ends_it_with_a_summary():
    need_ceph()
    command = [sys.executable, "-m", "tests.soak", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "seed 3\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(8)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "faults of blockdiff: 0" in out
    assert "Traceback" not in err


def test_a_seed_gives_the_same_history():
    one, two = (random_history(random.Random("7/3")) for _ in range(2))
    assert one == two != random_history(random.Random("7/4"))
    assert str(one) == str(two)


def test_sizes_stay_in_their_bounds():
    for number in range(300):
        history = random_history(random.Random(number))
        sizes = [step[1] for step in history.steps if step[0] == "resize"]
        assert all(0 < size <= 64 << 20 for size in [history.layout.size, *sizes])


A, B = b"a" * 8, b"aabb" + bytes(4)
DATA, ZERO = Kind.DATA, Kind.ZERO


@pytest.mark.parametrize(
    ("extents", "word"),
    [
        ([(2, 2, DATA), (4, 4, ZERO)], ""),
        ([(0, 8, DATA)], ""),
        ([(2, 2, DATA)], "left out"),
        ([(3, 5, DATA)], "left out"),
        ([(3, 5, ZERO)], "left out"),
        ([(2, 6, ZERO)], "holds data"),
        ([(4, 4, ZERO), (2, 2, DATA)], "left out"),
        ([(2, 4, DATA), (4, 4, DATA)], "ascend"),
        ([(2, 7, DATA)], "leaves"),
        ([(2, 0, DATA), (2, 6, DATA)], "empty"),
    ],
)
def test_the_judge(extents, word):
    found = unsound(extents, A, B, 0, 8)
    assert word in found if word else not found


def test_the_judge_of_sizes():
    assert not unsound([], b"aaaa", b"aa", 0, 2)
    assert "grown" in unsound([], b"aa", b"aa\0\0", 0, 4)
    assert not unsound([], b"aa", b"aa\0\0", 0, 4, growth=False)
    assert not unsound([(2, 2, ZERO)], b"aa", b"aa\0\0", 0, 4)
    assert "left out" in unsound([], b"aa", b"aaa", 0, 3, growth=False)


def test_a_history_is_cut_down():
    history = random_history(random.Random(12))
    wanted = {history.steps[2], history.steps[-2]}
    cut = reduced(history, lambda tried: wanted <= set(tried.steps))
    assert set(cut.steps) == wanted
