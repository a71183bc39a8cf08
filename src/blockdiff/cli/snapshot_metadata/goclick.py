"""click commands that also take their options as Go programs do: ``-namespace x``, ``-namespace=x``, ``-n=x``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import Command
from blockdiff.cli.snapshot_metadata.goflags import FALSE, TRUE, Flag, integer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_JOINED = ("-ojson", "-ojsonl", "-otable")


class GoCommand(Command):
    """Every spelling of Go and of click. A word with one dash is never taken apart: a mistyped ``-snapshots`` would be
    the option ``-s`` with a value that nobody meant.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_normal(args, self.params)))


class Integer(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A number of 64 bits in Go's spellings."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return integer(value)
        except ValueError as error:
            self.fail(f"{value!r} is no number ({error})", param, ctx)


def go_options(flags: Iterable[Flag], *, required: Iterable[str] = ()) -> Decorator:
    """Options of flags; a text that is not given is None."""
    made = [_option(flag, required=flag.name in required) for flag in flags]
    return lambda function: functools.reduce(lambda f, decorate: decorate(f), reversed(made), function)


def _option(flag: Flag, *, required: bool) -> Any:
    names = [f"--{flag.name}", *([f"-{flag.short}"] if flag.short else []), flag.name.replace("-", "_")]
    if flag.kind == "bool":
        return click.option(*names, is_flag=True, help=flag.text)
    if flag.kind == "int":
        return click.option(
            *names, type=Integer(), default=flag.default, show_default=True, metavar="N", help=flag.text
        )
    metavar = _METAVARS.get(flag.name, "NAME")
    return click.option(*names, metavar=metavar, required=required, help=flag.text)


_METAVARS = {
    "previous-snapshot-id": "HANDLE",
    "kubeconfig": "FILE",
    "source-device-path": "DEVICE",
    "target-device-path": "DEVICE",
    "address": "HOST:PORT",
    "ca-cert-file": "FILE",
    "token-file": "FILE",
    "client-cert-file": "FILE",
    "client-key-file": "FILE",
    "audience": "TEXT",
}


def _normal(args: list[str], params: Iterable[click.Parameter]) -> Iterator[str]:
    """The words in click's spelling, each value joined to its option."""
    known = {
        name.lstrip("-"): (max(option.opts, key=len), option)
        for option in params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    words = iter(args)
    for word in words:
        if word == "--":
            yield word
            yield from words
            return
        dashes = len(word) - len(word.lstrip("-"))
        name, equals, value = word[dashes:].partition("=")
        if dashes not in (1, 2) or not name or word in _JOINED:
            yield word
        elif name in ("h", "help"):
            if not equals or _boolean(value, name):
                yield "--help"
        elif name not in known:
            yield _unknown(word, known)
        else:
            yield from _option_words(*known[name], value if equals else None, words)


def _option_words(spelling: str, option: click.Option, value: str | None, words: Iterator[str]) -> Iterator[str]:
    dashed = "--" + spelling.lstrip("-")
    if option.is_flag:
        if value is None or _boolean(value, dashed):
            yield dashed
        return
    if value is None:
        value = next(words, None)
    if value is None:
        raise click.UsageError(f"{dashed} needs a value")
    yield f"{dashed}={value}"


def _unknown(word: str, known: Iterable[str]) -> str:
    if not word.startswith("--") and set(word[1:]) <= {"q", "v"}:
        return word
    import difflib

    near = difflib.get_close_matches(word.lstrip("-").partition("=")[0], list(known), n=1)
    hint = f": is it -{near[0]}?" if near else ""
    raise click.UsageError(f"no option {word.partition('=')[0]}{hint}")


def _boolean(value: str, name: str) -> bool:
    if value in TRUE + FALSE:
        return value in TRUE
    raise click.BadParameter(f"{value!r} is neither true nor false", param_hint=name)
