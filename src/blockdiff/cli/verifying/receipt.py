"""``verify --receipt``: what was read and found, for those who were not there."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Name
from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.cli.verifying.roots import Roots
from blockdiff.errors import BlockdiffError, InvalidInput, OutputError

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport
    from blockdiff.receipt.key import PrivateKey

OPTIONS = (
    click.option(
        "--receipt",
        type=Name(),
        metavar="FILE",
        help="Write a receipt of what was read and found; in a directory a new file, named by the time.",
    ),
    click.option("--sign", type=Name(), metavar="KEY", help="Sign the receipt with this Ed25519 key (PEM or OpenSSH)."),
    click.option(
        "--roots",
        type=click.Choice(("xxh3-128", "blake3")),
        default=None,
        help="Read both devices once more for the roots of their manifests, which go into the receipt.",
    ),
    click.option("--replace-receipt", is_flag=True, help="A receipt of this name that exists is overwritten."),
)


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect, if it was asked for."""
    path, sign, replace = given.pop("receipt"), given.pop("sign"), given.pop("replace_receipt")
    roots = given.pop("roots")
    if path is None:
        for option, value in (("--sign", sign), ("--roots", roots), ("--replace-receipt", replace)):
            if value:
                raise click.UsageError(f"{option} is about a receipt: name its file by --receipt")
        return None
    if path == "-":
        raise click.UsageError("--receipt - does not go: stdout has the report; name a file")
    return ReceiptWriting(path, sign, roots, replace)


class ReceiptWriting(Aspect):
    """Writes the receipt when the run has ended, however it did."""

    option = "--receipt"
    keeps = manifests = True

    def __init__(self, path: str, sign: str | None, roots: str | None, replace: bool) -> None:
        self._path, self._sign, self._replace = path, sign, replace
        self._key: PrivateKey | None = None
        self._roots = Roots(roots)
        self._started = 0.0
        self._error: BlockdiffError | None = None
        self._done = False

    def prepare(self, job: Job) -> None:
        """What would make the receipt fail is told now, not after hours."""
        from blockdiff.engine.placing import check_place

        self._started = time.time()
        self._roots.prepare(job)
        if os.path.isdir(self._path):
            self._path = os.path.join(self._path, _name(self._started))
        check_place(self._path, replace=self._replace)
        _check_replaced(self._path, InvalidInput)
        if self._sign is not None:
            from blockdiff.cli.signing import load_signing_key

            self._key = load_signing_key(self._sign)

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        self._roots.find(job, report)
        try:
            told = self._write(job, report, None)
            self._done = True
        except BlockdiffError as error:  # what was found is said all the same
            self._done, self._error = True, error
            report.warnings.append(f"there is no receipt: {error}")
            return []
        report.extra["receipt"] = told
        how = f"signed by {told['key_id']}" if told["signed"] else "UNSIGNED"
        return [f"receipt {self._path}: {how}"]

    def exit_code(self, report: VerifyReport, code: int) -> int:
        if self._error is not None:
            raise self._error
        return code

    def failed(self, job: Job | None, report: VerifyReport | None, error: BaseException) -> None:
        if self._done or job is None or report is None:
            return
        self._done = True
        from blockdiff.cli.streams import say

        try:
            self._write(job, report, error)
        except BlockdiffError as trouble:
            say(f"blockdiff: error: there is no receipt either: {trouble}")

    def _write(self, job: Job, report: VerifyReport, error: BaseException | None) -> dict[str, Any]:
        """Places the file; what the report tells of it."""
        from hashlib import sha256

        from blockdiff.cli.verifying.evidence import predicate
        from blockdiff.engine.placing import place_file
        from blockdiff.receipt.issue import issue

        data = issue(predicate(job, report, error, self._started, self._roots), self._key)
        _check_replaced(self._path, OutputError)
        place_file(self._path, data, replace=self._replace)
        told: dict[str, Any] = {"file": self._path, "sha256": sha256(data).hexdigest(), "signed": self._key is not None}
        return told | ({"key_id": self._key.public.key_id} if self._key is not None else {})


def _name(started: float) -> str:
    """Of a receipt in a directory: sorted by time, and no two the same."""
    from secrets import token_hex

    return f"verify-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(started))}-{token_hex(4)}.json"


def _check_replaced(path: str, kind: type[BlockdiffError]) -> None:
    """What is replaced must be a receipt: something else has its name by mistake. Raises an error of this kind."""
    if not os.path.lexists(path):
        return
    from blockdiff.receipt.check import look, read_file

    try:
        look(read_file(path), path)
    except BlockdiffError as error:
        raise kind(f"{path} is not replaced: {error}") from error
