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
_LEADS = re.compile(rb"^Inode (\d+) is part of block group", re.MULTILINE)
_PROMPT = b"debugfs: "
_SPLITS = re.compile(rb"\n|debugfs: ")
_LONG = 4000  # bytes of a path that fits in a command
_ALONE = 16  # inodes that are asked about one by one: each time all directories are read
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
    names = _Names(place, fd).of(wanted)
    found: dict[int, tuple[bytes | None, str]] = {}
    for block in blocks:
        inode = inodes.get(block)
        if inode is None:
            known = {True: METADATA, False: FREE}.get(used.get(block))  # type: ignore[arg-type]
            found[block] = None, known or "unknown"
        elif inode in _RESERVED:
            found[block] = None, f"{METADATA}: {_RESERVED[inode]}"
        else:
            found[block] = names.get(inode), "" if inode in names else f"inode {inode}, which has no certain name"
    return found


def _lines(command: bytes, numbers: Sequence[int]) -> Iterator[bytes]:
    for at in range(0, len(numbers), _A_LINE):
        yield command + b"".join(b" %d" % number for number in numbers[at : at + _A_LINE]) + b"\n"


class _Names:
    """Asks for the names of inodes. A name may hold the end of a line and look like the answer about another inode: one
    that is a line long is believed when the path leads to the inode, another when nothing else was asked about.
    """

    def __init__(self, place: str, fd: int) -> None:
        self._words, self._fd = ["debugfs", "-f", "-", place], fd

    def of(self, inodes: Sequence[int]) -> dict[int, bytes]:
        """A path for each of them that has one."""
        if not inodes:
            return {}
        all_told = self._ask(inodes)
        found = self._proven(all_told)
        doubtful = sorted({inode for inode, _ in all_told} - set(found))  # of the others nothing was told
        for inode in doubtful[:_ALONE]:
            told = self._ask([inode])
            if len(told) == 1:
                found[inode] = told[0][1]
            else:
                found |= self._proven(told)
        return found

    def _ask(self, inodes: Sequence[int]) -> list[tuple[int, bytes]]:
        """Inodes and paths as they are told, true or not."""
        output = run_tool(self._words, self._fd, b"".join(_lines(b"ncheck", inodes)))
        told: list[tuple[int, bytes]] = []
        asked, open_ = set(inodes), False
        for line in output.split(b"\n"):
            match = _NAME.match(line)
            if match and int(match[1]) in asked:
                told.append((int(match[1]), b"/" + match[2].lstrip(b"/")))
                open_ = True
            elif line.startswith((_PROMPT, b"Inode\t")):
                open_ = False
            elif open_ and line:
                told[-1] = told[-1][0], told[-1][1] + b"\n" + line
        return told

    def _proven(self, told: Sequence[tuple[int, bytes]]) -> dict[int, bytes]:
        """What is one line long and leads to its inode, the first path of each."""
        plain = [(inode, path) for inode, path in told if len(path) < _LONG and not _SPLITS.search(path)]
        script = b"".join(b'imap "%s"\n' % path.replace(b'"', b'""') for _, path in plain)
        answers = run_tool(self._words, self._fd, script).split(_PROMPT + b"imap ")[1:] if plain else []
        found: dict[int, bytes] = {}
        for (inode, path), answer in zip(plain, answers, strict=False):
            leads = _LEADS.search(answer)
            if leads and int(leads[1]) == inode:
                found.setdefault(inode, path)
        return found
