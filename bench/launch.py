"""Runs one command and prints what it cost: ``launch.py STDOUT STDERR cmp -l a b '|' wc -l ';' ...``.

A program of its own, on purpose: a child's peak memory starts at its parent's, so the parent must be small (this one
has about 9 MiB, and no smaller peak can be seen). Printed: wall seconds, user, system, peak KiB, exit codes.
``|`` and ``;`` as arguments of their own make a pipeline and a sequence; the costs of all processes are added up.
"""

import os
import sys
import time

SIGPIPE = 13  # Python ignores it and children would inherit that; importing signal would cost memory


def split(words: list[str], mark: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == mark:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def spawn(argv: list[str], stdin: int, stdout: int, stderr: int) -> int:
    files = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    return os.posix_spawnp(argv[0], argv, os.environ, file_actions=files, setsigdef=[SIGPIPE])


def pipeline(commands: list[list[str]], stdout: int, stderr: int) -> list[int]:
    """Starts them all, left to right."""
    pids = []
    stdin = os.open(os.devnull, os.O_RDONLY)
    for index, argv in enumerate(commands):
        reader, writer = (-1, stdout) if index == len(commands) - 1 else os.pipe()
        pids.append(spawn(argv, stdin, writer, stderr))
        os.close(stdin)
        if writer != stdout:
            os.close(writer)
        stdin = reader
    return pids


def main() -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    # Out of the way of 0, 1 and 2, which the children's redirections write over in turn.
    stdout, stderr = os.open(sys.argv[1], flags, 0o600), os.open(sys.argv[2], flags, 0o600)
    user = system = 0.0
    peak = 0
    codes = []
    began = time.monotonic()
    for step in split(sys.argv[3:], ";"):
        for pid in pipeline(split(step, "|"), stdout, stderr):
            _, status, usage = os.wait4(pid, 0)
            user += usage.ru_utime
            system += usage.ru_stime
            peak = max(peak, usage.ru_maxrss)
            codes.append(os.waitstatus_to_exitcode(status))
    wall = time.monotonic() - began
    print(wall, user, system, peak, *codes)


main()
