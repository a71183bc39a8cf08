"""Keys of the command line: where passphrases come from, and what is said of keys that others can read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from blockdiff.cli.streams import say
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.receipt.key import PrivateKey

PASSPHRASE = "BLOCKDIFF_KEY_PASSPHRASE"  # noqa: S105 - its name


def load_signing_key(path: str) -> PrivateKey:
    """The private key in a file. Raises InvalidInput."""
    from blockdiff.receipt.key import load_private, readable_by_others

    key = load_private(path, lambda: _passphrase(path))
    if readable_by_others(path):
        say(f"warning: {path} can be read by others, who can then sign as you do: chmod 600 {path}")
    return key


def new_passphrase(path: str) -> str:
    """The passphrase that a new key is encrypted with. Raises InvalidInput."""
    given = os.environ.get(PASSPHRASE)
    if given is None:
        _need_terminal(path)
        given = click.prompt(f"Passphrase for {path}", hide_input=True, confirmation_prompt=True, err=True)
    if not given:
        raise InvalidInput(f"the passphrase for {path} is empty")
    return str(given)


def _passphrase(path: str) -> str:
    given = os.environ.get(PASSPHRASE)
    if given is not None:
        return given
    _need_terminal(path)
    return str(click.prompt(f"Passphrase of {path}", hide_input=True, default="", show_default=False, err=True))


def _need_terminal(path: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput(f"{path} needs a passphrase, and there is no terminal to ask at: set {PASSPHRASE}")
