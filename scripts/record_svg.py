"""record_svg.py [FILE]: a picture of a real run of the real program, for the README (docs/img/demo.svg)."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import images
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 116, 40
COMMANDS = (
    "blockdiff verify source.img replica.img",
    "blockdiff copy --changed source.img replica.img",
    "blockdiff verify source.img replica.img",
)


def run(command: str) -> tuple[str, int]:
    """Run a command on a terminal of our own, without progress bars; returns what it showed and its exit code."""
    arguments = [str(Path(sys.executable).with_name("blockdiff")), *shlex.split(command)[1:], "--progress", "none"]
    env = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": str(ROWS), "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    ours, theirs = pty.openpty()
    shown = bytearray()
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        while chunk := read(ours):
            shown += chunk
    os.close(ours)
    return shown.decode().replace("\r\n", "\n"), process.returncode


def read(descriptor: int) -> bytes:
    """A terminal whose last writer has gone answers EIO."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def record(target: Path) -> None:
    """Make the images, run the commands, draw the picture."""
    console = Console(record=True, width=COLUMNS, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        source = images.make_source(Path())
        replica = images.make_replica(source)
        images.change_files(replica)
        images.flip_bit(replica)
        for command in COMMANDS:
            shown, code = run(command)
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(shown.rstrip("\n")))
            console.print(Text(f"[exit code {code}]", style="dim"))
            console.print()
        os.chdir("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    own_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # nothing from the network
    target.write_text(console.export_svg(title="blockdiff", code_format=own_fonts, unique_id="blockdiff"))


if __name__ == "__main__":
    default = Path(__file__).parent.parent / "docs/img/demo.svg"
    record(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default)
