"""Data, runner and judges of the benchmarks agree on tiny files, so that a benchmark cannot rot into a wrong answer."""

import json
import os
import sys
import tempfile

import pytest

pytest.importorskip("bench", reason="the benchmarks are in the source tree, not in a wheel")
from bench import cache, data, peers, report, result, runner, setting, targets

SIZE = 4 << 20
FOUND = [peer for peer in peers.PEERS if peer.present]


@pytest.fixture(scope="module")
def store():
    """Where the benchmarks' data goes: a disk, not a tmpfs, which cannot evict."""
    made = data.Store(tempfile.mkdtemp(prefix="blockdiff-bench-", dir=setting.directory()))
    yield made
    made.remove()


@pytest.fixture(scope="module", params=["equal", "scattered", "rewritten", "zeroes", "sparse"])
def pair(request, store):
    if request.param == "sparse":
        return store.sparse(16 * SIZE, SIZE)
    return store.scattered(SIZE, percent=10) if request.param == "scattered" else getattr(store, request.param)(SIZE)


def naive(pair):
    """Every byte that differs, one by one."""
    with open(pair.source, "rb") as a, open(pair.target, "rb") as b:
        sides = a.read(), b.read()
    starts = range(0, len(sides[0]), 4096)
    blocks = [start for start in starts if sides[0][start : start + 4096] != sides[1][start : start + 4096]]
    return [i for start in blocks for i in range(start, start + 4096) if sides[0][i] != sides[1][i]]


