"""Damaged journals: an undo ends with the old bytes, exactly, or is refused with the device untouched.

``BLOCKDIFF_FUZZ`` is how many journals are damaged.
"""

import os
import random
import struct

import pytest
from fixtures.crashing import CrashingDevice, CrashingStorage, Died, Disk, Power

from blockdiff import Extents
from blockdiff._fast import xxh64
from blockdiff.engine.repair import pieces
from blockdiff.engine.repair.identity import describe
from blockdiff.engine.repair.journal import Journal
from blockdiff.engine.repair.layout import FIRST, FRAME_HEAD, FRAME_TAIL, SLOT_OFFSETS, checksum
from blockdiff.engine.repair.repair import Repair
from blockdiff.engine.repair.undo import Undo
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

COUNT = int(os.environ.get("BLOCKDIFF_FUZZ", "3000"))
SIZE = 12 * 512 + 77


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(pieces, "BATCH_BYTES", 1024)


def device_of(data):
    return CrashingDevice(Disk(data, Power(), "target"))


def repair(source, target, storage, grain=512, *, power=None):
    """Repairs; ``power`` ends it on the way."""
    device = CrashingDevice(Disk(target, power or Power(), "target"))
    found = [
        (at, min(grain, SIZE - at), Kind.DIFF_DATA)
        for at in range(0, SIZE, grain)
        if source[at:][:grain] != target[at:][:grain]
    ]
    journal = Journal.open(storage) if storage.size() else Journal.create(storage, describe(device))
    try:
        Repair(device_of(source), device, [Extents(found).coalesce()]).run(journal)
    except Died:
        device.disk.crash(random.Random(1), kill=True)
    return bytes(device.disk.data)


def undone(target, storage):
    device = device_of(target)
    Undo(Journal.open(storage), device).run()
    return bytes(device.disk.data)


def scenarios():
    """(journal, what the device may hold, the old bytes)."""
    rng = random.Random(9)
    old = rng.randbytes(1024) + bytes(1024) + rng.randbytes(SIZE - 2048)
    source = rng.randbytes(3072) + bytes(1024) + old[4096:5000] + rng.randbytes(SIZE - 5000)
    found = []

    storage = CrashingStorage(Disk(b"", Power(), "journal"))
    new = repair(source, old, storage)
    found.append((storage.read(0, 1 << 20), (new, old), old))
    undone(new, storage)
    found.append((storage.read(0, 1 << 20), (new, old), old))

    for last in (5, 9, 12):
        storage = CrashingStorage(Disk(b"", Power(), "journal"))
        half = repair(source, old, storage, power=Power(last))
        found.append((storage.read(0, 1 << 20), (half, old), old))
        found.append((storage.read(0, 1 << 20) + rng.randbytes(300), (half, old), old))
        new = repair(source, half, storage, grain=1024)
        found.append((storage.read(0, 1 << 20), (new, half, old), old))
    return found


SCENARIOS = scenarios()
OTHERS = [journal for journal, _, _ in SCENARIOS]


def places(journal, rng):
    """A place that means something: in the header, a slot, or a frame."""
    where = rng.randrange(4)
    if where == 0:
        return rng.randrange(400)
    if where == 1:
        return rng.choice(SLOT_OFFSETS) + rng.randrange(80)
    return rng.randrange(min(FIRST, len(journal) - 1), len(journal))


def flip(data, at, _length, rng):
    data[at] ^= 1 << rng.randrange(8)


def garble(data, at, length, rng):
    data[at : at + length] = rng.randbytes(length)


def cut(data, at, _length, _rng):
    del data[at:]


def leave_out(data, at, length, _rng):
    del data[at : at + length]


def put_in(data, at, length, rng):
    data[at:at] = rng.randbytes(length)


def clear(data, at, length, _rng):
    data[at : at + length] = bytes(length)


