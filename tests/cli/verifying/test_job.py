"""What verify also does is told of everything, in order, and may change what is said."""

import json
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from blockdiff._fast import Extents
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import make_writer
from blockdiff.cli.verifying import aspect as module
from blockdiff.cli.verifying.aspect import Aspect, aspect_options, make_aspects, refuse_with_pairs
from blockdiff.cli.verifying.job import Job
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.engine.spool import Spool
from blockdiff.extent import Kind

BLOCK = 4096


class Witness(Aspect):
    """Notes what it is told."""

    option = "--witness"

    def __init__(self, holds=False, fails=False):
        self.holds, self.fails, self.told = holds, fails, []

    def prepare(self, job):
        self.told.append("prepare")

    def found(self, batch):
        self.told.append([tuple(extent)[:2] for extent in batch])

    def finish(self, job, report):
        self.told.append("finish")
        if self.fails:
            raise KeyboardInterrupt
        report.extra["witness"] = len(job.spool) if job.spool is not None else None
        return ["a line"]

    def verdict(self, report, text):
        return f"so to say {text}"

    def exit_code(self, report, code):
        return code + 10


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "a").write_bytes(b"a" * 4 * BLOCK)
    (tmp_path / "b").write_bytes(b"a" * BLOCK + b"b" * BLOCK + b"a" * BLOCK + b"b" * BLOCK)
    return str(tmp_path / "a"), str(tmp_path / "b")


def run(pair, aspects, output="json", limit=None, **comparing):
    """The exit code and the output of a job."""
    result = []

    @click.command()
    def go():
        source, target = open_device(pair[0]), open_device(pair[1])
        progress = make_progress("none", quiet=False)
        job = Job(
            pair,
            source,
            target,
            {"options": ReadOptions(), **comparing},
            aspects,
            writer=make_writer(output, progress, quiet=False),
            progress=progress,
            output=output,
            limit=limit,
        )
        try:
            result.append(job.execute())
        finally:
            job.close()

    done = CliRunner().invoke(go)
    return (result or [None])[0], done.stdout


@pytest.mark.parametrize("holds", [False, True], ids=["streamed", "held"])
def test_is_told_everything_and_may_say_more(pair, holds):
    witness = Witness(holds)
    code, text = run(pair, [witness])
    report = json.loads(text)
    assert code == 11
    assert witness.told == ["prepare", [(BLOCK, BLOCK), (3 * BLOCK, BLOCK)], "finish"] or witness.told == [
        "prepare",
        [(BLOCK, BLOCK)],
        [(3 * BLOCK, BLOCK)],
        "finish",
    ]
    assert [d["offset"] for d in report["differences"]] == [BLOCK, 3 * BLOCK]
    assert report["witness"] == (2 if holds else None)


def test_held_rows_keep_to_the_limit(pair):
    _, text = run(pair, [Witness(holds=True)], limit=1)
    report = json.loads(text)
    assert [d["offset"] for d in report["differences"]] == [BLOCK]
    assert report["difference_count"] == 2


def test_held_rows_may_be_replaced(pair):
    class Replacing(Witness):
        def finish(self, job, report):
            job.spool.close()
            job.spool = Spool()
            job.spool.add(Extents([(0, 512, Kind.DIFF_DATA)]))
            return []

    _, text = run(pair, [Replacing(holds=True)])
    assert [d["length"] for d in json.loads(text)["differences"]] == [512]


def test_words_for_people(pair):
    _, text = run(pair, [Witness()], output="human")
    assert "so to say different: 2 ranges" in text
    assert text.rstrip().endswith("a line")


def test_an_end_in_between_is_no_result(pair):
    code, text = run(pair, [Witness(fails=True)])
    assert code is None
    report = json.loads(text)
    assert (report["identical"], report["complete"], report["error"]) == (False, False, "interrupted")


def test_options_of_modules(monkeypatch):
    def make(given):
        return Witness() if given.pop("witness") else None

    fake = SimpleNamespace(OPTIONS=(click.option("--witness", is_flag=True),), make=make)
    monkeypatch.setattr(module, "_modules", lambda: (fake,))
    seen = []

    @click.command()
    @aspect_options
    def go(**given):
        seen.append(make_aspects(given))
        assert not given

    CliRunner().invoke(go, ["--witness"], catch_exceptions=False)
    CliRunner().invoke(go, [], catch_exceptions=False)
    assert [len(found) for found in seen] == [1, 0]
    with pytest.raises(click.UsageError, match="--pairs and --witness do not go together"):
        refuse_with_pairs(seen[0])
