"""demo.py: find every difference between two disk images, repair the replica, prove it. Checks each step against cmp.

Works in a temporary directory, which is removed at the end, also after Ctrl-C.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import images

BLOCKDIFF = Path(sys.executable).with_name("blockdiff")
PAGE = Path(__file__).resolve().parent.parent / "build/demo-report.html"
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def say(text: str) -> None:
    """One line of narration."""
    print(f"\n\033[1m# {text}\033[0m" if COLOUR else f"\n# {text}", flush=True)


def blockdiff(*arguments: str, expect: int, show: bool = True) -> str:
    """Run blockdiff, show the command and its output, and insist on the exit code."""
    if show:
        print(f"$ blockdiff {shlex.join(arguments)}", flush=True)
    quiet = None if show else subprocess.DEVNULL
    done = subprocess.run([BLOCKDIFF, *arguments], stdout=subprocess.PIPE, stderr=quiet, text=True, check=False)
    if show:
        lines = done.stdout.splitlines()
        print("\n".join(lines if len(lines) < 40 else [*lines[:12], f"  ... {len(lines) - 20} lines ...", *lines[-8:]]))
        print(f"[exit code {done.returncode}]", flush=True)
    if done.returncode != expect:
        raise SystemExit(f"demo: expected exit code {expect} from: blockdiff {shlex.join(arguments)}")
    return done.stdout


def check(claim: str, holds: bool) -> None:
    """The demo fails loudly when it is wrong."""
    if not holds:
        raise SystemExit(f"demo: wrong: {claim}")
    print(f"  checked: {claim}")


def blocks(ranges: list[dict[str, object]], offset: str, length: str) -> set[int]:
    """The numbers of the blocks that a list of ranges covers."""
    size = images.BLOCK
    return {
        block
        for item in ranges
        for block in range(int(item[offset]) // size, -(-(int(item[offset]) + int(item[length])) // size))
    }


def demo() -> None:
    """The story, in the current directory."""
    say(f"A server's disk: an ext4 file system of {images.SIZE >> 20} MiB (made by mke2fs), and its replica.")
    source = images.make_source(Path())
    replica = images.make_replica(source)
    blockdiff("verify", "source.img", "replica.img", expect=0)

    say("Somebody mounts the replica and changes files; later one bit flips on the disk. Size and times stay the same.")
    images.change_files(replica)
    flipped = images.flip_bit(replica)
    truth = images.differing_blocks(source, replica)
    print(f"  cmp -l sees {len(truth)} differing blocks of 4 KiB; the flipped bit is in the byte at {flipped}.")

    say("Which extents of the replica changed?")
    blockdiff("diff", "source.img", "replica.img", expect=0)
    records = json.loads(blockdiff("diff", "-o", "json", "source.img", "replica.img", expect=0, show=False))
    listed = [item for record in records for item in record["block_metadata"]]
    check("diff lists every block that differs", truth <= blocks(listed, "byte_offset", "size_bytes"))

    say("Is the replica identical? verify reads both, reports every range that differs, and exits with 1.")
    blockdiff("verify", "source.img", "replica.img", expect=1)
    before = blockdiff("verify", "-o", "json", "source.img", "replica.img", expect=1, show=False)
    report = json.loads(before)
    found = blocks(report["differences"], "offset", "length")
    check(f"verify found all {len(truth)} differing blocks and no other, as cmp does", found == truth)
    classes = {item["class"]: item for item in report["differences"]}
    check("the silent bit flip is among them, by name", "bit-flip" in classes)

    say("Repair: only what differs is written, and the old bytes go into an undo journal first.")
    spoiled = replica.read_bytes()
    blockdiff("verify", "--repair", "--plan", "source.img", "replica.img", expect=1)
    blockdiff("verify", "--repair", "--journal", "replica.undo", "source.img", "replica.img", expect=0)
    check("cmp agrees: the replica is identical", not images.differing_blocks(source, replica))

    say("Was it the right direction? The journal takes it back, to the byte.")
    blockdiff("undo", "replica.undo", expect=0)
    check("the replica is as it was before the repair", replica.read_bytes() == spoiled)

    say("It was. The other way to write only what differs, without a journal:")
    blockdiff("copy", "--changed", "source.img", "replica.img", expect=0)

    say("The proof.")
    blockdiff("verify", "source.img", "replica.img", expect=0)
    check("cmp agrees: the replica is identical", not images.differing_blocks(source, replica))
    images.tool("e2fsck", "-fn", replica)
    check("e2fsck agrees: the file system is clean", holds=True)
    show_page(before)


def show_page(before: str) -> None:
    """The runs as a page, which stays when the images are gone."""
    say("For people: both runs as one HTML page, with a block map, the ranges and the history. It fetches nothing.")
    Path("before.json").write_text(before)
    after = blockdiff("verify", "-o", "json", "source.img", "replica.img", expect=0, show=False)
    Path("after.json").write_text(after)
    blockdiff("report", "before.json", "after.json", "-o", "report.html", expect=0)
    page = Path("report.html").read_text()
    check("it says different of the first and identical of the second", ">Different<" in page and ">Identical<" in page)
    PAGE.parent.mkdir(exist_ok=True)
    shutil.copy("report.html", PAGE)
    print(f"  {PAGE}: {PAGE.stat().st_size >> 10} KiB, to be opened in a browser")


def main() -> None:
    """Run the demo in a directory of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="blockdiff-demo-") as directory:
        os.chdir(directory)
        try:
            demo()
        finally:
            os.chdir("/")
    say("Done; the images are removed, the page stays. Next: blockdiff --help, or README.md.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
