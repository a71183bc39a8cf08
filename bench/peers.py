"""The peers: how each is asked, and how it says its answer. Whoever is not on PATH is named as missing."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import setting
from bench.data import Pair, Range, joined
from bench.runner import Command, Outcome, WrongAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAIVE = str(Path(__file__).with_name("naive.py"))
GRANULARITY = 4096


def expect(said: object, true: object, what: str) -> None:
    if said != true:
        raise WrongAnswer(f"{what}: {shown(said)} where {shown(true)} is true")


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}... ({len(text)} characters)"


# ---- answers ----


def succeeded(outcome: Outcome) -> None:
    """For a command without an answer."""
    expect(set(outcome.codes), {0}, "exit codes")


def by_exit(outcome: Outcome, pair: Pair) -> None:
    """0 the same, 1 different: cmp, qemu-img compare."""
    expect(outcome.codes, (0 if pair.truth.identical else 1,), "exit code")


def by_count(outcome: Outcome, pair: Pair) -> None:
    """``cmp -l | wc -l``: a line for each differing byte."""
    expect(outcome.codes, (0 if pair.truth.identical else 1, 0), "exit codes")
    expect(int(outcome.stdout), pair.truth.bytes, "differing bytes")


def by_blocks(outcome: Outcome, pair: Pair) -> None:
    expect(outcome.codes, (0,), "exit code")
    expect(int(outcome.stdout), pair.truth.blocks(64 * 1024), "differing blocks")


def by_item(outcome: Outcome, pair: Pair) -> None:
    """rsync names the file when it would send it."""
    expect(outcome.codes, (0,), "exit code")
    expect(not outcome.stdout.strip(), pair.truth.identical, "nothing to send")


def by_digest(outcome: Outcome, pair: Pair) -> None:
    expect(outcome.codes, (0,), "exit code")
    digests = [line.split()[0] for line in outcome.stdout.splitlines() if line.strip()]
    expect(len(digests), 2, "digests")
    expect(digests[0] == digests[1], pair.truth.identical, "equal digests")


def by_updated(outcome: Outcome, pair: Pair) -> None:
    """blocksync-fast counts the blocks that it would write."""
    expect(outcome.codes, (0,), "exit code")
    found = re.search(r"(?:Updated|Copied): (\d+)/", outcome.stdout + outcome.stderr)
    expect(int(found[1]) if found else None, pair.truth.blocks(GRANULARITY), "blocks to update")


def by_patch(outcome: Outcome, pair: Pair) -> None:
    """bdsync writes a patch: the differing blocks, each with a short header."""
    expect(outcome.codes, (0, 0), "exit codes")
    size, blocks = int(outcome.stdout), pair.truth.blocks(GRANULARITY)
    likely = blocks * GRANULARITY <= size <= blocks * (GRANULARITY + 64) + 4096
    expect(likely, True, f"a patch of {size} for {blocks} blocks")


# ---- the peers ----


@dataclass(frozen=True)
class Peer:
    """``argv`` has SRC and DST for the two files. ``full`` says that it does not stop at the first difference."""

    name: str
    argv: Sequence[str]
    check: Callable[[Outcome, Pair], None]
    full: bool = True
    mapped: bool = False  # knows about holes, so a sparse pair is no torture
    cold: bool = False  # only told apart from its sibling when nothing is cached

    @property
    def present(self) -> bool:
        return shutil.which(self.argv[0]) is not None

    def command(self, pair: Pair, prepare: Callable[[], None]) -> Command:
        words = [{"SRC": pair.source, "DST": pair.target}.get(word, word) for word in self.argv]
        return Command(self.name, words, lambda outcome: self.check(outcome, pair), prepare)


RAW = ("-f", "raw", "-F", "raw", "SRC", "DST")
PEERS = (
    Peer("cmp", ("cmp", "-s", "SRC", "DST"), by_exit, full=False),
    Peer("cmp -l", ("cmp", "-l", "SRC", "DST", "|", "wc", "-l"), by_count),
    Peer("qemu-img compare", ("qemu-img", "compare", *RAW), by_exit, full=False, mapped=True),
    Peer("qemu-img compare -T none", ("qemu-img", "compare", "-T", "none", *RAW), by_exit, False, True, True),
    Peer("rsync -n --checksum", ("rsync", "-n", "--checksum", "--itemize-changes", "SRC", "DST"), by_item),
    Peer("xxhsum", ("xxhsum", "-q", "-H2", "SRC", "DST"), by_digest),
    Peer("naive Python", (sys.executable, NAIVE, "SRC", "DST"), by_blocks),
    Peer("blocksync-fast", ("blocksync-fast", "-s", "SRC", "-d", "DST", "--dont-write"), by_updated),
    Peer("blocksync-fast --mmap", ("blocksync-fast", "-s", "SRC", "-d", "DST", "--dont-write", "--mmap"), by_updated),
    Peer("bdsync", ("bdsync", "bdsync --server", "SRC", "DST", "|", "wc", "-c"), by_patch),
)


def present(pair: Pair, *, cold: bool = False) -> list[Peer]:
    """Who can answer about this pair: where they differ, only those who report every difference (like with like)."""
    different = not pair.truth.identical
    return [
        peer
        for peer in PEERS
        if peer.present
        and (cold or not peer.cold)
        and (peer.full if different else peer.name != "cmp -l")
        and (peer.mapped or pair.truth.size <= 4 * pair.data)
    ]


def missing() -> list[str]:
    return sorted({peer.argv[0] for peer in PEERS if not peer.present})


# ---- ourselves ----


def ranges(differences: Sequence[dict[str, object]], offset: str, length: str) -> list[Range]:
    found = [(int(str(item.get(offset, 0))), int(str(item[length]))) for item in differences]
    expect(found, sorted(found), "ascending order")
    return joined(found)


def verify(pair: Pair, prepare: Callable[[], None], *options: str, name: str = "blockdiff") -> Command:
    """``blockdiff verify``; its differences must be exactly the truth at its granularity."""

    def check(outcome: Outcome) -> None:
        expect(outcome.codes, (0 if pair.truth.identical else 1,), "exit code")
        report = json.loads(outcome.stdout)
        expect(report["identical"], pair.truth.identical, "identical")
        wanted = pair.truth.at(GRANULARITY)
        expect(ranges(report["differences"], "offset", "length"), wanted, "differences")
        expect(report["differing_bytes"], sum(length for _, length in wanted), "differing bytes")

    words = [*setting.program(), "verify", "-o", "json", "--progress", "none", *options, *pair.paths]
    return Command(name, words, check, prepare)


def diff(pair: Pair, prepare: Callable[[], None], *options: str, name: str = "blockdiff diff") -> Command:
    """``blockdiff diff``; no byte that differs may be missing, and not much more may be reported than was rewritten."""

    def check(outcome: Outcome) -> None:
        expect(outcome.codes, (0,), "exit code")
        records = json.loads(outcome.stdout)
        found = ranges([item for record in records for item in record["block_metadata"]], "byte_offset", "size_bytes")
        wanted = pair.truth.at(GRANULARITY)
        expect(joined(sorted([*found, *wanted])), found, "differences and all that was reported")
        total, least = sum(length for _, length in found), sum(length for _, length in wanted)
        expect(total <= 2 * least, True, f"{total} bytes reported for {least}")

    words = [*setting.program(), "diff", "-o", "json", "--progress", "none", *options, *pair.paths]
    return Command(name, words, check, prepare)
