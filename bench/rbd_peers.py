"""What is raced over RBD images: command lines of ours and of the peers, and the judges of their answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import data, peers, setting
from bench.data import Pair, Range, joined
from bench.peers import expect
from bench.rbd_images import POOL, Images
from bench.runner import Command, Outcome, WrongAnswer
from bench.targets import RBD_BINDING, RBD_DIFF, RBD_PIPE, RBD_QEMU, RBD_TO_FILE, RBD_TO_NULL, RBD_WHOLE
from tests.fixtures.ceph_cluster import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
QEMU = "/usr/lib"  # .../qemu/block-rbd.so, of the package qemu-block-extra


def qemu_refusal() -> str:
    """Why qemu-img cannot read images here; empty when it can."""
    if not shutil.which("qemu-img"):
        return "qemu-img is not on PATH"
    return "" if list(Path(QEMU).glob("*/qemu/block-rbd.so")) else "qemu-img needs qemu-block-extra"


# ---- lists of what changed ----


class Changes:
    """What changed between two snapshots: as ``rbd diff`` says, which must agree with what was written."""

    def __init__(self, images: Images, name: str, base: str, target: str, written: Sequence[Range]) -> None:
        self._images, self._name, self._base, self._target = images, name, base, target
        words = ("diff", "--format", "json", "--from-snap", base, f"{POOL}/{name}@{target}")
        self.extents = listed(images.run(*words))
        self.objects = listed(images.run(*words, "--whole-object"))
        known, ranges = spans(self.extents), joined(written)
        expect(joined(sorted([*known, *ranges])), known, "rbd diff and what was written")
        expect(joined(sorted([*known, *spans(self.objects)])), spans(self.objects), "rbd diff and its whole objects")

    def ours(self) -> Command:
        urls = [self._images.url(f"{self._name}@{snapshot}") for snapshot in (self._base, self._target)]
        return Command("blockdiff", [*setting.program(), "diff", "-o", "rbd", "--progress", "none", *urls], self._exact)

    def rbd_diff(self) -> Command:
        return Command(RBD_DIFF, self._rbd(), self._exact)

    def whole(self) -> Command:
        return Command(RBD_WHOLE, [*self._rbd(), "--whole-object"], self._whole)

    def collected(self) -> Command:
        """By our library, timed around the call only."""
        words = [sys.executable, str(HERE / "rbd_collect.py"), self._images.url(self._name), self._base, self._target]
        return Command("blockdiff", words, self._counted, told=True)

    def binding(self, *, whole_run: bool = False) -> Command:
        """By the distribution's module, timed around the call only, or from start to end."""
        script = str(HERE / "rbd_binding.py")
        words = [PYTHON, "-I", script, self._images.conf, POOL, self._name, self._base, self._target]
        return Command(RBD_BINDING, words, self._counted, told=not whole_run)

    def _rbd(self) -> list[str]:
        spec = f"{POOL}/{self._name}@{self._target}"
        return self._images.rbd("diff", "--format", "json", "--from-snap", self._base, spec)

    def _exact(self, outcome: Outcome) -> None:
        peers.succeeded(outcome)
        expect(listed(outcome.stdout), self.extents, "extents")

    def _whole(self, outcome: Outcome) -> None:
        peers.succeeded(outcome)
        expect(listed(outcome.stdout), self.objects, "objects")

    def _counted(self, outcome: Outcome) -> None:
        peers.succeeded(outcome)
        total = sum(length for _, length, _ in self.extents)
        expect(int(outcome.stdout.split()[1]), total, "bytes in the list")


def listed(text: str) -> list[tuple[int, int, str]]:
    """Extents in rbd's JSON, neighbours of a kind joined; "exists" is a string in Ceph 16."""
    found: list[tuple[int, int, str]] = []
    for item in json.loads(text):
        offset, length, exists = item["offset"], item["length"], str(item["exists"]).lower()
        if found and found[-1][0] + found[-1][1] == offset and found[-1][2] == exists:
            offset, length = found[-1][0], found[-1][1] + length
            found.pop()
        found.append((offset, length, exists))
    return found


def spans(extents: Sequence[tuple[int, int, str]]) -> list[Range]:
    return joined((offset, length) for offset, length, _ in extents)


# ---- comparing ----


def pair(images: Images, first: str, second: str, size: int, read: int) -> Pair:
    """Two equal images as peers.verify takes them."""
    return Pair(images.url(first), images.url(second), data.Truth(size), read)


def qemu_compare(images: Images, first: str, second: str, size: int) -> Command:
    words = ["qemu-img", "compare", "-f", "raw", "-F", "raw", images.qemu(first), images.qemu(second)]
    judge = pair(images, first, second, size, size)
    return Command(RBD_QEMU, words, lambda outcome: peers.by_exit(outcome, judge))


