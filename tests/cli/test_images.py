"""Images of virtual machines on the command line."""

import json
import os
import signal

import pytest

from tests.fixtures import qcow2
from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.nbd import alive, children, run, until

MIB = 1 << 20


@pytest.fixture
def image(tmp_path):
    path = qcow2.create(tmp_path / "disk.qcow2", "4M")
    qcow2.write(path, (0, MIB, 1), (2 * MIB, 4096, 2))
    return path


@pytest.fixture
def raw(image, tmp_path):
    path = tmp_path / "disk.raw"
    path.write_bytes(qcow2.content(image))
    return path


def test_verify_says_what_it_read(image, raw):
    done = blockdiff("verify", image, raw, expect=0)
    assert "identical: 4,194,304 bytes" in done.stdout
    assert f"qcow2:{image} is made of {image} (qcow2, read without qemu-nbd)" in done.stdout
    with raw.open("r+b") as file:
        file.seek(MIB)
        file.write(b"x")
    report = json.loads(blockdiff("verify", "-o", "json", image, raw, expect=1).stdout)
    assert report["differences"] == [{"offset": MIB, "length": 4096, "class": "src-zero"}]
    assert report["source"]["url"] == f"qcow2:{image}"


def test_file_means_the_file_itself(image, tmp_path):
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(image.read_bytes())
    done = blockdiff("verify", f"file:{image}", f"file:{copy}", expect=0)
    assert f"identical: {image.stat().st_size:,} bytes" in done.stdout


def test_diff_of_an_overlay(image, tmp_path):
    over = qcow2.create(tmp_path / "over.qcow2", backing=image.name)
    qcow2.write(over, (3 * MIB, 65536, 3))
    done = blockdiff("diff", "-o", "json", image, over, expect=0)
    (record,) = json.loads(done.stdout)
    assert record["block_metadata"] == [{"byte_offset": 3 * MIB, "size_bytes": 65536}]
    assert "method chain" in done.stderr
    other = tmp_path / "other.qcow2"
    other.write_bytes(image.read_bytes())
    done = blockdiff("diff", other, over, expect=0)
    assert "method content (not chain: " in done.stdout
    assert blockdiff("diff", "--require", "chain", other, over, expect=4).stderr.count("no backing file") == 1


def test_map_as_qemu_img_has_it(image):
    ours = json.loads(blockdiff("map", "-o", "qemu", image, expect=0).stdout)
    theirs = qcow2.mapped(image)
    assert [(e["start"], e["length"]) for e in ours if e["data"]] == [(e[0], e[1]) for e in theirs if e[5] and not e[4]]


def test_copy_out_of_an_image_and_audit(image, raw, tmp_path):
    target = tmp_path / "out.img"
    blockdiff("copy", "--verify", image, target, expect=0)
    assert target.read_bytes() == raw.read_bytes()
    listed = tmp_path / "list.json"
    listed.write_text(blockdiff("map", "-o", "json", image, expect=0).stdout)
    zeroes = qcow2.create(tmp_path / "zeroes.qcow2", "4M")
    blockdiff("audit", zeroes, image, "--extents", listed, expect=0)


def test_a_snapshot_with_an_odd_name(image, raw):
    run("qemu-img", "snapshot", "-c", "before the upgrade", image)
    qcow2.write(image, (0, 512, 9))
    blockdiff("verify", f"{image}?snapshot=before the upgrade", raw, expect=0)
    blockdiff("verify", image, raw, expect=1)
    done = blockdiff("verify", f"{image}?snapshot=after", raw, expect=3)
    assert "before the upgrade" in done.stderr


def test_what_only_looks_like_an_image(image, raw, tmp_path):
    odd = tmp_path / "guest"
    image.rename(odd)
    done = blockdiff("verify", odd, raw, expect=2)
    assert f"write qcow2:{odd} for the disk inside, or file:{odd}" in done.stderr
    blockdiff("verify", f"qcow2:{odd}", raw, expect=0)
    blockdiff("verify", f"vmdk:{odd}", raw, expect=2)


def test_an_image_is_no_target(image, raw):
    before = image.read_bytes()
    blockdiff("copy", raw, image, expect=4)
    assert image.read_bytes() == before


def test_a_raw_copy_does_not_get_the_name_of_an_image(image, tmp_path):
    new = tmp_path / "new.qcow2"
    done = blockdiff("copy", image, new, expect=2)
    assert f"write file:{new} if that is meant" in done.stderr
    assert not new.exists()
    blockdiff("copy", image, f"file:{new}", expect=0)
    assert new.read_bytes() == qcow2.content(image)
    with new.open("r+b") as file:
        file.write(b"x")
    blockdiff("copy", "--changed", image, new, expect=0)  # it is there, and it is raw


def test_in_use(image, raw, nbd):
    daemon = nbd.storage_daemon()
    daemon.node("disk", image)
    daemon.export("disk", writable=True)
    done = blockdiff("verify", image, raw, expect=2)
    assert "--force-share" in done.stderr
    done = blockdiff("verify", "--force-share", image, raw, expect=0)
    assert "warning: " in done.stdout
    blockdiff("map", "--force-share", image, expect=0)
    blockdiff("diff", "--force-share", raw, image, expect=0)
    blockdiff("copy", "--force-share", image, f"{raw}.copy", expect=0)


@pytest.mark.parametrize("command", ["verify", "diff", "copy"])
def test_force_share_of_nothing(raw, tmp_path, command):
    done = blockdiff(command, "--force-share", raw, tmp_path / "other", expect=2)
    assert "--force-share is about images" in done.stderr


def test_without_qemu_nbd(image, raw, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "setpriv"):
        (tools / name).symlink_to(f"/bin/{name}")
    blockdiff("verify", image, raw, expect=0, env={**os.environ, "PATH": str(tools)})  # a plain file needs none
    run("qemu-img", "snapshot", "-c", "s", image)
    done = blockdiff("verify", image, raw, expect=4, env={**os.environ, "PATH": str(tools)})
    assert "qemu-utils" in done.stderr
    done = blockdiff("verify", "-o", "json", image, raw, expect=4, env={**os.environ, "PATH": str(tools)})
    assert json.loads(done.stderr)["error"] == "BackendUnavailable"


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_behind(tmp_path, sign):
    """However the command ends, its qemu-nbd ends with it."""
    image = qcow2.create(tmp_path / "big.qcow2", "1G")
    qcow2.write(image, (0, 64 * MIB, 1))
    place = tmp_path / "tmp"
    place.mkdir()
    process = start("verify", "--rate", "1M", image, f"{image}?snapshot=s", env={**os.environ, "TMPDIR": str(place)})
    finish(process)
    run("qemu-img", "snapshot", "-c", "s", image)
    process = start("verify", "--rate", "1M", image, f"{image}?snapshot=s", env={**os.environ, "TMPDIR": str(place)})
    servers = until(lambda: len(found := children(process.pid)) == 2 and found, "no two servers")
    process.send_signal(sign)
    process.communicate(timeout=30)
    assert process.returncode in (-sign, 130, 143)
    until(lambda: not any(alive(pid) for pid in servers), "qemu-nbd outlives the command")
    assert list(place.iterdir()) == []


def test_mixed_with_a_real_nbd_export(image, raw, nbd):
    server = nbd.qemu_nbd(raw)
    blockdiff("verify", image, server.uri(), expect=0)
