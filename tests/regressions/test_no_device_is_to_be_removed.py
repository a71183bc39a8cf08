"""What is named as a checkpoint and is none may be somebody's disk: nobody is told to remove it."""

from tests.fixtures.cli import blockdiff


def test_a_device_as_checkpoint(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"disk" * 4096)
    done = blockdiff("verify", "--checkpoint", tmp_path / "a", tmp_path / "a", tmp_path / "b", expect=2)
    assert "name another file" in done.stderr
    assert "rm " not in done.stderr
    assert (tmp_path / "a").read_bytes() == b"disk" * 4096
