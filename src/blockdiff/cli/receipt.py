"""``blockdiff receipt``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.cli.options import Name
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.receipt.check import Checked
    from blockdiff.receipt.key import PublicKey

_output = click.option(
    "-o", "--output", type=click.Choice(("human", "json")), default="human", show_default=True, help="What is written."
)
DIFFERENT = 1


@click.group("receipt", cls=Group, context_settings=CONTEXT, short_help="Check and show receipts of verify")
def command() -> None:
    """Check and show receipts of verify, and make keys to sign them with."""


@command.command("check", cls=Command, context_settings=CONTEXT)
@click.argument("file", type=Name())
@click.option(
    "--key", "key_files", type=Name(), multiple=True, metavar="PUB", help="A public key that may have signed it."
)
@click.option("--require-signature", is_flag=True, help="An unsigned receipt is refused; --key does so already.")
@click.option(
    "--threshold",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="So many of the keys must have signed it.",
)
@click.option("--require-identical", is_flag=True, help="Exit code 1 unless it says that all was identical.")
@_output
def check(
    file: str,
    key_files: tuple[str, ...],
    require_signature: bool,
    threshold: int,
    require_identical: bool,
    output: str,
) -> int:
    """Prove that a receipt is what the holder of a key signed, and say what it says.

    A receipt that was changed, that another key signed or that lacks a signature is refused: exit code 2. One that
    holds may say that the devices differ: that is exit code 0, or 1 with --require-identical.

    \b
    Examples:
      blockdiff receipt check receipt.json --key verify.key.pub
      blockdiff receipt check --require-identical receipt.json --key verify.key.pub
    """
    from blockdiff.receipt.check import ReceiptRefused, read_file
    from blockdiff.receipt.check import check as check_receipt
    from blockdiff.receipt.envelope import decode

    if threshold > max(1, len(key_files)):
        raise click.UsageError(f"--threshold {threshold} needs as many keys: {len(key_files)} are given")
    data = read_file(file)
    if require_signature and not key_files:
        if not decode(data, file).signatures:
            raise ReceiptRefused(f"{file} is UNSIGNED: nobody vouches for what it says")
        raise click.UsageError("--require-signature needs the public key to check it with: --key")
    checked = check_receipt(data, file, _keys(key_files, threshold), threshold=threshold)
    _print(checked, output, _trust(checked))
    return DIFFERENT if require_identical and not _all_identical(checked) else 0


@command.command("show", cls=Command, context_settings=CONTEXT)
@click.argument("file", type=Name())
@_output
def show(file: str, output: str) -> int:
    """Say what a receipt says, without checking who signed it.

    \b
    Examples:
      blockdiff receipt show receipt.json
    """
    from blockdiff.receipt.check import look, read_file

    checked = look(read_file(file), file)
    _print(checked, output, "unchecked" if checked.envelope.signatures else "unsigned")
    return 0


@command.command("keygen", cls=Command, context_settings=CONTEXT)
@click.argument("file", type=Name())
@click.option("--passphrase", is_flag=True, help="Encrypt it; the passphrase is asked for.")
def keygen(file: str, passphrase: bool) -> int:
    """Make an Ed25519 key for --sign: FILE, and FILE.pub for those who check. Files that exist are not overwritten.

    The passphrase may also be in BLOCKDIFF_KEY_PASSPHRASE.

    \b
    Examples:
      blockdiff receipt keygen verify.key
    """
    from blockdiff.cli.signing import new_passphrase
    from blockdiff.engine.placing import check_place, place_file
    from blockdiff.receipt.key import PrivateKey

    for path in (file, f"{file}.pub"):
        check_place(path)
    secret = new_passphrase(file) if passphrase else ""
    key = PrivateKey.generate(file)
    place_file(file, key.pem(secret), mode=0o600)
    place_file(f"{file}.pub", key.public.pem())
    click.echo(f"key {key.public.key_id}: {file} (keep it secret), {file}.pub (for those who check)")
    return 0


def _keys(files: tuple[str, ...], threshold: int) -> list[PublicKey]:
    from blockdiff.receipt.key import load_public

    keys = [load_public(path) for path in files]
    if len({key.raw for key in keys}) < min(threshold, len(keys)):
        raise InvalidInput(f"{threshold} signatures are needed, and some of the keys are the same one")
    return keys


def _trust(checked: Checked) -> str:
    return "valid" if checked.keys else "unsigned"


def _all_identical(checked: Checked) -> bool:
    """Whether both devices are proved to be identical, to the last byte."""
    return checked.receipt.predicate.says_identical


def _print(checked: Checked, output: str, signature: str) -> None:
    from blockdiff.receipt.words import lines

    if output == "json":
        import json

        click.echo(json.dumps(_facts(checked, signature), ensure_ascii=True))
        return
    for line in lines(checked, signature):
        click.echo(line)


def _facts(checked: Checked, signature: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "signature": signature,
        "key_ids": [key.key_id for key in checked.keys],
        "signatures": len(checked.envelope.signatures),
        "result": checked.receipt.predicate.result,
        "whole": checked.receipt.predicate.is_whole,
        "receipt": checked.receipt.fields,
    }
