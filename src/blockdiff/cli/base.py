"""The classes that commands are made of: rich-click's when help is asked for, click's own otherwise.

rich-click takes longer to import than a small verify takes to run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

if TYPE_CHECKING or not {"-h", "--help"}.intersection(sys.argv):
    from click import Command, Group
else:
    import rich_click

    rich_click.rich_click.TEXT_MARKUP = None
    rich_click.rich_click.TEXT_PARAGRAPH_LINEBREAKS = "\n\n"
    Command, Group = rich_click.RichCommand, rich_click.RichGroup

__all__ = ["CONTEXT", "Command", "Group", "show_in_groups"]

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def show_in_groups(command: str, groups: Callable[[], Sequence[tuple[str, Sequence[str]]]]) -> None:
    """The help of ``blockdiff COMMAND`` shows its options in groups with titles; those in none come last."""
    rich = sys.modules.get("rich_click.rich_click")
    if rich is not None:
        rich.OPTION_GROUPS[f"blockdiff {command}"] = [
            {"name": title, "options": list(names)} for title, names in groups()
        ]
