"""blockdiff snapshot-metadata: the Kubernetes lister and verifier, and the two programs that stand in for them."""

from __future__ import annotations

from importlib import import_module

import click

from blockdiff.cli.base import CONTEXT, Group

COMMANDS = ("list", "verify")


class LazyCommands(Group):
    """Imports a command's module when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # the name list is that of a module here

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(
    "snapshot-metadata",
    cls=LazyCommands,
    context_settings=CONTEXT,
    short_help="Ask Kubernetes what changed between snapshots, and check the answer",
)
def command() -> None:
    """Ask Kubernetes for the changed or allocated blocks of VolumeSnapshots, and check the answer.

    Stands in for snapshot-metadata-lister and snapshot-metadata-verifier: their flags are known in all their
    spellings.
    """
