"""A list is not proved by a part of its volume."""

import json

import pytest

from tests.fixtures.cli import blockdiff


@pytest.mark.parametrize("words", [(), ("--allocated",)])
def test_devices_smaller_than_the_volume(tmp_path, words):
    listed = {"block_metadata_type": 2, "volume_capacity_bytes": 16384, "block_metadata": []}
    (tmp_path / "list.json").write_text(json.dumps([listed]))
    for name, size in (("a", 8192), ("b", 8192), ("whole", 16384), ("larger", 20480), ("other", 20480)):
        (tmp_path / name).write_bytes(bytes(size))
    base = [] if words else [tmp_path / "a"]
    done = blockdiff("audit", *words, *base, tmp_path / "b", "--extents", tmp_path / "list.json", expect=2)
    assert "a part of the volume does not prove the list" in done.stderr
    assert done.stdout == ""
    base = [] if words else [tmp_path / "other"]
    for name in ("whole", "larger"):
        blockdiff("audit", *words, *base, tmp_path / name, "--extents", tmp_path / "list.json", expect=0)
