"""`verify`, `copy` and `audit` of images, with files, devices and images on the other side."""

import json
import random
import subprocess

import pytest

from tests import oracle
from tests.fixtures.cli import blockdiff, found, report
from tests.fixtures.images import write_image
from tests.fixtures.rbd import MIB, diff, run, scribble

SIZE = 12 * MIB + 512


def random_content(seed=0, size=SIZE):
    """Data with zeroes and an unaligned tail."""
    rng = random.Random(seed)
    data = bytearray(rng.randbytes(size))
    data[3 * MIB : 6 * MIB + 1000] = bytes(3 * MIB + 1000)
    return bytes(data)


def qemu_url(ceph, spec):
    return f"rbd:{spec}:conf={ceph.conf}"


def same_for_others(ceph, spec, path):
    """`cmp` of `rbd export`, and `qemu-img compare`, find no difference."""
    exported = ceph.run("rbd", "export", "--no-progress", spec, "-").stdout
    assert subprocess.run(["cmp", "-", path], input=exported, check=False).returncode == 0
    raw = ("-f", "raw", "-F", "raw")
    ceph.run("qemu-img", "compare", *raw, qemu_url(ceph, spec), path)


class TestVerify:
    @pytest.mark.parametrize("granularity", [512, 4096])
    def test_an_image_and_a_file(self, ceph, tmp_path, granularity):
        a = random_content()
        b = bytearray(a)
        b[700] ^= 1
        b[4 * MIB : 4 * MIB + 5000] = b"x" * 5000
        b[-100:] = bytes(100)
        spec, path = ceph.image("a", SIZE, a), write_image(tmp_path / "b", b)
        wanted = oracle.differences(a, bytes(b), granularity)
        for urls in ((ceph.url(spec), path), (ceph.url(ceph.snapshot(spec, "s")), path)):
            assert found(report("verify", *urls, "--granularity", granularity, expect=1)) == wanted
        assert found(report("verify", path, ceph.url(spec), "--granularity", granularity, expect=1)) == (
            oracle.differences(bytes(b), a, granularity)
        )
        write_image(tmp_path / "b", a)
        assert report("verify", ceph.url(spec), path, expect=0)["complete"]
        same_for_others(ceph, spec, path)

    def test_two_snapshots(self, ceph):
        spec = ceph.image("a", SIZE, random_content())
        ceph.snapshot(spec, "s1")
        scribble(ceph, spec, SIZE, 3)
        ceph.snapshot(spec, "s2")
        a, b = ceph.content(f"{spec}@s1"), ceph.content(f"{spec}@s2")
        urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
        assert found(report("verify", *urls, expect=1)) == oracle.differences(a, b)

    def test_holes_are_not_read(self, ceph):
        a, b = (ceph.image(name, 1 << 40, b"data" * 1000) for name in "ab")
        value = report("verify", "--method", "content", ceph.url(a), ceph.url(b), expect=0)
        assert value["bytes_read"] <= 16 * MIB
        assert {item["reason"] for item in value["skipped"]} <= {"hole", "osd-checksum"}

    def test_striped_and_plain_and_erasure_coded(self, ceph, ceph_ec):
        data = random_content()
        plain = ceph.image("plain", SIZE, data)
        striped = ceph.image("striped", SIZE, data, order=18, stripe_unit=65536, stripe_count=4)
        coded = ceph_ec.image("coded", SIZE, data)
        for url in (ceph.url(striped), ceph_ec.url(coded)):
            assert report("verify", ceph.url(plain), url, expect=0)["identical"]
        ceph.write(striped, 9 * MIB + 65536, b"!")
        for a, b in ((plain, striped), (striped, plain)):
            value = report("verify", ceph.url(a), ceph.url(b), expect=1)
            assert [item["offset"] for item in value["differences"]] == [9 * MIB + 65536]

    def test_an_image_is_not_compared_with_itself(self, ceph):
        spec = ceph.image("a", MIB, b"data")
        for urls in ((ceph.url(spec), ceph.url(spec)), (ceph.url(spec), f"rbd:{spec}?conf={ceph.conf}&id=admin")):
            blockdiff("verify", *urls, expect=2)


