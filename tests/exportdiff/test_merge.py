"""Joining: one diff that does what all did."""

import io
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.errors import InvalidInput, OutputError
from blockdiff.exportdiff.form import MAX_RECORD
from tests.fixtures.exportdiff import Spec, applied, image, parse, random_chain, v1

ONE, TWO = Spec(100, ((0, b"abc"), (50, b"x" * 50)), "a", "b"), Spec(80, ((1, b"B"), (60, 10)), "b", "c")


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.booleans())
def test_any_chain(tmp_path_factory, seed, together):
    base, specs, images = random_chain(seed)
    directory = tmp_path_factory.mktemp("merge")
    for number, stream in enumerate([image(specs)] if together else [v1(spec) for spec in specs]):
        (directory / f"{number}").write_bytes(stream)
    names = sorted(directory.iterdir(), key=lambda path: int(path.name))
    out = io.BytesIO()
    report = blockdiff.merge(names, out)
    spec = parse(out.getvalue())
    assert applied(base, spec) == images[-1]
    assert (spec.from_name, spec.to_name) == (specs[0].from_name, specs[-1].to_name)
    assert report.diffs == len(specs)
    assert report.data_bytes + report.zero_bytes == sum(
        content if isinstance(content, int) else len(content) for _, content in spec.records
    )


def test_the_result(files, tmp_path):
    blockdiff.merge(files([ONE, TWO]), tmp_path / "out")
    spec = parse((tmp_path / "out").read_bytes())
    records = ((0, b"a"), (1, b"B"), (2, b"c"), (50, b"x" * 10), (60, 10), (70, b"x" * 10))
    assert spec == Spec(80, records, "a", "c")


def test_what_was_cut_off_in_between_is_zero(files, tmp_path):
    specs = [Spec(10, (), "a", "b"), Spec(100, ((50, b"y"),), "b", "c")]
    blockdiff.merge(files(specs), tmp_path / "out")
    base = b"x" * 100
    assert applied(base, parse((tmp_path / "out").read_bytes())) == b"x" * 10 + bytes(40) + b"y" + bytes(49)


def test_one_of_version_2_becomes_version_1(files, tmp_path):
    blockdiff.merge(files([ONE], together=True), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == v1(ONE)


def test_long_records_are_cut(files):
    data = os.urandom(MAX_RECORD + 5)
    out = io.BytesIO()
    blockdiff.merge(files([Spec(len(data), ((0, data),), None, "a")]), out)
    assert [len(content) for _, content in parse(out.getvalue()).records] == [MAX_RECORD, 5]


# ---- the file appears when it is whole ----


def test_a_broken_input_leaves_nothing(files, tmp_path):
    names = files([ONE, TWO])
    with open(names[1], "r+b") as file:
        file.truncate(os.path.getsize(names[1]) - 1)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InvalidInput, match="missing"):
        blockdiff.merge(names, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == before


def test_an_input_that_is_cut_on_the_way_leaves_what_was_there(files, tmp_path):
    names = files([ONE, TWO])
    (tmp_path / "out").write_bytes(b"before")

    class Meddler:
        def start(self, what, total):
            with open(names[0], "r+b") as file:
                file.truncate(50)

        def advance(self, done):
            pass

        def finish(self):
            pass

    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InvalidInput, match="ends here now"):
        blockdiff.merge(names, tmp_path / "out", progress=Meddler())
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "out").read_bytes() == b"before"


def test_an_input_may_be_the_output(files):
    names = files([ONE, TWO])
    os.chmod(names[0], 0o640)
    blockdiff.merge(names, names[0])
    with open(names[0], "rb") as file:
        assert parse(file.read()).to_name == "c"
    assert stat.S_IMODE(os.stat(names[0]).st_mode) == 0o640


def test_new_files_have_the_usual_permissions(files, tmp_path):
    before = os.umask(0o027)
    try:
        blockdiff.merge(files([ONE]), tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "out").st_mode) == 0o640


def test_a_link_is_followed(files, tmp_path):
    (tmp_path / "link").symlink_to("out")
    blockdiff.merge(files([ONE]), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out").read_bytes() == v1(ONE)


@pytest.mark.parametrize("place", ["no/such/out", ".", "/dev/full"])
def test_places_that_cannot_be_written(files, tmp_path, place):
    with pytest.raises(OutputError):
        blockdiff.merge(files([ONE]), tmp_path / place)
