"""Which streams follow each other."""

import io

import pytest

from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.exportdiff import chain as chain_module
from blockdiff.exportdiff.chain import Chain
from tests.fixtures.descriptors import descriptors, opened_since
from tests.fixtures.exportdiff import Spec, image, v1

FULL, NEXT, LAST = Spec(9, ((0, b"abc"),), None, "s1"), Spec(9, (), "s1", "s2"), Spec(5, ((0, 1),), "s2", "s3")
HEAD = Spec(9, ((1, b"x"),), "s2", None)


def test_a_chain(files):
    with Chain(files([FULL, NEXT, LAST])) as chain:
        assert (chain.from_name, chain.to_name, chain.size) == (None, "s3", 5)
        assert [(number, len(layer)) for number, layer in chain] == [(0, 1), (1, 0), (2, 1)]


def test_a_file_of_several(files):
    with Chain([*files([FULL, NEXT], together=True), *files([LAST], prefix="e")]) as chain:
        assert [number for number, _ in chain] == [0, 0, 1]


def test_the_head_in_a_whole_export_gives_way(files):
    """rbd export --export-format 2 ends with the head; a diff that follows begins with the last snapshot."""
    names = files([FULL, NEXT, HEAD], together=True)
    with Chain(names) as chain:
        assert (len(chain.layers), chain.to_name) == (3, None)
    with Chain([*names, *files([LAST], prefix="e")]) as chain:
        assert (len(chain.layers), chain.to_name) == (3, "s3")
        assert [diff.header.to_name for diff in chain.files[0].read()] == ["s1", "s2"]


@pytest.mark.parametrize(
    ("specs", "what"),
    [
        pytest.param([FULL, LAST], "begins with snapshot 's2', but .*d0 before it ends with snapshot 's1'", id="gap"),
        pytest.param([NEXT, FULL], "a whole image can only come first", id="whole image later"),
        pytest.param([HEAD, LAST], "ends with the head of an image", id="head in between"),
        pytest.param([NEXT, NEXT], "begins with snapshot 's1'", id="twice"),
    ],
)
def test_what_does_not_follow(files, specs, what):
    with pytest.raises(InvalidInput, match=what):
        Chain(files(specs))


def test_a_broken_file_is_refused_and_all_are_closed(files, tmp_path):
    names = files([FULL, NEXT])
    (tmp_path / "d1").write_bytes(v1(NEXT)[:-1])
    before = descriptors()
    with pytest.raises(InvalidInput, match="d1: byte"):
        Chain(names)
    assert not opened_since(before)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DeviceError, match="No such file"):
        Chain([str(tmp_path / "none")])
    with pytest.raises(InvalidInput, match="directory"):
        Chain([str(tmp_path)])


def test_a_pipe_is_kept(monkeypatch):
    def pipe(_name):
        made = io.BytesIO(image([FULL, NEXT]))
        made.seekable = lambda: False
        return made, "standard input"

    monkeypatch.setattr(chain_module, "open_file", pipe)
    with Chain(["-"]) as chain:
        assert chain.to_name == "s2"
        assert chain.files[0].changes() == ""
    with pytest.raises(InvalidInput, match="only once"):
        Chain(["-", "-"])


def test_changes_are_seen(files):
    names = files([FULL])
    with Chain(names) as chain:
        with open(names[0], "ab") as file:
            file.write(b"x")
        assert "modified" in chain.files[0].changes()
