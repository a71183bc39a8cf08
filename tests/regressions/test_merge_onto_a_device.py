"""`merge -o DEVICE`, typed where `apply` was meant, wrote the stream of diffs over the device, mounted or not."""

from tests.fixtures.cli import blockdiff
from tests.fixtures.exportdiff import Spec, v1


def test_a_block_device_is_refused(make_loop, tmp_path):
    device = make_loop(1 << 20)
    before = device.path.read_bytes()
    for number, (base, target) in enumerate((("a", "b"), ("b", "c"))):
        (tmp_path / f"d{number}").write_bytes(v1(Spec(4096, ((0, b"abc"),), base, target)))
    done = blockdiff("merge", tmp_path / "d0", tmp_path / "d1", "-o", device.path, expect=2)
    assert "blockdiff apply" in done.stderr
    assert device.path.read_bytes() == before
