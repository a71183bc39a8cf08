"""What the two programs have in common that stand in for the original's: its flags, messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from blockdiff.cli.snapshot_metadata import goflags, request
from blockdiff.cli.snapshot_metadata.flags import default_kubeconfig
from blockdiff.cli.streams import hold_streams, leave, say
from blockdiff.errors import BlockdiffError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdiff.csi.args import Args

FAILED, USAGE = 1, 2
MISSING = "Missing required arguments"
_WAYS = (
    ("The allocated blocks of a snapshot", ""),
    ("What changed since a previous snapshot, by its name", " -p PREVIOUS"),
    ("What changed since a previous snapshot, by its CSI handle", " -P HANDLE"),
)


class Failure(Exception):
    """The program ends with 1. ``usage`` shows the ways to call it below the text."""

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage


class Program:
    """One of the two: its flags, and the work that it does with their values."""

    def __init__(
        self,
        name: str,
        about: str,
        flags: Sequence[goflags.Flag],
        work: Callable[[dict[str, Any]], None],
        *,
        more: str = "",
    ) -> None:
        self._name, self._about, self._flags, self._work, self._more = name, about, flags, work, more

    def main(self, words: Sequence[str] | None = None) -> NoReturn:
        """Runs it and exits."""
        hold_streams()
        leave(self.run(sys.argv[1:] if words is None else words), unwritten=FAILED)

    def run(self, words: Sequence[str]) -> int:
        """Runs it and gives the exit code: 0 done, 1 failed or interrupted, 2 flags that nobody knows."""
        try:
            return self._run(words)
        except goflags.HelpWanted:
            say(self._usage())
            return 0
        except goflags.FlagError as error:
            say(f"{error}\n{self._usage()}")
            return USAGE
        except Failure as error:
            say(f"{error}\n{self._usage()}" if error.usage else str(error))
        except KeyboardInterrupt:
            say("Error: context canceled")
        except BlockdiffError as error:
            say(f"Error: {error}")
        except OSError as error:
            say(f"Error: {error.strerror or error}")
        except MemoryError:
            say("Error: out of memory")
        except Exception as error:  # noqa: BLE001 - the last resort
            say(f"Error: internal error: {type(error).__name__}: {error}")
        return FAILED

    def _run(self, words: Sequence[str]) -> int:
        if not words:
            raise Failure(MISSING, usage=True)
        values = goflags.parse(self._flags, words)
        if values["h"]:
            say(f"{self._about}\n\n{self._usage()}\nFlags:\n{goflags.described(self._flags)}")
            return 0
        self._work({name.replace("-", "_"): value for name, value in values.items()})
        sys.stdout.flush()
        return 0

    def _usage(self) -> str:
        lines = ["Usage:"]
        for what, previous in _WAYS:
            lines += ["", f"  {what}", f"    {self._name} -n NAMESPACE -s SNAPSHOT{previous}{self._more} [flags]"]
        return "\n".join([*lines, "", "  All flags", f"    {self._name} -h", ""])


def flags_with_home(flags: Sequence[goflags.Flag]) -> tuple[goflags.Flag, ...]:
    """The same flags, the kubeconfig's default filled in."""
    from dataclasses import replace

    return tuple(replace(flag, default=default_kubeconfig()) if flag.name == "kubeconfig" else flag for flag in flags)


def connect(args: Args, values: dict[str, Any]) -> None:
    """Gives the arguments their clients, by the original's rule: the kubeconfig if there is that file, else a pod's."""
    if not request.needs_cluster(args):
        return
    from blockdiff.csi import build_clients
    from blockdiff.csi.kube import load_config

    path = values["kubeconfig"]
    try:
        config = load_config(path if os.path.exists(path) else None, context=values["context"] or None)
    except BlockdiffError as error:
        raise Failure(f"Error loading kubeconfig {path}: {error}") from None
    try:
        args.clients = build_clients(config)
    except BlockdiffError as error:
        raise Failure(f"Error creating clients: {error}") from None


def make_args(values: dict[str, Any], **hooks: Any) -> Args:
    """The arguments of the iterator; breaks of the stream are told on stderr."""
    try:
        request.need_libraries()
        return request.make_args(values, on_resume=request.resumed(say), **hooks)
    except BlockdiffError as error:
        raise Failure(f"Error: {error}") from None
