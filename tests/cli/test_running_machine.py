"""The recipe of docs/libvirt.md with a real qemu-storage-daemon in the place of a machine that runs.

A backup is read from an export that stands still (QEMU calls it fleecing) while the machine goes on writing; a bitmap
tells what to read, and everything is proved.
"""

import json
import random
import shutil

import pytest

from tests.fixtures import qcow2
from tests.fixtures.cli import blockdiff
from tests.fixtures.nbd import run
from tests.fixtures.qmp import QmpError

KIB, MIB = 1 << 10, 1 << 20
SIZE = 32 * MIB


class Machine:
    """A disk that is written to all the time by way of ``guest``, its NBD export for writing."""

    def __init__(self, daemon, image, place):
        self.daemon, self.qmp, self.place = daemon, daemon.qmp, place
        daemon.node("disk", image)
        self.guest = daemon.export("disk", "guest", writable=True)
        self._number = 0

    def write(self, *writes):
        qcow2.write(self.guest, *writes, image_format="raw")

    def begin(self, since=None, until=None):
        """One moment: a new bitmap ``until`` begins, the old one ``since`` stops, and an export stands still."""
        self._number += 1
        name = f"still{self._number}"
        scratch = qcow2.create(self.place / f"{name}.qcow2", SIZE)
        file = {"driver": "file", "filename": str(scratch)}
        self.qmp("blockdev-add", driver="qcow2", node_name=name, file=file, backing="disk")
        actions = [("blockdev-backup", {"device": "disk", "target": name, "sync": "none", "job-id": f"job-{name}"})]
        if until:
            actions.append(("block-dirty-bitmap-add", {"node": "disk", "name": until}))
        if since:
            actions.append(("block-dirty-bitmap-disable", {"node": "disk", "name": since}))
        self.qmp("transaction", actions=[{"type": kind, "data": data} for kind, data in actions])
        bitmaps = [{"node": "disk", "name": since}] if since else []
        return self.daemon.export(name, name, bitmaps=bitmaps, key=f"export-{name}")

    def end(self):
        name = f"still{self._number}"
        self.qmp("block-export-del", id=f"export-{name}", mode="hard")
        self.qmp("job-cancel", id=f"job-{name}")


@pytest.fixture
def machine(nbd, tmp_path):
    image = qcow2.create(tmp_path / "disk.qcow2", SIZE)
    qcow2.write(image, (0, 8 * MIB, 1), (20 * MIB, 3 * MIB, 2))
    return Machine(nbd.storage_daemon(), image, tmp_path)


def bytes_in(listed):
    return sum(e["size_bytes"] for record in json.loads(listed) for e in record["block_metadata"])


def test_a_full_backup_and_two_incremental_ones(machine, tmp_path):
    backup = tmp_path / "backup.img"
    still = machine.begin(until="monday")
    machine.write((MIB, 64 * KIB, 7), (30 * MIB, 64 * KIB, 7))  # the export does not see it
    blockdiff("copy", "--verify", still, backup, expect=0)
    blockdiff("verify", still, backup, expect=0)
    assert backup.read_bytes()[MIB : MIB + 1] == b"\1"
    machine.end()
    rng = random.Random(5)
    for since, until in (("monday", "tuesday"), ("tuesday", "wednesday")):
        machine.write(*((rng.randrange(SIZE // 512 - 64) * 512, 20 * 512, rng.choice([None, 8, 9])) for _ in range(12)))
        before = tmp_path / f"{since}.img"
        shutil.copyfile(backup, before)
        still = machine.begin(since=since, until=until)
        machine.write((2 * MIB, 64 * KIB, 11))  # later than the moment: the next backup has it
        bitmap = f"{still}&bitmap={since}"
        listed = blockdiff("diff", "-o", "json", bitmap, expect=0).stdout
        assert 0 < bytes_in(listed) < SIZE // 4
        report = json.loads(
            blockdiff("copy", "--extents", "-", "--verify", "-o", "json", still, backup, expect=0, stdin=listed).stdout
        )
        assert report["copied_bytes"] + report["zeroed_bytes"] <= bytes_in(listed)
        blockdiff("verify", still, backup, expect=0)
        blockdiff("audit", before, still, "--extents", bitmap, expect=0)
        machine.end()


def test_a_bitmap_that_forgets_is_found_out(machine, tmp_path):
    """Somebody wrote while the bitmap was off: the backup by its list is wrong, and both verify and audit say so."""
    backup = tmp_path / "backup.img"
    still = machine.begin(until="monday")
    blockdiff("copy", still, backup, expect=0)
    machine.end()
    machine.qmp("block-dirty-bitmap-disable", node="disk", name="monday")
    machine.write((5 * MIB, 64 * KIB, 9))
    machine.qmp("block-dirty-bitmap-enable", node="disk", name="monday")
    machine.write((6 * MIB, 64 * KIB, 9))
    before = tmp_path / "before.img"
    shutil.copyfile(backup, before)
    still = machine.begin(since="monday", until="tuesday")
    bitmap = f"{still}&bitmap=monday"
    blockdiff("copy", "--extents", bitmap, still, backup, expect=0)
    report = json.loads(blockdiff("verify", "-o", "json", still, backup, expect=1).stdout)
    assert report["differences"] == [{"offset": 5 * MIB, "length": 64 * KIB, "class": "data"}]
    blockdiff("audit", before, still, "--extents", bitmap, expect=1)


def test_a_bitmap_that_is_not_exported_is_refused(machine):
    still = machine.begin(until="monday")
    done = blockdiff("diff", f"{still}&bitmap=monday", expect=3)
    assert "monday" in done.stderr
    with pytest.raises(QmpError, match=r"Enabled bitmap|not found"):
        machine.daemon.export("disk", "x", bitmaps=["monday"])


def test_the_image_of_a_machine_that_runs_is_refused(machine, tmp_path):
    done = blockdiff("verify", tmp_path / "disk.qcow2", tmp_path / "disk.qcow2", expect=2)
    assert "in use" in done.stderr
    backup = tmp_path / "b.img"
    still = machine.begin()
    blockdiff("copy", still, backup, expect=0)
    machine.end()
    machine.daemon.stop()
    blockdiff("verify", tmp_path / "disk.qcow2", backup, expect=0)
    run("qemu-img", "compare", "-F", "raw", tmp_path / "disk.qcow2", backup)
