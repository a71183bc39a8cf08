"""blockdiff serve: the servers, each in a module of its own."""

from __future__ import annotations

from importlib import import_module

import click

from blockdiff.cli.base import CONTEXT, Group

COMMANDS = {
    "snapshot-metadata": "Serve changed block tracking to backup software, in front of a CSI driver",
    "csi": "Serve files and images as a CSI driver with changed block tracking",
}


class LazyServers(Group):
    """Imports a server's module when that server is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no server {args[0]!r}: there are {', '.join(COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group("serve", cls=LazyServers, context_settings=CONTEXT, short_help="Serve changed block tracking over gRPC")
def command() -> None:
    """Serve changed block tracking over gRPC.

    Servers run until SIGTERM, SIGINT, SIGHUP or SIGQUIT: then they let streams finish, for a limited time, and end
    with exit code 0.
    """
