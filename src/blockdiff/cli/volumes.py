"""``blockdiff map --list``: what a server exports."""

from __future__ import annotations

import json
from typing import Any

import click

from blockdiff.engine.registry import backend
from blockdiff.errors import UnsupportedOperation
from blockdiff.locator import parse_locator


def list_volumes(name: str, output: str) -> int:
    """Prints the volumes of the server that a URL names, for people or as JSON."""
    if output not in ("human", "json"):
        raise click.UsageError(f"--list prints human or json, not {output}")
    locator = parse_locator(name)
    asked = getattr(backend(locator.scheme), "list_volumes", None)
    if asked is None:
        raise UnsupportedOperation(f"--list asks a server for its exports, and {name} names none: write nbd://HOST")
    found = asked(locator)
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    rows = [["Size", "Access", "URL"], *(_row(facts) for facts in found)]
    width = max(len(row[0]) for row in rows)
    for row, facts in zip(rows, [None, *found], strict=True):
        click.echo(f"{row[0]:>{width}}  {row[1]:<9}  {row[2]}")
        for context in facts["contexts"] if facts else ():
            click.echo(f"{'':>{width}}  {'':<9}    {_shown(context)}")
    return 0


def _shown(text: str) -> str:
    """A server's text, without what a terminal would take for a command."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _row(facts: dict[str, Any]) -> list[str]:
    size = "unknown" if facts["size"] is None else f"{facts['size']}"
    access = {None: "unknown", True: "read-only", False: "writable"}[facts["read_only"]]
    return [size, access, facts["url"] + (f"  ({facts['description']})" if facts["description"] else "")]
