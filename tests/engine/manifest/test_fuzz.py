"""Damaged manifests are refused, or say what they said: never anything else.

BLOCKDIFF_FUZZ=1000000 tries so many; docs/manifest-format.md has what that showed.
"""

import os
import random
import struct

import pytest
import xxhash

import blockdiff
from blockdiff.engine.manifest import digest_device, open_manifest
from blockdiff.errors import InvalidInput
from blockdiff.testing import MemoryDevice
from tests.engine.manifest import reference
from tests.engine.manifest.test_digest import save, spotted
from tests.fixtures.inprocess import memory

COUNT = int(os.environ.get("BLOCKDIFF_FUZZ", "500"))
B = 4096
VOLUMES = {
    "spotted": spotted(300 * B + 77),
    "sparse": bytes(100 * B) + b"x" * B + bytes(400 * B) + b"y" * B + bytes(12 * B),
    "zeroes": bytes(512 * B),
    "tiny": b"a",
    "empty": b"",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    place = tmp_path_factory.mktemp("good")
    made = []
    for name, data in VOLUMES.items():
        for algorithm in ("xxh3-128", "blake3"):
            path = place / f"{name}-{algorithm}"
            save(memory(data), path, algorithm=algorithm, block_size=B)
            made.append((data, path.read_bytes()))
    return made


def sealed(raw):
    """With all checksums made right again, and the root left as it was: what somebody would do on purpose."""
    length, levels = struct.unpack_from("<I", raw, 12)[0], struct.unpack_from("<I", raw, 56)[0]
    if not 112 <= length <= len(raw):
        return raw
    digest = 32 if raw[16:22] == b"blake3" else 16
    for at in range(96, min(96 + 48 * min(levels, 8), length - 16 - 47), 48):
        _, stored, runs, offset = struct.unpack_from("<QQQQ", raw, at)
        if offset + stored * digest + runs * 16 <= len(raw):
            section = bytes(raw[offset : offset + stored * digest + runs * 16])
            pieces = b"".join(xxhash.xxh3_128_digest(piece) for piece in reference.blocks(section, 1 << 20))
            raw[at + 32 : at + 48] = xxhash.xxh3_128_digest(pieces) if section else bytes(16)
    raw[length - 16 : length] = xxhash.xxh3_128_digest(bytes(raw[: length - 16]))
    return raw


def mutate(raw, rng):
    """One to four mutations; half of the manifests are sealed again, most of these have their length."""
    raw, seals = bytearray(raw), rng.random() < 0.5
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(raw)) if rng.random() < 0.6 or len(raw) < 300 else rng.randrange(300)
        how = rng.choice((0, 1, 2, 6)) if seals and rng.random() < 0.9 else rng.randrange(8)
        if how == 0:
            raw[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            raw[at] = rng.randrange(256)
        elif how == 2 and len(raw) > 16:
            at -= at % 8
            value = rng.choice((0, 1, 2, 255, 256, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))
            raw[at : at + 8] = struct.pack("<Q", value)[: len(raw) - at]
        elif how == 3:
            del raw[at:]
        elif how == 4:
            del raw[at : at + rng.choice((1, 8, 16, 48))]
        elif how == 5:
            raw[at:at] = rng.randbytes(rng.choice((1, 8, 16, 48)))
        elif how == 6:
            other = rng.randrange(len(raw))
            raw[at : at + 16] = raw[other : other + 16]
        else:
            raw += rng.randbytes(rng.randrange(1, 40))
        if len(raw) < 20:
            break
    return sealed(raw) if seals and len(raw) > 60 else raw


def judge(path, data, device, other):
    """What is said by a manifest that may be damaged is true, or it is refused."""
    try:
        manifest = open_manifest(path)
    except InvalidInput:
        return "refused"
    with manifest:
        try:
            told = manifest.digests(0, manifest.blocks) if manifest.blocks < 10_000 else b""
            report = blockdiff.verify(device, manifest)
            wrong = blockdiff.verify(other, manifest)
        except InvalidInput:
            return "refused"
        except blockdiff.UnsupportedOperation:
            return "refused"
        if report.identical:
            assert manifest.size == len(data)
            with digest_device(device, algorithm=manifest.algorithm, block_size=manifest.block_size) as right:
                assert (manifest.root, told) == (right.root, right.digests(0, right.blocks))
        assert not wrong.identical
    return "identical" if report.identical else "different"


def test_mutated_manifests(good, tmp_path):
    rng = random.Random(int(os.environ.get("BLOCKDIFF_FUZZ_SEED", "1")))
    path, told = tmp_path / "m", {"refused": 0, "identical": 0, "different": 0}
    devices = {data: (MemoryDevice(data), MemoryDevice(changed(data))) for data, _ in good}
    for _ in range(COUNT):
        data, raw = good[rng.randrange(len(good))]
        path.write_bytes(mutate(raw, rng))
        told[judge(path, data, *devices[data])] += 1
    print(told)
    assert told["refused"] > COUNT // 2


def changed(data):
    """One byte is another one, or there is one."""
    return bytes([data[0] ^ 1]) + data[1:] if data else b"\0"


def test_every_single_bit_is_watched(good, tmp_path):
    """Flipped without a new checksum: always refused."""
    path = tmp_path / "m"
    rng = random.Random(2)
    for _, raw in good:
        bits = range(len(raw) * 8) if len(raw) < 300 else sorted(rng.sample(range(len(raw) * 8), 60))
        for bit in list(bits)[:: max(1, len(bits) // 60)]:
            data = bytearray(raw)
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            with pytest.raises(InvalidInput), open_manifest(path) as manifest:
                manifest.check()


def test_every_length_is_refused(good, tmp_path):
    path = tmp_path / "m"
    for _, raw in good:
        for length in {*range(0, len(raw), max(1, len(raw) // 40)), len(raw) - 1}:
            path.write_bytes(raw[:length])
            with pytest.raises(InvalidInput):
                open_manifest(path)
        path.write_bytes(raw + b"\0")
        with pytest.raises(InvalidInput, match="cut off, or something was added"):
            open_manifest(path)


def test_what_is_wrong_is_said(good, tmp_path):
    path, raw = tmp_path / "m", bytearray(good[0][1])
    for at, value, text in (
        (8, b"\2", "of version 2, and this blockdiff knows version 1"),
        (0, b"X", "is no manifest"),
        (70, b"X", "checksum of its header"),
        (12, b"\xff\xff", "header cannot have"),
        (1000, bytes([raw[1000] ^ 1]), "checksum of level 0"),
    ):
        data = bytearray(raw)
        data[at : at + len(value)] = value
        path.write_bytes(data)
        with pytest.raises(InvalidInput, match=text), open_manifest(path) as manifest:
            manifest.check()
    with pytest.raises(InvalidInput, match="cannot open"):
        open_manifest(tmp_path / "none")
    with pytest.raises(InvalidInput):
        open_manifest(tmp_path)


def test_a_manifest_that_changes_while_it_is_used(good, tmp_path):
    """What the tree does not prove is refused, also after the whole file was found good."""
    data, raw = good[0]
    path = tmp_path / "m"
    path.write_bytes(raw)
    with open_manifest(path) as manifest:
        manifest.check()
        offset = manifest.header.levels[0].offset
        with path.open("r+b") as file:
            os.pwrite(file.fileno(), b"\xff" * 8, offset + 32)
        with pytest.raises(InvalidInput, match="not what its root says"):
            manifest.digests(0, 1)
        os.truncate(path, 200)
        with pytest.raises(InvalidInput, match="cut off while"):
            manifest.digests(290, 1)
    assert data


def test_the_top_of_a_tree_that_changes_while_it_is_used(tmp_path):
    """Its digest is the one of zeroes by now: the holes of a device would be taken for all that there is."""
    path = tmp_path / "m"
    save(memory(b"x" * B), path, block_size=B)
    with open_manifest(path) as manifest:
        manifest.check()
        with path.open("r+b") as file:
            os.pwrite(file.fileno(), manifest.hasher.zero, manifest.header.levels[0].offset)
        with pytest.raises(InvalidInput, match="not what its root says"):
            list(manifest.stored(0, 1))