def repeat(data, at, length, rng):
    start = places(data, rng) % len(data)
    data[at : at + length] = data[start : start + length]


def mix(data, at, length, rng):
    """A part of another journal, or of an earlier state of this one."""
    data[at : at + length] = rng.choice(OTHERS)[at : at + length].ljust(length, b"\0")


def exchange_slots(data, _at, _length, rng):
    one, two = (data[at : at + 80] for at in SLOT_OFFSETS)
    data[SLOT_OFFSETS[0] : SLOT_OFFSETS[0] + len(two)] = two
    if rng.randrange(2):
        data[SLOT_OFFSETS[1] : SLOT_OFFSETS[1] + len(one)] = one


WAYS = (flip, garble, cut, leave_out, put_in, clear, repeat, mix, exchange_slots)


def damage(journal, rng):
    data = bytearray(journal)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if len(data) > 1:
            at = places(data, rng) % len(data)
            rng.choice(WAYS)(data, at, min(rng.choice((1, 2, 8, 64, 512, 4096)), len(data) - at), rng)
    return bytes(data)


def test_damaged_journals_never_write_wrong_bytes():
    rng = random.Random(os.environ.get("BLOCKDIFF_FUZZ_SEED", "1"))
    refused = restored = 0
    for number in range(COUNT):
        journal, states, old = rng.choice(SCENARIOS)
        state = rng.choice(states)
        damaged = damage(journal, rng)
        device = device_of(state)
        try:
            Undo(Journal.open(CrashingStorage(Disk(damaged, Power(), "journal"))), device).run()
        except InvalidInput:
            assert not device.writes, number
            refused += 1
        else:
            assert device.disk.data == old, number
            restored += 1
    assert refused > COUNT // 3
    assert restored > COUNT // 100
    print(f"{COUNT} damaged journals: {refused} refused, {restored} undone exactly")


def test_one_flipped_bit_leaves_nothing_out():
    """Of everything that says how much there is every byte is tried, of the data some."""
    journal, (new, _), old = SCENARIOS[0]
    every = [*range(230), *range(16384, 16470), *range(20480, 20566), *range(FIRST, FIRST + 250)]
    for at in [*every, *range(FIRST + 250, len(journal), 13)]:
        damaged = bytearray(journal)
        damaged[at] ^= 1 << at % 8
        device = device_of(new)
        try:
            Undo(Journal.open(CrashingStorage(Disk(bytes(damaged), Power(), "journal"))), device).run()
        except InvalidInput:
            assert device.disk.data == new
        else:
            assert device.disk.data == old


def forge(journal, rng):
    """Another body for a frame, with the right checksums."""
    data, at = bytearray(journal), FIRST
    frames = []
    while at + FRAME_HEAD <= len(data) and data[at : at + 8] == b"BDFRAME\n":
        frames.append(at)
        at += FRAME_HEAD + struct.unpack_from("<Q", data, at + 40)[0] + FRAME_TAIL
    at = rng.choice(frames)
    size = FRAME_HEAD + struct.unpack_from("<Q", data, at + 40)[0] + FRAME_TAIL
    for _ in range(rng.choice((1, 3))):
        data[at + rng.randrange(24, min(size - FRAME_TAIL, 120))] = rng.choice((0, 1, 255, rng.randrange(256)))
    data[at + 48 : at + 56] = struct.pack("<Q", xxh64(data[at : at + 48]))
    data[at + size - FRAME_TAIL : at + size] = checksum(data[at : at + size - FRAME_TAIL])
    return bytes(data)


def test_forged_journals_make_no_defect():
    rng = random.Random(2)
    for _ in range(COUNT // 3):
        journal, states, _ = rng.choice(SCENARIOS)
        device = device_of(rng.choice(states))
        try:
            Undo(Journal.open(CrashingStorage(Disk(forge(journal, rng), Power(), "journal"))), device).run()
        except InvalidInput:
            assert not device.writes
