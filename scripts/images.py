"""Two realistic disk images for the demo and the recording: an ext4 file system, and its replica gone wrong.

No root and no mount: mke2fs fills the file system, debugfs changes files inside the replica.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

SIZE = 256 << 20
BLOCK = 4096
SBIN = ":/usr/local/sbin:/usr/sbin:/sbin"


def tool(*command: str | Path, stdin: str | None = None) -> str:
    """Run a system tool quietly; its words are shown only when it fails."""
    env = {**os.environ, "PATH": os.environ["PATH"] + SBIN, "DEBUGFS_PAGER": "cat", "LC_ALL": "C"}
    done = subprocess.run(command, input=stdin or "", env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def make_tree(root: Path) -> None:
    """Files as on a small server: a Python library, a database, a log and photos."""
    library = Path(sysconfig.get_path("stdlib"))
    for source in sorted(library.glob("*.py")):
        target = root / "usr/lib/python" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    chance = random.Random(20)
    files = {
        "var/lib/ledger.db": chance.randbytes(24 << 20),
        "var/log/syslog": b"Jan  1 00:00:00 host app: ok\n" * 200_000,
    }
    files |= {
        f"srv/photos/{number:04}.jpg": chance.randbytes(chance.randrange(1 << 20, 3 << 20)) for number in range(16)
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def make_source(directory: Path) -> Path:
    """An ext4 image with the tree in it; what the file system does not use stays a hole."""
    tree, image = directory / "tree", directory / "source.img"
    make_tree(tree)
    tool("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-L", "server", "-d", tree, image, f"{SIZE >> 20}M")
    shutil.rmtree(tree)
    return image


def make_replica(source: Path) -> Path:
    """A copy of the image, sparse as the source is."""
    replica = source.with_name("replica.img")
    tool("cp", "--sparse=always", source, replica)
    return replica


def change_files(image: Path) -> None:
    """What a host that still mounts the replica would do: a file more, a file less, a file rewritten."""
    note = image.with_name("note.txt")
    note.write_text("written to the replica by mistake\n" * 1000)
    commands = [
        f"write {note} /srv/note.txt",
        "rm /srv/photos/0003.jpg",
        "rm /var/log/syslog",
        f"write {note} /var/log/syslog",
    ]
    tool("debugfs", "-w", "-f", "-", image, stdin="\n".join(commands) + "\n")
    note.unlink()


def flip_bit(image: Path) -> int:
    """Flip one bit inside the database, as a bad disk or cable would: same size, same times. Returns its offset."""
    answer = tool("debugfs", "-R", "bmap /var/lib/ledger.db 1234", image)
    block = int(re.findall(r"\d+", answer)[-1])
    offset = block * BLOCK + 777
    times = image.stat()
    with image.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    return offset


def differing_blocks(one: Path, two: Path) -> set[int]:
    """The numbers of the blocks that differ, from cmp: the second opinion."""
    done = subprocess.run(["cmp", "-l", one, two], capture_output=True, check=False)
    if done.returncode > 1 or done.stderr:
        raise SystemExit(f"cmp failed: {done.stderr.decode()}")
    return {(int(line.split()[0]) - 1) // BLOCK for line in done.stdout.splitlines()}
