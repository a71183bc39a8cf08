"""The entry point: finds the command, runs it, and turns every way it can end into an exit code."""

from __future__ import annotations

import gc

gc.disable()  # importing makes no garbage, and looking for some takes a tenth of the start

import contextlib  # noqa: E402
import itertools  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from typing import TYPE_CHECKING, Any, NoReturn  # noqa: E402

import click  # noqa: E402

from blockdiff.cli.base import CONTEXT, Group  # noqa: E402
from blockdiff.errors import BlockdiffError, OutputError  # noqa: E402

if TYPE_CHECKING:
    from types import FrameType

COMMANDS = {
    "verify": "Prove that two devices are identical, or find every range that is not",
    "diff": "List the extents of a target that changed against its base",
    "map": "List what is allocated in an image, and what of it is zero",
    "copy": "Write a device to another: all of it, what differs, or listed ranges",
    "audit": "Judge a list of changed blocks: what it missed, what it lists for nothing",
    "completion": "Print the shell completion script",
}
INTERRUPTED = 130
COMPLETING = "_BLOCKDIFF_COMPLETE"  # set by the shell that asks for completions; click then exits by itself


class LazyGroup(Group):
    """Imports a command's module when that command is used, so that the start stays short."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"blockdiff.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}: there are {', '.join(COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings=CONTEXT)
@click.version_option(package_name="blockdiff", message="blockdiff %(version)s")
def cli() -> None:
    """Say exactly which blocks changed between two devices, and prove that a replica is identical.

    Devices are image files, block devices or URLs. Exit codes: 0 identical or done, 1 different, 2 bad input, 3 a
    device failed, 4 not supported, 5 a remote service failed, 130 interrupted.

    \b
    Examples:
      blockdiff verify disk.img replica.img
      blockdiff diff -o json yesterday.img today.img
      blockdiff copy --changed --verify disk.img replica.img
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits."""
    words = sys.argv[1:] if args is None else args
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _replace_closed()
    signal.signal(signal.SIGTERM, _terminate)
    gc.enable()
    code = run(words)
    _leave(code)


def run(words: list[str]) -> int:
    """Runs the command line and returns the exit code; only this function decides it."""
    try:
        result = cli.main(words, prog_name="blockdiff", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return _click_trouble(error, words)
    except (BrokenPipeError, SystemExit) as error:  # click turns the former into exit code 1, which is a finding's
        return _output_closed(error, words)
    except (KeyboardInterrupt, click.Abort):
        _say("blockdiff: interrupted")
        return INTERRUPTED
    except BlockdiffError as error:
        return _trouble(error, words)
    except MemoryError:
        return _trouble(BlockdiffError("out of memory"), words)
    except OSError as error:
        if error.filename is None and sys.stdout.closed is False:
            _silence_stdout()
        return _trouble(OutputError(f"cannot write the output: {error.strerror or error}"), words)
    except Exception as error:  # noqa: BLE001 - the last resort
        return _defect(error)
    return result if isinstance(result, int) else 0


def _output_closed(error: BrokenPipeError | SystemExit, words: list[str]) -> int:
    if isinstance(error, SystemExit) and COMPLETING in os.environ:
        return error.code if isinstance(error.code, int) else 0
    _silence_stdout()
    return _trouble(OutputError("the output was closed before everything was written"), words)


def _defect(error: Exception) -> int:
    """A mistake of ours must not look like a finding: Python's own exit code for it would be 1, "different"."""
    import traceback

    if os.environ.get("BLOCKDIFF_TRACEBACK"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    _say(
        f"blockdiff: internal error: {type(error).__name__}: {error} ({place}); "
        "nothing can be said about the devices. Please report it, with BLOCKDIFF_TRACEBACK=1"
    )
    return BlockdiffError.exit_code


def _click_trouble(error: click.ClickException, words: list[str]) -> int:
    if _wants_json(words):
        _print_json({"error": "UsageError", "message": error.format_message(), "exit_code": 2, "retryable": False})
    else:
        with contextlib.suppress(OSError):
            error.show()
    return 2


def _trouble(error: BlockdiffError, words: list[str]) -> int:
    if _wants_json(words):
        fields: dict[str, Any] = {
            key: value
            for key, value in vars(error).items()
            if isinstance(value, str | int) and value != "" and key != "reason"
        }
        errno = getattr(error, "errno", None)
        _print_json(
            {
                "error": type(error).__name__,
                "message": str(error),
                "exit_code": error.exit_code,
                "retryable": error.retryable,
                **fields,
                **({"errno": errno} if errno else {}),
            }
        )
    else:
        _say(f"blockdiff: error: {error}")
    return error.exit_code


def _wants_json(words: list[str]) -> bool:
    """True when ``-o json`` or ``-o jsonl`` was asked for, in any spelling; parsing itself may have failed."""
    for word, following in itertools.pairwise([*words, ""]):
        value = following if word in ("-o", "--output") else word.removeprefix("--output=").removeprefix("-o")
        if value in ("json", "jsonl") and word != value:
            return True
    return False


def _print_json(value: dict[str, Any]) -> None:
    import json

    _say(json.dumps(value, ensure_ascii=False))


def _say(text: str) -> None:
    """To stderr. Where that cannot be written only the exit code is left, so it must not change."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _replace_closed() -> None:
    """Takes the numbers of closed standard files, or the next device would get them. Using stdin or stdout fails."""
    for name, flags, mode in (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_RDWR, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, flags), mode))  # noqa: SIM115 - it stays open to the end


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _silence_stdout() -> None:
    """Keeps the interpreter from complaining about unwritten output when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _leave(code: int) -> NoReturn:
    """Ends at once: everything is flushed, and taking the interpreter apart would cost more than a small verify."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = code if code > 1 else OutputError.exit_code
        _silence_stdout()
    try:
        sys.stderr.flush()
    finally:
        if "coverage" in sys.modules:
            sys.exit(code)
        os._exit(code)
