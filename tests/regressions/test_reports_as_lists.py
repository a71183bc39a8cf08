"""A report that names only some of the differences was taken for a list of all, and what it left out was lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import blockdiff
from blockdiff import InvalidInput
from blockdiff.engine.extentlist import read_extents

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"a" * 65536)
    b.write_bytes(b"b" * 4096 + b"a" * 8192 + b"b" * 4096 + b"a" * 49152)
    return a, b


def written(tmp_path: Path, report: dict[str, Any], *, lines: bool) -> Path:
    """The report in the two forms of the command line."""
    path = tmp_path / "report.json"
    rest = dict(report)
    found = rest.pop("differences")
    text = "\n".join(json.dumps(value) for value in [*found, rest]) if lines else json.dumps(report)
    path.write_text(text + "\n")
    return path


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(
    ("options", "message"), [({"first": True}, "stopped early"), ({"max_differences": 1}, "lists 1 of 2 differences")]
)
def test_a_part_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, options: dict[str, Any], message: str, *, lines: bool
) -> None:
    report = blockdiff.verify(*pair, **options).to_dict()
    with pytest.raises(InvalidInput, match=message):
        read_extents(written(tmp_path, report, lines=lines), checked=True)


@pytest.mark.parametrize("lines", [False, True])
def test_the_whole_is_taken(pair: tuple[Path, Path], tmp_path: Path, *, lines: bool) -> None:
    path = written(tmp_path, blockdiff.verify(*pair).to_dict(), lines=lines)
    with read_extents(path, checked=True) as listed:
        assert [(e.offset, e.length) for batch in listed for e in batch] == [(0, 4096), (12288, 4096)]
