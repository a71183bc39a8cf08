"""gen_man.py DIR: manual pages of blockdiff and each of its commands, from the command line's own definitions."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES = (
    ("0", "Identical, or done."),
    ("1", "Different: a finding of verify, audit or diff --exit-code. Never used for trouble."),
    ("2", "The command line or an input file is wrong; nothing was done."),
    ("3", "A device or a source failed: missing, unreadable, shrunk, full."),
    ("4", "Not supported here, or not installed."),
    ("5", "A remote service failed."),
    ("130", "Interrupted."),
)


def root_command() -> click.Group:
    """The group that the console script runs, whatever its name in the module."""
    from blockdiff.cli import main

    return next(value for value in vars(main).values() if isinstance(value, click.Group))


def roff(text: str) -> str:
    """Plain text as roff: markup characters and leading dots are literal."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return re.sub(r"^\.", "\\\\&.", text, flags=re.MULTILINE)


def paragraphs(text: str) -> Iterator[str]:
    """Help text as roff; a paragraph marked with a backspace keeps its lines."""
    for part in re.split(r"\n\s*\n", click.unstyle(text).strip()):
        if part.lstrip().startswith("\b"):
            yield ".PP\n.nf\n" + roff(part.replace("\b", "", 1).strip("\n")) + "\n.fi"
        else:
            yield ".PP\n" + roff(" ".join(part.split()))


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """One tagged paragraph for each option that help shows."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record:
            names, text = record
            yield f".TP\n\\fB{roff(click.unstyle(names))}\\fR\n{roff(' '.join(click.unstyle(text).split()))}"


def page(command: click.Command, context: click.Context, date: dt.date) -> str:
    """One manual page."""
    path = context.command_path
    name = path.replace(" ", "-")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f'.TH {name.upper()} 1 {date:%Y\\-%m\\-%d} "blockdiff {version("blockdiff")}" "User Commands"']
    lines += [".SH NAME", f"{roff(name)} \\- {roff(command.get_short_help_str(200).rstrip('.'))}"]
    lines += [".SH SYNOPSIS", f"\\fB{roff(path)}\\fR {roff(usage)}"]
    lines += [".SH DESCRIPTION", *paragraphs(command.help or "")]
    lines += [".SH OPTIONS", *options(command, context)]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for sub_name, sub in commands(command, context):
            lines.append(f".TP\n\\fB{roff(f'{name}-{sub_name}')}\\fR(1)\n{roff(sub.get_short_help_str(200))}")
    if command.epilog:
        lines += [".SH EXAMPLES", *paragraphs(command.epilog)]
    lines.append(".SH EXIT STATUS")
    lines += [f".TP\n\\fB{code}\\fR\n{roff(text)}" for code, text in EXIT_CODES]
    others = (
        [context.find_root().info_name]
        if context.parent
        else [f"{name}-{sub}" for sub, _ in commands(command, context)]
    )
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{roff(other or '')}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def commands(group: click.Command, context: click.Context) -> list[tuple[str, click.Command]]:
    """The visible commands of a group."""
    if not isinstance(group, click.Group):
        return []
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [(name, command) for name, command in found if command and not command.hidden]


def pages(command: click.Command, context: click.Context, date: dt.date) -> Iterator[tuple[str, str]]:
    """File name and text of the page of a command and of everything below it."""
    yield f"{context.command_path.replace(' ', '-')}.1", page(command, context, date)
    for name, sub in commands(command, context):
        yield from pages(sub, click.Context(sub, info_name=name, parent=context), date)


def main() -> None:
    """Write all pages. SOURCE_DATE_EPOCH sets the date, so that builds can be repeated."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = dt.datetime.now(dt.UTC)
    date = (dt.datetime.fromtimestamp(int(seconds), dt.UTC) if seconds else now).date()
    root = root_command()
    for name, text in pages(root, click.Context(root, info_name="blockdiff"), date):
        (directory / name).write_text(text)
        print(directory / name)


if __name__ == "__main__":
    main()
