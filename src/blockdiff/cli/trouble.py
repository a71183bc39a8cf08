"""What is said of each trouble, to people or as JSON, and the exit code that it gets."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

from blockdiff.cli.streams import say
from blockdiff.errors import BlockdiffError

if TYPE_CHECKING:
    import click

USAGE = 2
_OUTPUT = ("-o", "--o", "--output", "-output", "--output-format", "-output-format")


def defect(error: Exception) -> int:
    """A mistake of ours must not look like a finding: Python's own exit code for it would be 1, "different"."""
    import traceback

    if os.environ.get("BLOCKDIFF_TRACEBACK"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    say(
        f"blockdiff: internal error: {type(error).__name__}: {error} ({place}); "
        "nothing can be said about the devices. Please report it, with BLOCKDIFF_TRACEBACK=1"
    )
    return BlockdiffError.exit_code


def usage_trouble(error: click.ClickException, words: list[str]) -> int:
    """Words that the command line does not know."""
    if _wants_json(words):
        _print_json({"error": "UsageError", "message": error.format_message(), "exit_code": USAGE, "retryable": False})
    else:
        with contextlib.suppress(OSError):
            error.show()
    return USAGE


def trouble(error: BlockdiffError, words: list[str]) -> int:
    """An error of ours: it knows its text and its exit code."""
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
        say(f"blockdiff: error: {_shown(str(error))}")
    return error.exit_code


def _shown(text: str) -> str:
    """Without what a terminal would obey: words of users and of other programs are in it."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


def _wants_json(words: list[str]) -> bool:
    """True when ``-o json``, ``-o jsonl`` or ``--json`` was asked for, in any spelling; parsing may have failed."""
    if "--json" in words:
        return True
    for word, following in itertools.pairwise([*words, ""]):
        name, equals, joined = word.partition("=")
        if name in _OUTPUT:
            value = joined if equals else following
        else:
            value = word.removeprefix("-o") if word.startswith("-o") else ""
        if value in ("json", "jsonl"):
            return True
    return False


def _print_json(value: dict[str, Any]) -> None:
    import json

    say(json.dumps(value, ensure_ascii=False))