# ---- reading and sending ----


def read_all(images: Images, name: str, size: int) -> Command:
    """Ours that reads every byte and keeps none: a map that looks for zeroes. The image has none."""

    def check(outcome: Outcome) -> None:
        peers.succeeded(outcome)
        items = [item for record in json.loads(outcome.stdout) for item in record["block_metadata"]]
        expect(peers.ranges(items, "byte_offset", "size_bytes"), [(0, size)], "data")

    words = [*setting.program(), "map", "--zeroes", "-o", "json", "--progress", "none", images.url(name)]
    return Command("blockdiff map --zeroes", words, check)


def export_to_null(images: Images, name: str) -> Command:
    line = " ".join(images.rbd("export", "--no-progress", f"{POOL}/{name}", "-"))
    return Command(RBD_TO_NULL, ["sh", "-c", f"exec {line} > /dev/null"], peers.succeeded)


class ToFile:
    """Copies of an image to a file that is not there before."""

    def __init__(self, images: Images, name: str, path: str, size: int) -> None:
        self._images, self._name, self._path, self._size = images, name, path, size
        self._digest = self._exported()

    def ours(self) -> Command:
        words = [*setting.program(), "copy", "--progress", "none", self._images.url(self._name), self._path]
        return Command("blockdiff copy", words, self._check, self._prepare)

    def rbd_export(self) -> Command:
        words = self._images.rbd("export", "--no-progress", f"{POOL}/{self._name}", self._path)
        return Command(RBD_TO_FILE, words, self._check, self._prepare)

    def _prepare(self) -> None:
        """Without the file, and with so much memory just given back that every copy finds it in the same state."""
        data.write(self._path, (bytes(data.CHUNK) for _ in range(self._size // data.CHUNK)))
        os.unlink(self._path)

    def _check(self, outcome: Outcome) -> None:
        peers.succeeded(outcome)
        expect(self._taken(), self._digest, "digest of the file")

    def _exported(self) -> str:
        self._images.run("export", "--no-progress", f"{POOL}/{self._name}", self._path)
        return self._taken()

    def _taken(self) -> str:
        with open(self._path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.unlink(self._path)
        return digest


class Delta:
    """Sends what changed from s to s2 of an image to a replica that has s, through a pipe."""

    def __init__(self, images: Images, name: str, replica: str) -> None:
        self._images, self._name, self._replica = images, name, f"{POOL}/{replica}"
        images.run("copy", "--no-progress", f"{POOL}/{name}@s", self._replica)
        images.snapshot(replica, "s")

    def ours(self) -> Command:
        urls = [self._images.url(f"{self._name}@{snapshot}") for snapshot in ("s", "s2")]
        words = [*setting.program(), "diff", "-o", "export-diff", "--progress", "none", *urls]
        return self._command("blockdiff", words)

    def rbd_export_diff(self) -> Command:
        spec = f"{POOL}/{self._name}@s2"
        return self._command(RBD_PIPE, self._images.rbd("export-diff", "--no-progress", "--from-snap", "s", spec, "-"))

    def _command(self, name: str, words: list[str]) -> Command:
        importer = self._images.rbd("import-diff", "--no-progress", "-", self._replica)
        return Command(name, [*words, "|", *importer], self._check, self._prepare)

    def _prepare(self) -> None:
        """As it was at s, so that what a diff forgets is found out."""
        if "s2" in self._images.run("snap", "ls", self._replica).split():
            self._images.run("snap", "rm", "--no-progress", f"{self._replica}@s2")
        self._images.run("snap", "rollback", "--no-progress", f"{self._replica}@s")

    def _check(self, outcome: Outcome) -> None:
        peers.succeeded(outcome)
        sums = {self._sum(spec) for spec in (f"{POOL}/{self._name}@s2", f"{self._replica}@s2")}
        if len(sums) != 1:
            raise WrongAnswer("the replica is not equal afterwards")

    def _sum(self, spec: str) -> str:
        line = " ".join(self._images.rbd("export", "--no-progress", spec, "-"))
        with os.popen(f"{line} | sha256sum") as told:
            return told.read()


def counting(images: Images, command: Command, note: Callable[[int], None]) -> Command:
    """The same, and what went over the wire for it."""
    before = 0

    def prepare() -> None:
        nonlocal before
        command.prepare()
        before = images.wire_bytes()

    def check(outcome: Outcome) -> None:
        note(images.wire_bytes() - before)
        command.check(outcome)

    return Command(command.name, command.argv, check, prepare, command.told)
