"""Flags as Go programs take them: ``-port 1``, ``-port=1``, ``--port=1``; ``-disable-metrics=false``; ``1m30s``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


class GoCommand(Command):
    """A command that takes its long options with one dash, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_normal(args, self.params)))


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Seconds, written as Go does: ``1m``, ``1h30m``, ``500ms``, ``0``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        parts = _PART.findall(value)
        if value != "0" and (not parts or "".join(number + unit for number, unit in parts) != value):
            self.fail(f"{value!r} is no duration: write 90s, 1m30s or 500ms", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _normal(args: list[str], params: Iterable[click.Parameter]) -> Iterator[str]:
    """The words with two dashes, values joined to their option."""
    options = {name: param for param in params if isinstance(param, click.Option) for name in param.opts}
    words = iter(args)
    for word in words:
        if word == "--":
            yield word
            yield from words
            return
        name, equals, value = word.partition("=")
        name = "--" + name.lstrip("-") if name.startswith("-") and len(name.lstrip("-")) >= 1 else name
        if word in ("-h", "-help", "--help"):
            yield "--help"
        elif name not in options or not word.startswith("-"):
            yield word
        elif options[name].is_flag:
            if not equals or value in _TRUE:
                yield name
            elif value not in _FALSE:
                raise click.BadParameter(f"{value!r} is neither true nor false", param_hint=name)
        else:
            yield f"{name}={value if equals else _following(words, name)}"


def _following(words: Iterator[str], name: str) -> str:
    for word in words:
        return word
    raise click.BadOptionUsage(name, f"{name} needs a value")
