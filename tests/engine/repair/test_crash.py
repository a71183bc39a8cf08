"""A repair or undo that ends at any step, by a kill or by a power failure, is finished by a repair or an undo."""

import os
import random

import pytest
from fixtures.crashing import CrashingDevice, CrashingStorage, Died, Disk, Power

from blockdiff import Extents
from blockdiff.engine.repair import pieces
from blockdiff.engine.repair.contents import is_stub
from blockdiff.engine.repair.identity import describe
from blockdiff.engine.repair.journal import Journal
from blockdiff.engine.repair.layout import FIRST
from blockdiff.engine.repair.repair import Repair
from blockdiff.engine.repair.undo import Undo
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

SIZE = 40 * 512 + 100


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(pieces, "BATCH_BYTES", 4096)


def images(seed):
    """Source and target: equal, different, zero in one or the other, a tail that is no whole sector."""
    rng = random.Random(seed)
    source, target = bytearray(), bytearray()
    while len(source) < SIZE:
        length = rng.randrange(1, 6) * 512
        data = rng.randbytes(length)
        kind = rng.randrange(5)
        source += bytes(length) if kind == 1 else data
        target += {0: data, 2: bytes(length)}.get(kind, rng.randbytes(length))
    return bytes(source[:SIZE]), bytes(target[:SIZE])


def differences(source, target, grain=512):
    found = [
        (at, min(grain, len(source) - at), Kind.DIFF_DATA)
        for at in range(0, len(source), grain)
        if source[at : at + grain] != target[at : at + grain]
    ]
    return Extents(found).coalesce()


class World:
    """A source, a target and a journal, which a crash leaves behind."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.source, self.old = images(seed)
        self.target, self.journal = self.old, b""

    def run(self, work, last=0, *, kill=True):
        """Does ``work``; True when it ended, False when it died at step ``last``. The steps are counted."""
        power = Power(last)
        disks = [Disk(self.target, power, "target"), Disk(self.journal, power, "journal")]
        device, storage = CrashingDevice(disks[0]), CrashingStorage(disks[1])
        try:
            work(device, storage)
            ended = True
        except Died:
            ended = False
            for disk in disks:
                disk.crash(self.rng, kill=kill)
            if not kill and "journal: sync" not in power.log[:-1] and len(self.journal) < FIRST:
                disks[1].data = b""  # it gets its name when its beginning is durable
        self.target, self.journal = bytes(disks[0].data), bytes(disks[1].data)
        self.steps, self.log, self.writes = power.steps, power.log, device.writes
        return ended

    def repair(self, device, storage):
        source = CrashingDevice(Disk(self.source, Power(), "source"), "source")
        new = storage.size() == 0 or is_stub(storage)
        journal = Journal.create(storage, describe(device)) if new else Journal.open(storage)
        Repair(source, device, [differences(self.source, bytes(device.disk.data))]).run(journal)

    def undo(self, device, storage):
        if is_stub(storage):
            return
        undo = Undo(Journal.open(storage), device)
        if undo.was == "undone":  # it died when all was done
            with pytest.raises(InvalidInput, match="was undone already"):
                undo.run()
        else:
            undo.run()


def steps_of(work_name, *, before=()):
    world = World(1)
    for name in before:
        assert world.run(getattr(world, name))
    assert world.run(getattr(world, work_name))
    return world.steps


REPAIR_STEPS = steps_of("repair")
UNDO_STEPS = steps_of("undo", before=["repair"])


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "power"])
@pytest.mark.parametrize("seed", range(3))
def test_repair_that_dies_at_any_step_is_undone_exactly(kill, seed):
    for last in range(1, 3 * REPAIR_STEPS):
        world = World(seed)
        if world.run(world.repair, last, kill=kill):
            break
        assert world.run(world.undo), last
        assert world.target == world.old, (last, world.log)
    else:
        pytest.fail("it never ended")


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "power"])
@pytest.mark.parametrize("seed", range(3))
def test_repair_that_dies_at_any_step_is_finished_with_the_same_journal(kill, seed):
    for last in range(1, 3 * REPAIR_STEPS):
        world = World(seed)
        if world.run(world.repair, last, kill=kill):
            break
        assert world.run(world.repair), last
        assert world.target == world.source, last
        assert world.run(world.undo), last
        assert world.target == world.old, last


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "power"])
def test_repair_that_dies_again_and_again(kill):
    for seed in range(60):
        world = World(seed)
        for _ in range(4):
            if world.run(world.repair, world.rng.randrange(1, REPAIR_STEPS), kill=kill):
                break
        while not world.run(world.undo, world.rng.randrange(1, 2 * UNDO_STEPS), kill=kill):
            pass
        assert world.target == world.old, seed


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "power"])
@pytest.mark.parametrize("seed", range(3))
def test_undo_that_dies_at_any_step_is_finished_by_another(kill, seed):
    for last in range(1, 3 * UNDO_STEPS):
        world = World(seed)
        assert world.run(world.repair)
        assert world.target == world.source
        if world.run(world.undo, last, kill=kill):
            break
        assert world.run(world.undo), last
        assert world.target == world.old, last


def test_old_bytes_are_on_stable_storage_before_they_are_overwritten():
    world = World(5)
    world.run(world.repair)
    synced = False
    for step in world.log:
        if step.startswith("journal: write"):
            synced = False
        elif step == "journal: sync":
            synced = True
        elif step.startswith("target: write"):
            assert synced
    assert world.log[-4:-1] == [
        "target: sync",
        f"journal: write {68 + 8} at {world.log[-3].split()[-1]}",
        "journal: sync",
    ]


def test_half_repaired_target_that_is_repaired_with_another_journal_is_undone_in_reverse():
    for last in range(1, REPAIR_STEPS):
        world = World(7)
        world.run(world.repair, last, kill=False)
        torn, first = world.target, world.journal
        world.journal = b""
        assert world.run(world.repair)
        assert world.target == world.source
        assert world.run(world.undo)
        assert world.target == torn
        world.journal = first
        assert world.run(world.undo)
        assert world.target == world.old


class History(World):
    """Repairs and undos that may all die, with one journal after the other."""

    def __init__(self, seed):
        super().__init__(seed)
        self.before, self.older, self.undoing, self.deaths = self.target, [], False, 0

    def attempt(self, work, steps):
        last = self.rng.randrange(1, steps) if self.rng.random() < 0.8 else 0
        ended = self.run(work, last, kill=self.rng.random() < 0.5)
        self.deaths += not ended
        return ended

    def step(self):
        choice = self.rng.random()
        if choice < 0.6 and not self.undoing:
            if self.attempt(self.repair, 2 * REPAIR_STEPS):
                assert self.target == self.source
        elif 0.6 <= choice < 0.8:
            self.undoing = True
            if self.attempt(self.undo, 3 * UNDO_STEPS) and self.journal:
                assert self.target == self.before
        elif self.journal and not self.undoing:
            self.older.append((self.journal, self.before))
            self.before, self.journal = self.target, b""

    def back(self):
        """The newest journal first."""
        while True:
            while not self.attempt(self.undo, 3 * UNDO_STEPS):
                pass
            assert self.target == self.before
            if not self.older:
                return
            self.journal, self.before = self.older.pop()


def test_histories_of_repairs_and_undos_that_die():
    count, deaths = int(os.environ.get("BLOCKDIFF_CRASHES", "100")), 0
    for seed in range(count):
        history = History(seed)
        for _ in range(history.rng.randrange(1, 8)):
            history.step()
        history.back()
        assert history.target == history.old, seed
        deaths += history.deaths
    assert deaths > count // 2
    print(f"{count} histories, {deaths} deaths")
