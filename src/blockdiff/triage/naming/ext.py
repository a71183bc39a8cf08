"""Files of ext2, ext3 and ext4, by debugfs of e2fsprogs: icheck from block to inode, ncheck from inode to name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockdiff.triage.naming.owner import FREE, METADATA
from blockdiff.triage.naming.tool import run_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdiff.triage.layout.filesystem import FileSystem

_A_LINE = 400  # arguments of one command; debugfs reads lines of 8192 bytes
_INODE = re.compile(rb"^(\d+)\t(\d+|<block not found>)$", re.MULTILINE)
_USED = re.compile(rb"^Block (\d+) (marked in use|not in use)$", re.MULTILINE)
_NAME = re.compile(rb"^(\d+)\t(/.*)$")
_PROMPT = b"debugfs: "
_RESERVED = {1: "bad blocks", 3: "quota", 4: "quota", 7: "resize inode", 8: "journal"}


def name_blocks(system: FileSystem, fd: int, blocks: Sequence[int]) -> dict[int, tuple[bytes | None, str]]:
    """For each block (path, use): the path of a file that owns it, or None and what it is used for.

    Raises ToolFailed.
    """
    place = f"/proc/self/fd/{fd}?offset={system.start}"
    asked = [block for block in blocks if block]  # debugfs knows no block 0
    script = b"".join(_lines(b"icheck", asked)) + b"".join(b"testb %d\n" % block for block in asked)
    output = run_tool(["debugfs", "-f", "-", place], fd, script)
    inodes = {int(block): int(inode) for block, inode in _INODE.findall(output) if inode.isdigit()}
    used = {0: True} | {int(block): state == b"marked in use" for block, state in _USED.findall(output)}
    wanted = sorted(set(inodes.values()) - set(_RESERVED))
    names = _names(run_tool(["debugfs", "-f", "-", place], fd, b"".join(_lines(b"ncheck", wanted))), set(wanted))
    found: dict[int, tuple[bytes | None, str]] = {}
    for block in blocks:
        inode = inodes.get(block)
        if inode is None:
            known = {True: METADATA, False: FREE}.get(used.get(block))  # type: ignore[arg-type]
            found[block] = None, known or "unknown"
        elif inode in _RESERVED:
            found[block] = None, f"{METADATA}: {_RESERVED[inode]}"
        else:
            found[block] = names.get(inode), "" if inode in names else f"inode {inode}, which has no name"
    return found


def _lines(command: bytes, numbers: Sequence[int]) -> Iterator[bytes]:
    for at in range(0, len(numbers), _A_LINE):
        yield command + b"".join(b" %d" % number for number in numbers[at : at + _A_LINE]) + b"\n"


def _names(output: bytes, wanted: set[int]) -> dict[int, bytes]:
    """Paths of inodes, the first of each. A name may hold a line's end: what follows is a part of it."""
    names: dict[int, bytes] = {}
    last = 0
    for line in output.split(b"\n"):
        match = _NAME.match(line)
        if match and int(match[1]) in wanted:
            last = int(match[1])
            if last in names:  # another link
                last = 0
            else:
                names[last] = b"/" + match[2].lstrip(b"/")
        elif line.startswith((_PROMPT, b"Inode\t")):
            last = 0
        elif last and line:
            names[last] += b"\n" + line
    return names
