"""``blockdiff completion``."""

from __future__ import annotations

import click

from blockdiff.cli.base import CONTEXT, Command


@click.command("completion", cls=Command, context_settings=CONTEXT)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> int:
    """Print the script that makes SHELL complete commands, options and file names.

    \b
    Examples:
      blockdiff completion bash > /etc/bash_completion.d/blockdiff
      blockdiff completion fish > ~/.config/fish/completions/blockdiff.fish
    """
    from click.shell_completion import get_completion_class

    from blockdiff.cli.main import cli

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(made(cli, {}, "blockdiff", "_BLOCKDIFF_COMPLETE").source())
    return 0
