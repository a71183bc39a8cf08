"""What programs print is not trusted: whatever it is, the answer has a use or a path for each block, and no others."""

from hypothesis import given
from hypothesis import strategies as st

from blockdiff.triage.layout.filesystem import FileSystem
from blockdiff.triage.naming import ext, xfs
from blockdiff.triage.naming.tool import ToolFailed

EXT = FileSystem("ext4", 0, 1 << 30, 4096)
XFS = FileSystem("xfs", 0, 1 << 30, 4096, "", "", 1000, 10)
BLOCKS = [0, 7, 1001, 2500]

lines = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([
        b"Block\tInode number", b"7\t12", b"7\t<block not found>", b"1001\t8", b"2500\t99999999999999999999",
        b"Block 7 marked in use", b"Block 2500 not in use", b"Inode\tPathname", b"12\t//a/b", b"12\t/other", b"13\t/x",
        b"debugfs: ncheck 12", b"xfs_db> block 7 (0/7) type data inode 12 a/b", b"block 1025 (1/1) type free1",
        b"block 2548 (2/500) type data inode 9", b"block 0 (0/0) type sb", b"block 7 (0/7) type rldata inode 5 c",
    ]),
)  # fmt: skip


def answers(module, system, output):
    kept = module.run_tool
    module.run_tool = lambda *_, **__: output
    try:
        return module.name_blocks(system, 3, BLOCKS)
    except ToolFailed:
        return None
    finally:
        module.run_tool = kept


@given(st.lists(lines, max_size=30))
def test_debugfs(parts):
    found = answers(ext, EXT, b"\n".join(parts))
    assert set(found) == set(BLOCKS)
    for path, use in found.values():
        assert use if path is None else path.startswith(b"/")


@given(st.lists(lines, max_size=30))
def test_xfs_db(parts):
    found = answers(xfs, XFS, b"\n".join(parts))
    if found is not None:
        assert set(found) == set(BLOCKS)
        for path, use in found.values():
            assert use if path is None else path.startswith(b"/")


def test_real_answers():
    output = b"debugfs: icheck 7 1001\nBlock\tInode number\n7\t12\n1001\t8\n2500\t<block not found>\n"
    output += b"Block 2500 not in use\nInode\tPathname\n12\t//dir/a\nname\n"
    found = answers(ext, EXT, output)
    assert found[7] == (b"/dir/a\nname", "")
    assert found[1001] == (None, "metadata: journal")
    assert found[2500] == (None, "free")
    assert found[0] == (None, "metadata")
