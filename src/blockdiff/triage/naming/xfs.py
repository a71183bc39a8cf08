"""Files of XFS, by xfs_db of xfsprogs: blockget reads all of its metadata, blockuse says what a block is used for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockdiff.triage.naming.owner import FREE, METADATA, UNKNOWN
from blockdiff.triage.naming.tool import ToolFailed, run_tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.triage.layout.filesystem import FileSystem

_USE = re.compile(rb"^block (\d+) \(\d+/\d+\) type (\S+)(?: inode (\d+))?(?: (.*))?$")
_OF_FILES = {b"data", b"rldata", b"dir", b"attr", b"symlink", b"rtdata"}
_FREE = {b"free1", b"free2"}


def name_blocks(system: FileSystem, fd: int, blocks: Sequence[int]) -> dict[int, tuple[bytes | None, str]]:
    """For each block (path, use), as in the module for ext4. Raises ToolFailed."""
    numbers = {number_of(system, block): block for block in blocks}
    script = b"blockget -n\n" + b"".join(b"fsblock %d\nblockuse -n\n" % number for number in numbers)
    output = run_tool(["xfs_db", "-r", "-f", f"/proc/self/fd/{fd}"], fd, script)
    found: dict[int, tuple[bytes | None, str]] = {}
    asked, last = iter(numbers), None
    expected = next(asked, None)
    for line in output.replace(b"xfs_db> ", b"").split(b"\n"):
        match = _USE.match(line)
        if match and int(match[1]) == expected:
            last = numbers[int(match[1])]
            found[last] = _owner(match)
            expected = next(asked, None)
        elif last is not None and line and found[last][0] is not None:  # a name may hold a line's end
            found[last] = (found[last][0] or b"") + b"\n" + line, ""
    if not found:
        raise ToolFailed("xfs_db cannot read the file system")
    return {block: found.get(block, (None, UNKNOWN)) for block in blocks}


def number_of(system: FileSystem, block: int) -> int:
    """The number that XFS gives the block: that of its allocation group in the high bits."""
    group, inside = divmod(block, system.group_blocks)
    return group << system.group_bits | inside


def _owner(match: re.Match[bytes]) -> tuple[bytes | None, str]:
    kind, inode, name = match[2], match[3], match[4]
    if kind in _FREE:
        return None, FREE
    if kind in _OF_FILES:
        if name:
            return b"/" + name, ""
        return None, f"inode {int(inode)}, which has no name" if inode else UNKNOWN
    return None, f"{METADATA}: {kind.decode('ascii', 'replace')}"