class TestCopy:
    def test_a_file_into_an_image(self, ceph, tmp_path):
        data = random_content()
        path = write_image(tmp_path / "a", data, [(3 * MIB, 6 * MIB)])
        spec = ceph.image("b", SIZE, b"old" * MIB)
        assert run("copy", "--verify", path, ceph.url(spec))["verified"] is True
        assert ceph.content(spec) == data
        same_for_others(ceph, spec, path)

    def test_an_image_into_a_file(self, ceph, tmp_path):
        data = random_content()
        spec = ceph.image("a", SIZE, data)
        ceph.discard(spec, 4 * MIB, 4 * MIB)
        spec = ceph.snapshot(spec, "s")
        data = data[: 4 * MIB] + bytes(4 * MIB) + data[8 * MIB :]
        path = tmp_path / "b"
        run("copy", "--verify", ceph.url(spec), path)
        assert path.read_bytes() == data
        assert path.stat().st_blocks * 512 < SIZE - 2 * MIB

    def test_a_missing_image_is_made(self, ceph):
        data = random_content()
        a, b = ceph.image("a", SIZE, data), ceph.spec("new")
        run("copy", "--verify", ceph.url(a), ceph.url(b))
        assert ceph.content(b) == data

    def test_only_what_changed(self, ceph):
        data = random_content()
        a, b = ceph.image("a", SIZE, data), ceph.image("b", SIZE, data)
        ceph.write(a, 5 * MIB + 777, b"changed")
        ceph.discard(a, 8 * MIB, 4 * MIB)
        value = run("copy", "--changed", "--verify", ceph.url(a), ceph.url(b))
        assert value["copied_bytes"] + value["zeroed_bytes"] <= 5 * MIB
        assert ceph.content(b) == ceph.content(a)

    def test_a_listed_change(self, ceph, tmp_path):
        data = random_content()
        a, b = ceph.image("a", SIZE, data), ceph.image("b", SIZE, data)
        ceph.snapshot(a, "s1")
        scribble(ceph, a, SIZE, 4)
        ceph.snapshot(a, "s2")
        listing = tmp_path / "changed.json"
        listing.write_text(blockdiff("diff", ceph.url(a, "s1"), ceph.url(a, "s2"), "-o", "json", expect=0).stdout)
        run("copy", "--extents", listing, ceph.url(a, "s2"), ceph.url(b))
        assert ceph.content(b) == ceph.content(f"{a}@s2")

    def test_holes_stay_holes(self, ceph):
        a, b = ceph.image("a", 1 << 40), ceph.image("b", 1 << 40)
        ceph.write(a, (1 << 39) + 4096, b"island" * 1000)
        run("copy", ceph.url(a), ceph.url(b))
        assert ceph.read(b, (1 << 39) + 4096, 6000) == b"island" * 1000
        used = ceph.rbd_json("du", b)["images"][0]["used_size"]
        assert used <= 4 * MIB

    def test_a_longer_image_is_not_cut(self, ceph, tmp_path):
        path = write_image(tmp_path / "a", random_content(size=4 * MIB))
        spec = ceph.image("b", SIZE, b"kept")
        blockdiff("copy", path, ceph.url(spec), expect=2)
        assert ceph.read(spec, 0, 4) == b"kept"
        run("copy", "--resize", path, ceph.url(spec))
        assert ceph.content(spec) == path.read_bytes()

    def test_a_shorter_image_grows(self, ceph, tmp_path):
        path = write_image(tmp_path / "a", random_content())
        spec = ceph.image("b", MIB)
        run("copy", path, ceph.url(spec))
        assert ceph.content(spec) == path.read_bytes()

    @pytest.mark.parametrize("target", ["snapshot", "itself", "own-snapshot"])
    def test_what_cannot_be_a_target(self, ceph, target):
        spec = ceph.image("a", MIB, b"kept")
        ceph.snapshot(spec, "s")
        other = ceph.snapshot(ceph.image("o", MIB), "s")
        targets = {"snapshot": other, "itself": spec, "own-snapshot": f"{spec}@s"}
        blockdiff("copy", ceph.url(spec), ceph.url(targets[target]), expect=2)
        assert ceph.read(spec, 0, 4) == b"kept"


class TestAudit:
    def lists(self, ceph, tmp_path):
        spec = ceph.image("a", SIZE, random_content())
        ceph.snapshot(spec, "s1")
        scribble(ceph, spec, SIZE, 6)
        ceph.snapshot(spec, "s2")
        path = tmp_path / "rbd.json"
        path.write_text(ceph.rbd("diff", "--format", "json", "--from-snap", "s1", f"{spec}@s2"))
        return spec, path

    def test_a_list_of_rbd_diff_is_right(self, ceph, tmp_path):
        spec, path = self.lists(ceph, tmp_path)
        value = run("audit", ceph.url(spec, "s1"), ceph.url(spec, "s2"), "--extents", path)
        assert value["correct"] is True

    def test_a_list_that_misses_something_is_wrong(self, ceph, tmp_path):
        spec, path = self.lists(ceph, tmp_path)
        urls = ceph.url(spec, "s1"), ceph.url(spec, "s2")
        exact = diff(*urls, "--method", "content", "--granularity", "512").extents
        items = [
            item
            for item in json.loads(path.read_text())
            if not item["offset"] <= exact[0][0] < item["offset"] + item["length"]
        ]
        path.write_text(json.dumps(items))
        value = run("audit", *urls, "--extents", path, "--granularity", "512", expect=1)
        assert value["under_reported"][0]["offset"] == exact[0][0]

    def test_what_is_allocated(self, ceph, tmp_path):
        spec, _ = self.lists(ceph, tmp_path)
        path = tmp_path / "allocated.json"
        path.write_text(ceph.rbd("diff", "--format", "json", f"{spec}@s2"))
        blockdiff("audit", "--allocated", ceph.url(spec, "s2"), "--extents", path, expect=0)
