"""The same content has the same root, whatever its holes and however it is read; the file is what the page says."""

import os
import random
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockdiff
from blockdiff.engine.manifest import Hasher, digest_device, is_manifest, open_manifest
from blockdiff.engine.manifest.digest import Digesting
from blockdiff.engine.manifest.form import level_counts
from blockdiff.engine.manifest.tree import TreeBuilder
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.errors import DeviceError, InvalidInput, SizeChanged
from blockdiff.testing.faults import Fault, FaultDevice
from tests.engine.manifest import reference
from tests.fixtures.images import write_image, zero_ranges
from tests.fixtures.inprocess import READS, memory

KIB, MIB = 1 << 10, 1 << 20
ALGORITHMS = ("xxh3-128", "blake3")
SIZES = (0, 1, 4095, 4096, 4097, 65536, 65537, 256 * 4096, 256 * 4096 + 1, 5 * MIB + 77)


def spotted(size, seed=1):
    """Random bytes with zeroes in between, on blocks and off them."""
    rng = random.Random(seed)
    data = bytearray(rng.randbytes(size))
    for _ in range(12 if size else 0):
        at = rng.randrange(size) // rng.choice((1, 4096, 65536)) * rng.choice((1, 4096))
        at = min(at, size)
        length = min(size - at, rng.choice((1, 4096, 65536, 200_000)))
        data[at : at + length] = bytes(length)
    return bytes(data)


def digest(device, algorithm="xxh3-128", block_size=4096, **options):
    """The root, and what the manifest says of each block."""
    with digest_device(device, algorithm=algorithm, block_size=block_size, options=ReadOptions(**options)) as manifest:
        manifest.check()
        return manifest.root, manifest.digests(0, manifest.blocks)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", SIZES)
def test_root_is_the_references_with_and_without_holes(tmp_path, size, algorithm, read):
    data = spotted(size)
    full = write_image(tmp_path / "full", data)
    sparse = write_image(tmp_path / "sparse", data, zero_ranges(data, random.Random(3)))
    leaves = b"".join(reference.block_digest(algorithm, block) for block in reference.blocks(data, 4096))
    for path in (full, sparse):
        device = open_device(path)
        assert digest(device, algorithm, read=read) == (reference.root(data, algorithm, 4096), leaves)
        device.close()


@pytest.mark.parametrize("block_size", [4096, 65536, MIB])
@pytest.mark.parametrize("workers", [1, 5])
def test_workers_and_block_sizes(tmp_path, block_size, workers):
    data = spotted(40 * MIB + 5, 2)
    device = open_device(write_image(tmp_path / "image", data, zero_ranges(data, random.Random(1), 65536)))
    with digest_device(device, block_size=block_size, options=ReadOptions(workers=workers)) as manifest:
        assert manifest.root == reference.root(data, "xxh3-128", block_size)
    device.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_devices_without_a_descriptor(algorithm):
    data = spotted(3 * MIB + 1)
    holes = zero_ranges(data, random.Random(4))
    assert digest(memory(data, holes), algorithm)[0] == reference.root(data, algorithm, 4096)
    assert digest(memory(data), algorithm, workers=3)[0] == reference.root(data, algorithm, 4096)


def test_everything_is_in_the_root():
    roots = {
        digest(memory(data), algorithm, block_size)[0]
        for data in (b"", b"\0", bytes(4096), bytes(8192), b"x", b"x" + bytes(4095))
        for algorithm in ALGORITHMS
        for block_size in (4096, 8192)
    }
    assert len(roots) == 6 * 2 * 2


