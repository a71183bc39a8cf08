"""``python -m blockdiff.testing.csi``: the suite on the command line.

Exit codes: 0 no rule failed, 1 one did, 2 bad arguments, 3 a device failed, 5 nobody to ask.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from blockdiff.errors import BlockdiffError, InvalidInput
from blockdiff.testing.csi.cluster import cluster_subject
from blockdiff.testing.csi.result import Status
from blockdiff.testing.csi.rule import BY_ID, RULES
from blockdiff.testing.csi.runner import run
from blockdiff.testing.csi.side import CsiSide, KubeSide
from blockdiff.testing.csi.subject import Subject

if TYPE_CHECKING:
    from blockdiff.testing.csi.result import Result

_FILE = click.Path(exists=True, dir_okay=False)


@click.command("python -m blockdiff.testing.csi", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--endpoint", help="A CSI driver: unix:///PATH or HOST:PORT.")
@click.option("--address", default="", help="A sidecar: HOST:PORT or unix:///PATH.")
@click.option("--kubeconfig", help="Find the sidecar in a cluster by this kubeconfig; 'in-cluster' in a pod.")
@click.option("--context", help="The context of the kubeconfig.")
@click.option("--service-account", default="", metavar="[NAMESPACE/]NAME", help="Whose token is asked for.")
@click.option("--namespace", default="", help="The namespace of the VolumeSnapshots.")
@click.option("--snapshot", default="", help="The snapshot: an id of the driver, or the name of a VolumeSnapshot.")
@click.option("--base", default="", help="An earlier snapshot of the same volume: the driver's id of it.")
@click.option("--base-name", default="", help="The same as the name of a VolumeSnapshot, with --kubeconfig.")
@click.option("--handle", default="", help="The driver's id of --snapshot, with --address.")
@click.option("--ca", type=_FILE, help="The CA of the server's certificate, PEM: TLS.")
@click.option("--cert", type=_FILE, help="Our certificate, PEM.")
@click.option("--key", type=_FILE, help="Its key, PEM.")
@click.option("--server-name", default="", help="The name in the server's certificate, if not that of the address.")
@click.option("--token-file", type=_FILE, help="The security_token, with --address.")
@click.option("--secret", multiple=True, metavar="KEY=FILE", help="A secret for the driver, read from a file.")
@click.option("--snapshot-device", default="", help="A device or file with the content of the snapshot.")
@click.option("--base-device", default="", help="A device or file with the content of the base.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds for each call.")
@click.option("--clients", type=click.IntRange(1, 1000), default=32, show_default=True, help="How many ask at once.")
@click.option("--rule", "only", multiple=True, type=click.Choice(list(BY_ID)), help="Only this rule.")
@click.option("--skip", multiple=True, type=click.Choice(list(BY_ID)), help="Not this rule.")
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option("--list", "listing", is_flag=True, help="List the rules, and ask nobody.")
def command(output: str, listing: bool, only: tuple[str, ...], skip: tuple[str, ...], **options: Any) -> int:
    """Judge a SnapshotMetadata server by every rule of the specification.

    Ask a driver (--endpoint), a sidecar (--address), or a sidecar that is looked up in a cluster (--kubeconfig). The
    snapshots must not change, and should be small: a gigabyte with some thousand changes is plenty.

    \b
    Examples:
      python -m blockdiff.testing.csi --endpoint unix:///run/csi/csi.sock --snapshot snap2 --base snap1
      python -m blockdiff.testing.csi --kubeconfig ~/.kube/config --namespace app --snapshot tue --base-name mon
    """
    rules = [rule for rule in RULES if (not only or rule.id in only) and rule.id not in skip]
    if listing:
        for rule in rules:
            click.echo(f"{rule.id}: {rule.text} ({rule.where})")
        return 0
    subject = _subject(options)
    with subject.side:
        results = run(subject, rules)
    _tell(results, subject, output)
    return 1 if any(result.status == Status.FAIL for result in results) else 0


def _subject(options: dict[str, Any]) -> Subject:
    ways = [name for name in ("endpoint", "address", "kubeconfig") if options[name]]
    if ways not in (["endpoint"], ["address"], ["kubeconfig"], ["address", "kubeconfig"]):
        raise InvalidInput("say whom to ask: --endpoint, --address or --kubeconfig")
    if not options["snapshot"]:
        raise InvalidInput("--snapshot is missing")
    about = {
        name: options[name] for name in ("snapshot", "base", "snapshot_device", "base_device", "timeout", "clients")
    }
    if "kubeconfig" in ways:
        return _in_cluster(options, about)
    transport = {"ca": _read(options["ca"]), "pair": _pair(options), "server_name": options["server_name"]}
    if options["endpoint"]:
        return Subject(CsiSide(options["endpoint"], secrets=_secrets(options["secret"]), **transport), **about)
    token = (_read(options["token_file"]) or b"").decode("utf-8", "replace").strip()
    side = KubeSide(options["address"], namespace=options["namespace"], token=token, **transport)
    return Subject(side, handle=options["handle"], **about)


def _in_cluster(options: dict[str, Any], about: dict[str, Any]) -> Subject:
    if not options["namespace"]:
        raise InvalidInput("--kubeconfig needs --namespace")
    config = None if options["kubeconfig"] == "in-cluster" else os.path.expanduser(options["kubeconfig"])
    return cluster_subject(
        config,
        namespace=options["namespace"],
        base_name=options["base_name"],
        context=options["context"],
        address=options["address"],
        service_account_name=options["service_account"],
        **about,
    )


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None


def _pair(options: dict[str, Any]) -> tuple[bytes, bytes] | None:
    key, cert = _read(options["key"]), _read(options["cert"])
    if (key is None) != (cert is None):
        raise InvalidInput("--cert and --key go together")
    return (key, cert) if key is not None and cert is not None else None


def _secrets(items: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for item in items:
        key, equals, path = item.partition("=")
        if not equals or not key:
            raise InvalidInput(f"--secret {item!r} is not KEY=FILE")
        found[key] = (_read(path) or b"").decode("utf-8", "replace").rstrip("\n")
    return found


def _tell(results: list[Result], subject: Subject, output: str) -> None:
    counts = {str(status): sum(result.status == status for result in results) for status in Status}
    if output == "json":
        about = {"side": subject.side.name, "target": subject.side.target, "snapshot": subject.snapshot}
        report = {"schema_version": 1, **about, "base": subject.base, **counts}
        click.echo(json.dumps({**report, "results": [result.to_dict() for result in results]}))
        return
    for result in results:
        click.echo(f"{result.status.upper():5}{result.rule.id}: {result.rule.text}")
        if result.status != Status.PASS:
            where = f"\n     see: {result.rule.where}" if result.status == Status.FAIL else ""
            click.echo(f"     {result.evidence}{where}")
    click.echo(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")


def main(words: list[str] | None = None) -> int:
    """Runs the command line and gives the exit code."""
    try:
        result = command.main(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return 130
    except BlockdiffError as error:
        if words is not None and "json" in words:
            click.echo(json.dumps({"error": type(error).__name__, "message": str(error)}), err=True)
        else:
            click.echo(f"error: {error}", err=True)
        return error.exit_code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
