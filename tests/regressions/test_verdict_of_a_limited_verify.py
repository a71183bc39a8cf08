"""The verdict of ``verify --extents`` named all bytes of the device as identical, compared or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from blockdiff.cli.verify import command

if TYPE_CHECKING:
    from pathlib import Path


def test_verdict_says_what_was_compared(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 65536)
    (tmp_path / "b").write_bytes(b"a" * 8192 + b"b" * 57344)
    (tmp_path / "list").write_text('[{"offset": 0, "length": 8192}]')
    words = [str(tmp_path / "a"), str(tmp_path / "b"), "--extents", str(tmp_path / "list")]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.return_value == 0
    assert done.output.startswith("identical in the listed ranges: 8,192 bytes; 57,344 were not compared\n")