def test_blocks_are_digested_as_the_tools_do_it(tmp_path):
    data = spotted(65536, 9)
    path = write_image(tmp_path / "block", data)
    told = subprocess.run(["xxhsum", "-H2", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert digest(memory(data), "xxh3-128", 65536)[1].hex() == told
    told = subprocess.run(["b3sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert digest(memory(data), "blake3", 65536)[1].hex() == told


def save(device, path, **options):
    made_by = options.pop("made_by", "test")
    force = options.pop("force", False)
    return Digesting(device, made_by=made_by, **options).save(os.fspath(path), force=force)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", SIZES)
def test_file_is_what_the_page_says(tmp_path, size, algorithm):
    data = spotted(size)
    length = save(memory(data), tmp_path / "m", algorithm=algorithm, block_size=4096)
    raw = (tmp_path / "m").read_bytes()
    assert len(raw) == length
    name, block_size, told, root, levels, facts = reference.parse(raw)
    assert (name, block_size, told) == (algorithm, 4096, size)
    assert facts == {"url": "memory:", "time": facts["time"], "made_by": "test"}
    leaves = [reference.block_digest(algorithm, block) for block in reference.blocks(data, 4096)]
    expected = reference.tree(algorithm, leaves)
    assert root == reference.root_of(algorithm, 4096, size, expected[-1][0] if expected else b"")
    zero = reference.block_digest(algorithm, bytes(4096))
    for stored, digests in zip(levels, expected, strict=True):
        assert stored.pop("nodes") == len(digests)
        assert [stored.get(i, zero) for i in range(len(digests))] == digests
        zero = reference.node_digest(algorithm, zero * 256)
    assert all(leaves[i] != reference.block_digest(algorithm, bytes(4096)) for i in levels[0]) if levels else True


def test_zeroes_take_no_place(tmp_path):
    path = tmp_path / "image"
    path.touch()
    os.truncate(path, 1 << 43)  # 8 TiB
    device = open_device(path)
    assert save(device, tmp_path / "m") < 2048
    with open_manifest(tmp_path / "m") as manifest:
        assert manifest.blocks == 1 << 27
        assert list(manifest.stored(0, manifest.blocks)) == []
        assert manifest.digests((1 << 27) - 2, 2) == 2 * manifest.hasher.zero
    device.close()


TREE = st.lists(st.tuples(st.booleans(), st.integers(1, 700)), max_size=8)


@given(TREE, st.integers(1, 5))
def test_tree_is_the_same_however_its_blocks_come(parts, seed):
    hasher, rng = Hasher("xxh3-128", 4096), random.Random(seed)
    leaves, calls = [], []
    for zero, count in parts:
        digests = [hasher.zero if zero else rng.randbytes(16) for _ in range(count)]
        leaves += digests
        calls.append((zero and rng.random() < 0.5, digests, [] if zero else [(0, count)]))
    stored = {}

    def store(level, first, digests):
        stored.update({(level, first + i): digests[16 * i : 16 * i + 16] for i in range(len(digests) // 16)})

    tree = TreeBuilder(hasher, level_counts(len(leaves) * 4096, 4096), store)
    for zeroes, digests, runs in calls:
        tree.add_zeroes(len(digests)) if zeroes else tree.add(b"".join(digests), runs)
    top = tree.finish() if leaves else b""
    levels = reference.tree("xxh3-128", leaves)
    assert top == (levels[-1][0] if levels else b"")
    zero = hasher.zero
    for number, level in enumerate(levels):
        for i, value in enumerate(level):
            assert stored.get((number, i), zero) == value
            if number and (number, i) not in stored:
                assert len(levels[number - 1]) >= (i + 1) * 256
        zero = reference.node_digest("xxh3-128", zero * 256)


def test_three_levels_and_a_tail():
    hasher = Hasher("xxh3-128", 4096)
    count = 256 * 256 + 300
    tree = TreeBuilder(hasher, level_counts(count * 4096 - 1, 4096))
    one = b"\1" * 16
    tree.add_zeroes(256 * 256 - 1)
    tree.add(one, [(0, 1)])
    tree.add_zeroes(299)
    tree.add(one, [(0, 1)])
    leaves = [hasher.zero] * (256 * 256 - 1) + [one] + [hasher.zero] * 299 + [one]
    assert tree.finish() == reference.tree("xxh3-128", leaves)[-1][0]


def test_too_few_blocks_are_no_tree():
    tree = TreeBuilder(Hasher("xxh3-128", 4096), level_counts(8192, 4096))
    tree.add_zeroes(1)
    with pytest.raises(ValueError, match="level 0 of the tree has 1 nodes"):
        tree.finish()


@pytest.mark.parametrize("workers", [1, 3])
def test_no_manifest_where_something_cannot_be_read(tmp_path, workers):
    device = FaultDevice(memory(spotted(9 * MIB)), faults=[Fault(7 * MIB, 7 * MIB + 1)])
    with pytest.raises(DeviceError, match="cannot read"):
        save(device, tmp_path / "m", options=ReadOptions(workers=workers))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInput, match="of all of a device or of none"):
        Digesting(device, options=ReadOptions(keep_going=True))


@pytest.mark.parametrize("read", ["mmap", "buffered", "direct"])
def test_no_manifest_of_a_file_that_is_cut(tmp_path, read):
    path = write_image(tmp_path / "image", spotted(6 * MIB))
    device = open_device(path)
    os.truncate(path, 3 * MIB + 5)
    with pytest.raises((SizeChanged, DeviceError)):
        save(device, tmp_path / "m", options=ReadOptions(read=read))
    assert not (tmp_path / "m").exists()
    device.close()


def test_what_is_there_stays_unless_it_is_a_manifest(tmp_path):
    image, other, place = tmp_path / "image", tmp_path / "other", tmp_path / "m"
    write_image(image, b"x" * 5000)
    other.write_bytes(b"precious")
    device = open_device(image)
    for path, text in ((other, "use --force"), (image, "what is digested"), (tmp_path, "name a file"), ("-", "name a")):
        with pytest.raises(InvalidInput, match=text):
            save(device, path)
    with pytest.raises(InvalidInput, match="what is digested"):
        save(device, image, force=True)
    assert other.read_bytes() == b"precious"
    save(device, place)
    save(device, place)
    save(device, other, force=True)
    assert is_manifest(place)
    assert is_manifest(other)
    device.close()


def test_wrong_words():
    for words, text in (
        ({"algorithm": "md5"}, "known are xxh3-128, blake3"),
        ({"block_size": 5000}, "power of two"),
        ({"block_size": 2048}, "from 4K to 1M"),
        ({"block_size": 2 * MIB}, "from 4K to 1M"),
    ):
        with pytest.raises(InvalidInput, match=text):
            digest_device(memory(b""), **words)


def test_public_names_of_the_module():
    import blockdiff.engine.manifest as module

    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.nothing
    assert blockdiff is not None
