"""The entry point: finds the command, runs it, and turns every way it can end into an exit code."""

from __future__ import annotations

import gc

gc.disable()  # importing makes no garbage, and looking for some takes a tenth of the start

import errno  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from typing import TYPE_CHECKING, Any, NoReturn  # noqa: E402

import click  # noqa: E402

from blockdiff.cli.base import CONTEXT, Group  # noqa: E402
from blockdiff.cli.streams import hold_streams, leave, say, silence_stdout  # noqa: E402
from blockdiff.cli.trouble import defect, trouble, usage_trouble  # noqa: E402
from blockdiff.errors import BlockdiffError, OutputError  # noqa: E402

if TYPE_CHECKING:
    from types import FrameType

COMMANDS = {
    "verify": "Prove that two devices are identical, or find every range that is not",
    "diff": "List the extents of a target that changed against its base",
    "map": "List what is allocated in an image, and what of it is zero",
    "copy": "Write a device to another: all of it, what differs, or listed ranges",
    "apply": "Apply export-diff streams to an image",
    "merge": "Join export-diff streams into one",
    "undo": "Give a device back the bytes that it had before a repair",
    "digest": "Make the manifest of an image: digests of its blocks, to verify it by later",
    "audit": "Judge a list of changed blocks: what it missed, what it lists for nothing",
    "extents": "Combine, convert and measure lists of extents",
    "snapshot-metadata": "Ask Kubernetes what changed between snapshots, and check the answer",
    "serve": "Serve changed block tracking over gRPC",
    "schedule": "Check and convert schedules of snapshots",
    "retention": "Say which snapshots a schedule keeps",
    "pairs": "Plan which snapshots to compare, copy or list changes of",
    "receipt": "Check and show receipts of verify",
    "report": "Make an HTML page of reports: block map, ranges, history",
    "ledger": "Show what was verified of a volume, and when",
    "tag": "Read and make names of snapshots",
    "completion": "Print the shell completion script",
}
INTERRUPTED = 130


class LazyGroup(Group):
    """Imports a command's module when that command is used, so that the start stays short."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"blockdiff.cli.{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            raise _PipeError(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"no command {args[0]!r}: there are {', '.join(COMMANDS)}{meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings=CONTEXT)
@click.version_option(package_name="blockdiff", message="blockdiff %(version)s")
def cli() -> None:
    """Say exactly which blocks changed between two devices, and prove that a replica is identical.

    Devices are image files, block devices or URLs. A size is a number of bytes, or one with K, M, G or T (powers of
    1024).

    Exit codes: 0 identical or done, 1 different, 2 bad input, 3 a device failed, 4 not supported, 5 a remote service
    failed, 130 interrupted.

    \b
    Examples:
      blockdiff verify disk.img replica.img
      blockdiff diff -o json yesterday.img today.img
      blockdiff copy --changed --verify disk.img replica.img
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits."""
    words = sys.argv[1:] if args is None else args
    hold_streams()
    signal.signal(signal.SIGTERM, _terminate)
    gc.enable()
    code = run(words)
    leave(code)


def run(words: list[str]) -> int:
    """Runs the command line and returns the exit code; only this function decides it."""
    try:
        result = _call(words)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return usage_trouble(error, words)
    except BrokenPipeError:
        return _broken_pipe(words)
    except (KeyboardInterrupt, click.Abort):
        say("blockdiff: interrupted")
        return INTERRUPTED
    except BlockdiffError as error:
        return trouble(error, words)
    except MemoryError:
        return trouble(BlockdiffError("out of memory"), words)
    except OSError as error:
        if error.filename is None and sys.stdout.closed is False:
            silence_stdout()
        return trouble(OutputError(f"cannot write the output: {error.strerror or error}"), words)
    except Exception as error:  # noqa: BLE001 - the last resort
        return defect(error)
    return result if isinstance(result, int) else 0


class _PipeError(Exception):
    """Carries an error with EPIPE past click, which would end with 1 for it: that means "different" here."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def _call(words: list[str]) -> Any:
    try:
        return cli.main(words, prog_name="blockdiff", standalone_mode=False)
    except _PipeError as error:
        raise error.error from None
    except SystemExit as error:
        if error.code == 1 and "_BLOCKDIFF_COMPLETE" not in os.environ:
            raise BrokenPipeError from error  # while the main help was written
        return error.code


def _broken_pipe(words: list[str]) -> int:
    silence_stdout()
    return trouble(OutputError("the output was closed before everything was written"), words)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