def test_truth_is_what_the_files_hold(pair):
    wanted = [i for offset, length in pair.truth.changed for i in range(offset, offset + length)]
    assert naive(pair) == wanted
    assert pair.truth.bytes == len(wanted)
    for granularity in (512, 4096, data.BLOCK):
        blocks = sorted({i // granularity for i in wanted})
        assert pair.truth.blocks(granularity) == len(blocks)
        assert pair.truth.at(granularity) == data.joined((block * granularity, granularity) for block in blocks)


def test_same_bits_every_time(store, tmp_path):
    again = data.Store(str(tmp_path)).scattered(SIZE, percent=10)
    first = store.scattered(SIZE, percent=10)
    assert again.truth == first.truth
    assert data.same(again.target, first.target)


def test_files_share_no_blocks_and_zeroes_are_allocated(store):
    pair = store.zeroes(SIZE)
    assert os.stat(pair.source).st_blocks * 512 >= SIZE
    assert os.stat(pair.target).st_blocks == 0
    sparse = store.sparse(16 * SIZE, SIZE)
    assert os.stat(sparse.source).st_blocks * 512 < 2 * SIZE


@pytest.mark.parametrize("peer", FOUND, ids=lambda peer: peer.name)
def test_a_peer_says_the_truth(peer, pair):
    if peer in peers.present(pair, cold=True):
        outcome = runner.run(peer.command(pair, runner.nothing))
        assert outcome.wall > 0
        assert outcome.rss > 0


@pytest.mark.parametrize("peer", FOUND, ids=lambda peer: peer.name)
def test_a_peer_that_is_wrong_is_caught(peer, store):
    """The judge is asked about another pair than the tool was."""
    equal, other = store.equal(SIZE), store.scattered(SIZE, percent=10)
    lied = data.Pair(other.source, other.target, equal.truth, SIZE)
    if peer.cold:
        return
    with pytest.raises(runner.WrongAnswer, match=peer.name):
        runner.run(peer.command(lied, runner.nothing))


def test_every_tool_is_used_or_named():
    assert {peer.argv[0] for peer in peers.PEERS} == {peer.argv[0] for peer in FOUND} | set(peers.missing())


@pytest.fixture
def said(monkeypatch, tmp_path):
    """Makes blockdiff a program that prints this and exits with that."""

    def prepare(answer, code=0):
        (tmp_path / "answer").write_text(json.dumps(answer))
        script = f"import sys; print(open({str(tmp_path / 'answer')!r}).read()); sys.exit({code})"
        (tmp_path / "program.py").write_text(script)
        monkeypatch.setenv("BLOCKDIFF_BENCH_COMMAND", f"{sys.executable} {tmp_path / 'program.py'}")

    return prepare


def answer_of(ranges):
    found = [{"offset": offset, "length": length, "class": "data"} for offset, length in ranges]
    return {"identical": not found, "differences": found, "differing_bytes": sum(length for _, length in ranges)}


def test_our_own_answer_is_judged(store, said):
    pair = store.scattered(SIZE, percent=10)
    true = pair.truth.at(4096)
    said(answer_of(true), 1)
    runner.run(peers.verify(pair, runner.nothing))
    wrong = {
        "missed": (answer_of(true[1:]), 1),
        "invented": (answer_of([*true, (SIZE - 512, 512)]), 1),
        "exit": (answer_of(true), 0),
        "unsorted": (answer_of(true[::-1]), 1),
        "empty": ({}, 1),
    }
    for answer, code in wrong.values():
        said(answer, code)
        with pytest.raises(runner.WrongAnswer):
            runner.run(peers.verify(pair, runner.nothing))


def test_an_under_reporting_diff_is_caught_and_a_little_more_is_allowed(store, said):
    pair = store.rewritten(SIZE)
    true = pair.truth.at(4096)
    for ranges, right in ((true, True), ([(true[0][0], true[0][1] + 4096), *true[1:]], True), (true[:-1], False)):
        items = [{"byte_offset": offset, "size_bytes": length} for offset, length in ranges]
        said([{"block_metadata_type": 2, "volume_capacity_bytes": SIZE, "block_metadata": items}])
        if right:
            runner.run(peers.diff(pair, runner.nothing))
        else:
            with pytest.raises(runner.WrongAnswer):
                runner.run(peers.diff(pair, runner.nothing))


def test_restore_brings_the_base_back(store):
    pair = store.rewritten(SIZE)
    before = naive(pair)
    data.write(pair.target, data.contents(pair.source))
    assert data.same(*pair.paths)
    data.restore(pair)
    assert naive(pair) == before


def test_rounds_alternate_and_ratios_are_made_inside_them():
    order = []

    def command(name):
        return runner.Command(name, ["true"], peers.succeeded, lambda: order.append(name))

    race = runner.Race(command("ours"), [command("a"), command("b")])
    race.warm_up()
    for _ in range(2):
        race.run_peers()
        race.run_ours()
    assert order == ["a", "b", "ours"] * 3
    assert [len(outcomes) for outcomes in race.outcomes.values()] == [2, 2, 2]
    # One slow round spoils one ratio, not the median.
    race.outcomes = {"ours": [outcome(1), outcome(9), outcome(2)], "a": [outcome(2), outcome(18), outcome(2)]}
    assert race.ratio("a", "cpu") == 2


def outcome(seconds):
    return runner.Outcome(seconds, seconds, 0, 1, (0,))


def test_pipelines_and_sequences_are_added_up():
    words = ["sh", "-c", "echo one; exit 3", "|", "cat", ";", "sh", "-c", "echo two >&2"]
    seen = []
    ran = runner.run(runner.Command("steps", words, seen.append))
    assert seen == [ran]
    assert ran.codes == (3, 0, 0)
    assert (ran.stdout, ran.stderr) == ("one\n", "two\n")


def test_peak_memory_is_the_commands_own():
    ballast = bytearray(b"x") * (64 << 20)
    ran = runner.run(runner.Command("small", ["true"], peers.succeeded))
    assert ran.rss * 1024 < len(ballast) // 2


def test_evicted_is_out_and_warm_is_in(store):
    pair = store.equal(SIZE)
    before = list(data.contents(pair.source))
    cache.evict(pair.paths)
    assert cache.resident(pair.source) <= SIZE // 200
    for warm in (cache.warm_large, cache.warm_small, cache.warm):
        warm(pair.paths)
        assert cache.resident(pair.source) == SIZE
    assert list(data.contents(pair.source)) == before


def test_small_folios_are_small(store):
    pair = store.equal(SIZE)
    cache.warm_small(pair.paths)
    shares = cache.folios(pair.source)
    assert shares is None or shares == {4096: 1.0}
    assert cache.described(shares) in {"unknown", "4 KiB 100%"}


def test_report_tells_goals_ratios_and_what_did_not_run(tmp_path):
    found = result.Result("2026-01-02T03:04:05Z", quick=True, rounds=3)
    race = runner.Race(runner.Command("blockdiff", [], print), [runner.Command("cmp", [], print)])
    race.outcomes = {"blockdiff": [outcome(1)], "cmp": [outcome(1.2)]}
    found.add_race(targets.COLD, race)
    found.add(targets.START, "milliseconds", 41.5)
    found.absent[targets.REFLINK] = "mounting a file system needs root"
    stored = found.store(tmp_path)
    text = report.markdown(result.load(stored))
    assert result.newest(tmp_path) == stored
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "| equal, cold | cpu | cmp | 1.20x | ≥ 2.00x | NO |" in lines
    assert "| 1 MiB pair, start to end | milliseconds | | 41.5 ms | ≤ 60.0 ms | yes |" in lines
    assert f"- {targets.REFLINK}: mounting a file system needs root" in lines
    assert f"- {targets.COPY}: not part of this run" in lines
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.replaced(page, "new\n")
    assert "old" not in once
    assert once.startswith("before")
    assert once.endswith("after\n")
    assert report.replaced(once, "new\n") == once
